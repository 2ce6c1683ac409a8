//! The one future that waits at a channel, in whatever place and for whatever it is.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::lock::{Mutex, lock};
use super::waiters::{Seats, poll_locked};
use crate::context;

/// Waits until `look` answers, in the place that `seats` finds in the state.
///
/// *new*: no ticket. *waiting*: a ticket, and a waker in the place until somebody calls it. Ready
/// or dropped, it has given the place up. So a task is never woken for something it does not wait
/// for any more.
pub(super) struct Wait<'a, S, P: Seats, L> {
    mutex: &'a Mutex<S>,
    seats: fn(&mut S) -> &mut P,
    look: L,
    ticket: Option<u64>,
}

impl<'a, S, P: Seats, L> Wait<'a, S, P, L> {
    pub(super) fn new(mutex: &'a Mutex<S>, seats: fn(&mut S) -> &mut P, look: L) -> Self {
        Wait { mutex, seats, look, ticket: None }
    }
}

/// Nothing in it is ever pinned.
impl<S, P: Seats, L> Unpin for Wait<'_, S, P, L> {}

impl<S, P: Seats, L: FnMut(&mut S) -> Option<R>, R> Future for Wait<'_, S, P, L> {
    type Output = R;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        let Wait { mutex, seats, look, ticket } = self.get_mut();
        poll_locked(mutex, cx, |state, registrant| match look(state) {
            Some(answer) => {
                // Whatever makes it ready calls those who wait: its place is empty by now.
                *ticket = None;
                Poll::Ready(answer)
            }
            None => {
                seats(state).enter(ticket, registrant);
                Poll::Pending
            }
        })
    }
}

impl<S, P: Seats, L> Drop for Wait<'_, S, P, L> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let waker = (self.seats)(&mut lock(self.mutex)).leave(ticket);
            drop(waker);
        }
    }
}

/// Lets the other tasks of the loop run, if this one has done enough for one poll.
pub(super) async fn budget() {
    poll_fn(|cx| {
        if context::take_budget() {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
