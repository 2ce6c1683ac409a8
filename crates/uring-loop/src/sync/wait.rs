//! The one future under all primitives: take what is free at once, or get in line and wait to be
//! chosen.

use std::any::type_name;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::waitlist::{Grant, State, WaitList, Waiter};
use crate::context;

/// What a primitive does at each step of a wait. It is asked in this order: `is_free`, and then
/// `take`; or `lined_up`, and then one of `claim`, `left` and `refused`.
pub(crate) trait Wait {
    /// What waiting gives.
    type Output;

    /// Whether there is no need to wait.
    fn is_free(&self) -> bool;

    /// Takes what is free.
    fn take(&mut self) -> Self::Output;

    /// What whoever chooses should know.
    fn note(&self) -> usize {
        0
    }

    /// It stands in line now.
    fn lined_up(&mut self) {}

    /// It was chosen. `None`: somebody was faster, and it waits again, at its old place.
    fn claim(&mut self, grant: Grant) -> Option<Self::Output>;

    /// It was dropped in line; `moved`: in that of the second list.
    fn left(&mut self, moved: bool) {
        let _ = moved;
    }

    /// It was dropped after it was chosen: what it was given is to be given on.
    fn refused(&mut self, grant: Grant) {
        let _ = grant;
    }
}

/// Waits in `list` as `wait` says.
///
/// What completes at once takes a unit of the task's budget, so that a task that finds everything
/// free starves nobody. What was chosen completes without: it has waited, and is never held up.
pub(crate) async fn wait<W: Wait>(list: &WaitList, mut wait: W) -> W::Output {
    if wait.is_free() && context::take_budget() {
        return wait.take();
    }
    Waiting { wait, waiter: Waiter::new(list) }.await
}

/// Waits in `list`, or in `second`, to which whoever chooses may move the waiter.
pub(crate) async fn wait_moving<W: Wait>(list: &WaitList, second: &WaitList, wait: W) -> W::Output {
    Waiting { wait, waiter: Waiter::moving(list, second) }.await
}

pin_project! {
    struct Waiting<'a, W: Wait> {
        wait: W,
        #[pin]
        waiter: Waiter<'a>,
    }

    impl<W: Wait> PinnedDrop for Waiting<'_, W> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            let waiter = this.waiter.as_ref();
            match waiter.state() {
                State::Idle => {}
                state @ (State::Waiting | State::Moved) => {
                    waiter.leave();
                    this.wait.left(state == State::Moved);
                }
                State::Chosen => this.wait.refused(waiter.take_grant()),
            }
        }
    }
}

impl<W: Wait> Future for Waiting<'_, W> {
    type Output = W::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<W::Output> {
        let this = self.project();
        let (waiter, wait) = (this.waiter.as_ref(), this.wait);
        match waiter.state() {
            State::Idle if wait.is_free() => {
                if context::take_budget() {
                    return Poll::Ready(wait.take());
                }
                cx.waker().wake_by_ref();
            }
            State::Idle => {
                waiter.line_up(wait.note(), cx.waker());
                wait.lined_up();
            }
            State::Waiting | State::Moved => waiter.set_waker(cx.waker()),
            State::Chosen => match wait.claim(waiter.take_grant()) {
                Some(output) => return Poll::Ready(output),
                None => waiter.line_up_again(wait.note(), cx.waker()),
            },
        }
        context::note_wait(type_name::<W>());
        Poll::Pending
    }
}
