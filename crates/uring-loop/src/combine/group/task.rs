//! The handle of a child.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::task::{JoinError, Task};

/// A child of a [`TaskGroup`](crate::TaskGroup): a [`Task`] that may be dropped without a thought,
/// since its group waits for it all the same.
///
/// Awaiting it gives its value. A child that failed has given its error to the group and looks like
/// a cancelled one.
pub struct GroupTask<T>(Task<T>);

impl<T> GroupTask<T> {
    pub(super) fn new(task: Task<T>) -> Self {
        GroupTask(task)
    }

    /// The plain handle of the task. Dropping that detaches nothing either: the group has it.
    pub fn into_task(self) -> Task<T> {
        self.0
    }

    /// Gives the task a name for dumps and logs.
    pub fn named(self, name: impl Into<String>) -> Self {
        GroupTask(self.0.named(name))
    }
}

impl<T> Deref for GroupTask<T> {
    type Target = Task<T>;

    fn deref(&self) -> &Task<T> {
        &self.0
    }
}

impl<T> Future for GroupTask<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> fmt::Debug for GroupTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
