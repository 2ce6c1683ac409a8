//! What a catcher is given, and the reason that may come with it.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use super::{Origin, TASK, hand_outward, went_with_its_holder};
use crate::context;

/// Why a task was asked to end: the text given to [`Task::cancel_with`](crate::Task::cancel_with).
#[derive(Clone, PartialEq, Eq, Hash)]
// One word, so that a `JoinError` takes no more room for it.
pub struct Reason(Arc<String>);

impl Reason {
    pub(crate) fn new(text: impl fmt::Display) -> Self {
        Reason(Arc::new(text.to_string()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// What [`catch_cancel`](crate::catch_cancel) gives when the request reached it.
///
/// It stands for a duty: the task was asked to end. Clean up, then hand it outward with
/// [`propagate`](Cancelled::propagate); or swallow it, by dropping it and going on. While it is
/// held nothing is decided: a timeout that cuts short the clean-up hands it on.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a request to end was taken: propagate it, or decide to go on"]
#[doc(alias = "CancelledError")]
pub struct Cancelled {
    origin: Origin,
    /// The number of the task that took it; 0 if it was not taken, but is told.
    task: u32,
    reason: Option<Reason>,
}

impl Cancelled {
    /// A request that somebody in `task` has taken.
    pub(crate) const fn taken(origin: Origin, task: u32, reason: Option<Reason>) -> Self {
        Cancelled { origin, task, reason }
    }

    /// Tells that a task was cancelled as a whole.
    pub(crate) const fn of_task(reason: Option<Reason>) -> Self {
        Cancelled { origin: TASK, task: 0, reason }
    }

    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// Lets go of it: it is answered.
    pub(crate) fn answered(self) -> Origin {
        let origin = self.origin;
        drop(self.into_reason());
        origin
    }

    pub(crate) fn into_reason(self) -> Option<Reason> {
        ManuallyDrop::new(self).reason.take()
    }

    /// Why, if the request came from [`Task::cancel_with`](crate::Task::cancel_with).
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_ref().map(Reason::as_str)
    }

    /// Hands the request to the next catcher outside, or to its origin, which then drops its
    /// future. Never returns.
    ///
    /// # Cancel safety
    ///
    /// Strict: the request is handed on at the first poll; after that there is nothing to lose.
    pub async fn propagate(self) -> Infallible {
        hand_outward(self.answered());
        std::future::pending().await
    }

    /// Swallows the request for good: the task goes on, and its count of requests is lowered as by
    /// [`Task::uncancel`](crate::Task::uncancel). Returns what is left of that count.
    ///
    /// A request that did not come from the task as a whole, but from a timeout or a group in it,
    /// was not counted: then nothing is lowered.
    pub fn uncancel(self) -> u32 {
        let lower = self.answered() == TASK;
        context::with_task(|_, task| if lower { task.uncancel() } else { task.cancels() })
            .unwrap_or(0)
    }
}

impl Drop for Cancelled {
    fn drop(&mut self) {
        went_with_its_holder(self.origin, self.task);
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            None => f.write_str("cancelled"),
            Some(reason) => write!(f, "cancelled: {reason}"),
        }
    }
}

impl std::error::Error for Cancelled {}

impl From<Cancelled> for io::Error {
    fn from(cancelled: Cancelled) -> Self {
        io::Error::new(io::ErrorKind::Interrupted, cancelled)
    }
}
