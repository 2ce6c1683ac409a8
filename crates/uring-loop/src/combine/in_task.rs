//! What becomes a task, or is one: handles of tasks, and gatherings.

use std::future::Future;
use std::panic::{Location, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::GroupTask;
use super::gathering::{Form, Gathering};
use crate::cancel::{TASK, hand_outward};
use crate::context;
use crate::task::{JoinError, Task, spawn_at};

/// What [`gather`](fn@crate::gather) and its kin take many of, and [`shield`](crate::shield) one: a
/// task, by its handle, or a gathering, which gets a task of its own.
///
/// A plain future is none, for it does not run by itself; and no function can take both, since a
/// [`Task`] is a future too, one with another output. [`spawn_all`](crate::spawn_all) makes tasks
/// of futures, and the macros take either.
///
/// Sealed: it is implemented for the types of this crate that have a task behind them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task",
    label = "not a task: it does not run by itself",
    note = "make a task of a future: `spawn(future)`, and of many: `spawn_all(futures)`",
    note = "the macros take futures as well: `gather!(..futures)`, `gather!(one, other)`"
)]
pub trait IntoTask: sealed::Sealed {
    /// What the task gives.
    type Output;

    /// The task.
    fn into_task(self) -> Task<Self::Output>;
}

pub(super) mod sealed {
    /// Keeps [`IntoTask`](super::IntoTask) within this crate.
    pub trait Sealed {}
}

impl<T> sealed::Sealed for Task<T> {}
impl<T> sealed::Sealed for GroupTask<T> {}

impl<T> IntoTask for Task<T> {
    type Output = T;

    fn into_task(self) -> Task<T> {
        self
    }
}

impl<T> IntoTask for GroupTask<T> {
    type Output = T;

    fn into_task(self) -> Task<T> {
        self.into_task()
    }
}

pin_project! {
    /// A gathering as the future of a task, which ends as the gathering does.
    struct InTask<F> {
        #[pin]
        gathering: Gathering<F>,
    }
}

impl<F: Form> Future for InTask<F> {
    type Output = F::Value;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Value> {
        let output = ready!(self.project().gathering.poll(cx));
        match F::split(output) {
            Ok(value) => Poll::Ready(value),
            Err(JoinError::Panicked(panic)) => resume_unwind(panic),
            Err(JoinError::Cancelled(reason)) => {
                let reason = reason.filter(|_| !mutant!("a-gathering-forgets-the-reason"));
                context::with_task(|_, task| task.set_reason(reason));
                hand_outward(TASK);
                Poll::Pending
            }
        }
    }
}

impl<F> sealed::Sealed for Gathering<F> {}

impl<F> IntoTask for Gathering<F>
where
    F: Form + 'static,
    F::Value: 'static,
{
    type Output = F::Value;

    /// Starts it on the loop of its members.
    #[track_caller]
    fn into_task(self) -> Task<F::Value> {
        let loop_id = self.loop_id().unwrap_or_else(context::loop_id);
        spawn_at(loop_id, InTask { gathering: self }, Location::caller())
    }
}

pin_project! {
    /// What the macros that gather give: a future, which a task of its own can drive.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct Gathered<G> {
        #[pin]
        gathering: G,
    }
}

impl<G> Gathered<G> {
    pub(super) fn new(gathering: G) -> Self {
        Gathered { gathering }
    }
}

impl<G: IntoTask> Gathered<G> {
    /// Gathers in a task of its own. See [`Gather::into_task`](crate::Gather::into_task).
    #[track_caller]
    pub fn into_task(self) -> Task<G::Output> {
        self.gathering.into_task()
    }
}

impl<G: Future> Future for Gathered<G> {
    type Output = G::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<G::Output> {
        self.project().gathering.poll(cx)
    }
}

impl<G> sealed::Sealed for Gathered<G> {}

impl<G: IntoTask> IntoTask for Gathered<G> {
    type Output = G::Output;

    #[track_caller]
    fn into_task(self) -> Task<G::Output> {
        self.gathering.into_task()
    }
}
