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

/// The loop's end of it: runs the closure, or drops it if the loop goes first.
pub(crate) struct Errand {
    shared: Arc<Shared>,
}

/// *waiting*: the closure is there. *taken*: it runs, has run, or was withdrawn. It runs while
/// `running` is held, which names the thread, so that whoever withdraws it can wait for its end.
struct Shared {
    waiting: Mutex<Waiting>,
    running: Mutex<()>,
    runner: Mutex<Option<ThreadId>>,
}

struct Waiting {
    closure: Option<Box<dyn FnOnce() + Send>>,
    cancelled: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Errand {
    /// Runs it, on the loop's thread, unless it was withdrawn.
    pub(crate) fn run(self) {
        let _running = lock(&self.shared.running);
        let closure = {
            let mut waiting = lock(&self.shared.waiting);
            *lock(&self.shared.runner) = Some(thread::current().id());
            waiting.closure.take()
        };
        // Also if the closure panics: nobody is to think it runs still.
        let _clear = Clear(&self.shared.runner);
        if let Some(closure) = closure {
            closure();
        }
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        // Of a loop that goes: it is not to be kept by those who could withdraw it. Dropped outside
        // of the lock, since it may be anything.
        let closure = lock(&self.shared.waiting).closure.take();
        drop(closure);
    }
}

impl RemoteCallback {
    pub(crate) fn new(f: impl FnOnce() + Send + 'static) -> (Self, Errand) {
        let waiting = Waiting { closure: Some(Box::new(f)), cancelled: false };
        let shared = Arc::new(Shared {
            waiting: Mutex::new(waiting),
            running: Mutex::new(()),
            runner: Mutex::new(None),
        });
        (RemoteCallback { shared: shared.clone() }, Errand { shared })
    }

    /// Withdraws the closure: when this returns it either was never run and is dropped, or has run
    /// to its end. Called by the closure itself it changes nothing but what
    /// [`is_cancelled`](Self::is_cancelled) says.
    ///
    /// `true`: it was withdrawn before it began.
    pub fn cancel(&self) -> bool {
        let withdrawn = {
            let mut waiting = lock(&self.shared.waiting);
            waiting.cancelled = true;
            waiting.closure.take()
        };
        if withdrawn.is_some() {
            return true;
        }
        if *lock(&self.shared.runner) != Some(thread::current().id()) {
            drop(lock(&self.shared.running));
        }
        false
    }

    /// Whether [`cancel`](Self::cancel) was called, in time or not.
    #[doc(alias = "cancelled")]
    pub fn is_cancelled(&self) -> bool {
        lock(&self.shared.waiting).cancelled
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
        let state = match &*lock(&self.shared.waiting) {
            Waiting { cancelled: true, .. } => "cancelled",
            Waiting { closure: Some(_), .. } => "scheduled",
            Waiting { closure: None, .. } => "done",
        };
        write!(f, "<RemoteCallback {state}>")
    }
}
