//! Catching a panic together with its message and place.
//!
//! `catch_unwind` gives the payload but not the place; only the panic hook sees that. So the first
//! pool puts a hook in front of the program's own: on a thread that is inside [`catch`] it notes
//! the place, and it always calls the hook it found, so panics are printed as ever.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use crate::error::{JobError, Panic};

thread_local! {
    static INSIDE: Cell<u32> = const { Cell::new(0) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What was caught.
#[derive(Debug)]
pub(crate) struct Caught {
    pub(crate) message: String,
    pub(crate) location: Option<String>,
}

impl Caught {
    pub(crate) fn into_panic(self, task: &str) -> Panic {
        Panic { task: task.to_owned(), message: self.message, location: self.location }
    }

    pub(crate) fn into_error(self, task: &str) -> JobError {
        JobError::Panicked(Box::new(self.into_panic(task)))
    }
}

/// Puts the hook in front of the one in place, once in the life of the process.
pub(crate) fn install_hook() {
    static ONCE: Once = Once::new();
    // Replacing the hook while panicking is itself a panic; such a pool just lacks places.
    if std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // `try_with`: a panic in the destructor of another thread-local may come later than
            // ours.
            if INSIDE.try_with(Cell::get).unwrap_or(0) > 0 {
                let place = info.location().map(ToString::to_string);
                let _ = PLACE.try_with(|slot| *slot.borrow_mut() = place);
            }
            previous(info);
        }));
    });
}

/// Runs `f`, and turns a panic in it into a value.
///
/// The closure is taken as unwind safe: what a panicking job leaves half-done is its own, for it
/// either moved its data in or reaches shared data through types that guard themselves.
pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> Result<T, Caught> {
    INSIDE.set(INSIDE.get() + 1);
    let outcome = panic::catch_unwind(AssertUnwindSafe(f));
    INSIDE.set(INSIDE.get() - 1);
    outcome.map_err(|payload| {
        let location = PLACE.take();
        Caught { message: message_of(payload), location }
    })
}

fn message_of(payload: Box<dyn Any + Send>) -> String {
    let payload = match payload.downcast::<String>() {
        Ok(text) => return *text,
        Err(other) => other,
    };
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        return (*text).to_owned();
    }
    // A payload of the user's own type may panic when dropped; what that throws is given up.
    if let Err(second) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    "the panic's payload was not text".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_and_place_of_a_panic_are_kept() {
        install_hook();
        let line = line!() + 1;
        let caught = catch(|| panic!("number {}", 7)).unwrap_err();
        assert_eq!(caught.message, "number 7");
        let place = caught.location.unwrap();
        assert!(place.contains(&format!("panics.rs:{line}:")), "{place}");
    }

    #[test]
    fn a_payload_that_panics_when_dropped_does_no_harm() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        let caught = catch(|| panic::panic_any(Bomb)).unwrap_err();
        assert_eq!(caught.message, "the panic's payload was not text");
    }

    #[test]
    fn catching_nests() {
        install_hook();
        let outer = catch(|| {
            let inner = catch(|| panic!("inner")).unwrap_err();
            assert_eq!(inner.message, "inner");
            panic!("outer");
        });
        assert_eq!(outer.unwrap_err().message, "outer");
    }
}
