//! Errors of promises that nobody has looked at, kept in mind by the loop that ran when they were
//! set. They are told when the loop ends, also if a handle of the promise is still held; asyncio
//! tells them only when the last handle goes.

use std::cell::RefCell;
use std::fmt;
use std::rc::Weak;

/// A promise that may have an error nobody has looked at.
pub(crate) trait Unseen {
    fn is_unseen(&self) -> bool;

    /// Reports the error, once.
    fn report(&self);
}

/// The failed promises of a loop.
#[derive(Default)]
pub(crate) struct FailedPromises(RefCell<Vec<Weak<dyn Unseen>>>);

impl FailedPromises {
    /// Keeps one in mind. Those that were looked at meanwhile, or have gone, make room for it.
    pub(super) fn add(&self, promise: Weak<dyn Unseen>) {
        let mut failed = self.0.borrow_mut();
        if failed.len() == failed.capacity() {
            // What is upgraded here has another handle, so nothing is dropped under the borrow.
            failed.retain(|promise| promise.upgrade().is_some_and(|promise| promise.is_unseen()));
        }
        failed.push(promise);
    }

    /// The loop ends: reports those that nobody has looked at.
    pub(crate) fn report(&self) {
        for promise in self.0.take() {
            if let Some(promise) = promise.upgrade() {
                promise.report();
            }
        }
    }
}

impl fmt::Debug for FailedPromises {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FailedPromises({})", self.0.borrow().len())
    }
}
