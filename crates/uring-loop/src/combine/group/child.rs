//! A child of a group: a future that tells the group how it ended.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::state::Place;
use crate::cancel::{TASK, hand_outward};

pin_project! {
    /// Runs in a task of its own. A failure goes to the group, and the task ends as cancelled.
    pub(super) struct Child<F, S, E> {
        // Dropped first: the group waits until it is gone.
        #[pin]
        future: F,
        settle: S,
        // It came when the group was ending, and takes no step: its first may be taken before there
        // is a task to cancel, on a loop that starts tasks eagerly.
        too_late: bool,
        place: Place<E>,
    }
}

impl<F, S, E> Child<F, S, E> {
    pub(super) fn new(future: F, settle: S, place: Place<E>) -> Self {
        let too_late = place.state.is_ending() && !mutant!("a-child-begins-though-its-group-ends");
        Child { future, settle, too_late, place }
    }
}

impl<F, S, T, E> Future for Child<F, S, E>
where
    F: Future,
    S: Fn(F::Output) -> Result<T, E>,
{
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.project();
        if *this.too_late {
            hand_outward(TASK);
            return Poll::Pending;
        }
        match catch_unwind(AssertUnwindSafe(|| this.future.poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => match (this.settle)(output) {
                Ok(value) => return Poll::Ready(value),
                Err(error) => this.place.state.fail(error),
            },
            Err(panic) => this.place.state.panicked(panic),
        }
        // Nobody but the group has the error, so the task has no result: it ends where it is.
        hand_outward(TASK);
        Poll::Pending
    }
}
