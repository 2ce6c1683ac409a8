//! Awaiting a task without handing cancels on to it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::IntoTask;
use crate::task::{JoinError, Task};

/// Awaits `task` without handing a cancel of the awaiter on to it.
///
/// Awaiting a [`Task`] forwards a request to that task and waits for its end. Behind a shield it
/// is left alone: the awaiter ends (or cleans up) at once, and the task runs on. So does all that
/// is gathered, for a gathering behind a shield is a task of its own. A cancel of the task itself
/// is not kept off: then the shield gives [`JoinError::Cancelled`] as the task would.
///
/// *Dropping* the shield detaches the task. Await it by reference (`&mut shield`) to keep it. If
/// the task panics later and nobody looks, that is reported, once.
///
/// # Panics
///
/// Of a gathering: if it cannot be made a task, as [`Gather::into_task`](crate::Gather::into_task)
/// says.
///
/// # Cancel safety
///
/// Strict: the task runs on, and a result that was not taken is there for the next await.
///
/// # Examples
///
/// ```
/// # use std::time::Duration;
/// use uring_loop::time::{Elapsed, sleep, timeout};
/// use uring_loop::{shield, spawn};
///
/// # uring_loop::testing::run(async {
/// let mut saving = shield(spawn(async {
///     sleep(Duration::from_secs(2)).await;
///     "saved"
/// }));
/// // The patience of this caller is short; the task does not hear of it.
/// assert_eq!(timeout(Duration::from_secs(1), &mut saving).await.unwrap_err(), Elapsed);
/// assert_eq!(saving.await.unwrap(), "saved");
/// # })
/// ```
#[track_caller]
pub fn shield<T>(task: impl IntoTask<Output = T>) -> Shield<T> {
    Shield { task: task.into_task() }
}

/// Future of [`shield`].
#[must_use = "dropping a Shield detaches its task; say `drop(shield)` if that is meant"]
pub struct Shield<T> {
    task: Task<T>,
}

impl<T> Shield<T> {
    /// The task behind it, to be cancelled or looked at.
    pub fn task(&self) -> &Task<T> {
        &self.task
    }

    /// Gives the task back: awaiting it forwards cancels again.
    pub fn into_task(self) -> Task<T> {
        self.task
    }
}

impl<T> Future for Shield<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if mutant!("a-shield-lets-cancels-through") {
            return Pin::new(&mut self.get_mut().task).poll(cx);
        }
        self.task.poll_apart(cx)
    }
}

impl<T> fmt::Debug for Shield<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shield").field(&self.task).finish()
    }
}
