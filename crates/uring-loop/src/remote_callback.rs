//! A callback on its way to the loop of another thread, which may be withdrawn.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

/// A closure that was sent to a loop with [`Handle::call_soon`](crate::Handle::call_soon).
///
/// Dropping it changes nothing: the closure runs.
#[derive(Clone)]
pub struct RemoteCallback {
    shared: Arc<Shared>,
}

/// *waiting*: the closure is there. *taken*: it runs, has run, or was withdrawn. It runs while
/// `running` is held, which names the thread, so that whoever withdraws it can wait for its end.
struct Shared {
    closure: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    running: Mutex<()>,
    runner: Mutex<Option<ThreadId>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RemoteCallback {
    pub(crate) fn new(f: impl FnOnce() + Send + 'static) -> Self {
        let shared = Shared {
            closure: Mutex::new(Some(Box::new(f))),
            running: Mutex::new(()),
            runner: Mutex::new(None),
        };
        RemoteCallback { shared: Arc::new(shared) }
    }

    /// Runs it, on the loop's thread, unless it was withdrawn.
    pub(crate) fn run(&self) {
        let _running = lock(&self.shared.running);
        let closure = {
            let mut closure = lock(&self.shared.closure);
            *lock(&self.shared.runner) = Some(thread::current().id());
            closure.take()
        };
        // Also if the closure panics: nobody is to think it runs still.
        let _clear = Clear(&self.shared.runner);
        if let Some(closure) = closure {
            closure();
        }
    }

    /// Withdraws the closure: when this returns it either was never run and is dropped, or has run
    /// to its end. Called by the closure itself it does nothing.
    ///
    /// `true`: it was withdrawn before it began.
    pub fn cancel(&self) -> bool {
        let withdrawn = lock(&self.shared.closure).take();
        if withdrawn.is_some() {
            return true;
        }
        if *lock(&self.shared.runner) != Some(thread::current().id()) {
            drop(lock(&self.shared.running));
        }
        false
    }
}

struct Clear<'a>(&'a Mutex<Option<ThreadId>>);

impl Drop for Clear<'_> {
    fn drop(&mut self) {
        *lock(self.0) = None;
    }
}

impl fmt::Debug for RemoteCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if lock(&self.shared.closure).is_some() { "scheduled" } else { "done" };
        write!(f, "<RemoteCallback {state}>")
    }
}
