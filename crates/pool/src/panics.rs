//! Catching a panic together with its message and place.
//!
//! `catch_unwind` gives the payload but not the place; only the panic hook sees that. So the first
//! pool puts a hook in front of the program's own: on a thread that is inside [`catch`] it notes
//! the place, and it always calls the hook it found, so panics are printed as ever.
//!
//! A worker process has last words: what the hook sees is also written where the parent can read it
//! when the process is gone, for a panic may turn into an abort.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Once, OnceLock};

use crate::error::{JobError, Panic};

thread_local! {
    static INSIDE: Cell<u32> = const { Cell::new(0) };
    static PLACE: RefCell<Place> = const { RefCell::new(NOWHERE) };
}

/// What only the hook sees of a panic.
#[derive(Debug, Default)]
struct Place {
    location: Option<String>,
    backtrace: Option<String>,
}

const NOWHERE: Place = Place { location: None, backtrace: None };

/// Keeps what a panic says in case the process does not survive it.
type Keep = fn(&Panic);

static LAST_WORDS: OnceLock<Keep> = OnceLock::new();

/// From now on, panics on any thread are handed to `keep` as they begin. For worker processes.
pub(crate) fn keep_last_words(keep: Keep) {
    let _ = LAST_WORDS.set(keep);
}

/// Panics carry a backtrace whatever the environment says.
static BACKTRACES: OnceLock<()> = OnceLock::new();

/// Has panics carry a backtrace from now on. Not done unasked: the first one of a process reads its
/// debug information, which takes a tenth of a second and more.
pub(crate) fn carry_backtraces() {
    let _ = BACKTRACES.set(());
}

/// What was caught.
#[derive(Debug)]
pub(crate) struct Caught {
    pub(crate) message: String,
    pub(crate) location: Option<String>,
    backtrace: Option<String>,
}

impl Caught {
    pub(crate) fn into_panic(self, task: &str) -> Panic {
        let Caught { message, location, backtrace } = self;
        Panic { task: task.to_owned(), message, location, backtrace }
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
            if INSIDE.try_with(Cell::get).unwrap_or(0) > 0 || LAST_WORDS.get().is_some() {
                note(info);
            }
            previous(info);
        }));
    });
}

fn note(info: &panic::PanicHookInfo<'_>) {
    let keep = LAST_WORDS.get();
    let backtrace = match BACKTRACES.get() {
        Some(()) => Backtrace::force_capture(),
        None => Backtrace::capture(),
    };
    let captured = backtrace.status() == BacktraceStatus::Captured;
    let place = Place {
        location: info.location().map(ToString::to_string),
        backtrace: captured.then(|| backtrace.to_string()),
    };
    let message = text_of(info.payload()).unwrap_or(NOT_TEXT);
    // What the runtime says as a panic becomes an abort tells less than the panic itself did.
    let echo = ["panic in a function that cannot unwind", "panic in a destructor during cleanup"];
    if let Some(keep) = keep
        && !echo.contains(&message)
    {
        keep(&Panic {
            task: String::new(),
            message: message.to_owned(),
            location: place.location.clone(),
            backtrace: place.backtrace.clone(),
        });
    }
    let _ = PLACE.try_with(|slot| *slot.borrow_mut() = place);
}

fn text_of(payload: &(dyn Any + Send)) -> Option<&str> {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&'static str>().copied())
}

const NOT_TEXT: &str = "the panic's payload was not text";

/// Runs `f`, and turns a panic in it into a value.
///
/// The closure is taken as unwind safe: what a panicking job leaves half-done is its own, for it
/// either moved its data in or reaches shared data through types that guard themselves.
pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> Result<T, Caught> {
    INSIDE.set(INSIDE.get() + 1);
    let outcome = panic::catch_unwind(AssertUnwindSafe(f));
    INSIDE.set(INSIDE.get() - 1);
    outcome.map_err(|payload| {
        let Place { location, backtrace } = PLACE.take();
        Caught { message: message_of(payload), location, backtrace }
    })
}

fn message_of(payload: Box<dyn Any + Send>) -> String {
    if let Some(text) = text_of(&*payload) {
        return text.to_owned();
    }
    // A payload of the user's own type may panic when dropped; what that throws is given up.
    if let Err(second) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    NOT_TEXT.to_owned()
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
