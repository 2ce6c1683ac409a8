//! Room for one item, waited for and held.

use std::fmt;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::state::State;
use crate::channel::Closed;
use crate::channel::lock::{Mutex, lock};
use crate::channel::waiters::{poll_locked, wake_all};

/// Room for one item, from [`Sender::reserve`](super::Sender::reserve). Dropped, the room goes to
/// whoever waits for it. Forgotten, it is lost to the channel.
#[must_use = "dropping it gives the room back; send with it"]
pub struct Permit<'a, T> {
    state: &'a Mutex<State<T>>,
}

impl<'a, T> Permit<'a, T> {
    /// For a permit that `state` has counted.
    pub(super) fn new(state: &'a Mutex<State<T>>) -> Self {
        Permit { state }
    }

    /// Sends, without waiting. A receiver that has closed the channel after the room was reserved
    /// still gets the item.
    ///
    /// # Errors
    ///
    /// [`Closed`] with the item, if the receiver is gone.
    pub fn send(self, item: T) -> Result<(), Closed<T>> {
        let state = ManuallyDrop::new(self).state;
        let waker = lock(state).redeem(item)?;
        wake_all(waker);
        Ok(())
    }
}

impl<T> Drop for Permit<'_, T> {
    fn drop(&mut self) {
        let waker = lock(self.state).forfeit();
        wake_all(waker);
    }
}

impl<T> fmt::Debug for Permit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

/// Waits in line for room.
///
/// *new*: no ticket. *waiting*: a ticket that is in the line. *granted*: a ticket that is not in
/// the line any more; the place is handed on if this is dropped now. *over*: no ticket, the place
/// is a permit's, or the channel was closed.
pub(super) struct Reserve<'a, T> {
    state: &'a Mutex<State<T>>,
    ticket: Option<u64>,
}

impl<'a, T> Reserve<'a, T> {
    pub(super) fn new(state: &'a Mutex<State<T>>) -> Self {
        Reserve { state, ticket: None }
    }
}

impl<'a, T> Future for Reserve<'a, T> {
    type Output = Result<Permit<'a, T>, Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let state = self.state;
        let ticket = &mut self.ticket;
        let polled =
            poll_locked(state, cx, |state, registrant| state.poll_reserve(ticket, registrant));
        polled.map_ok(|()| Permit::new(state))
    }
}

impl<T> Drop for Reserve<'_, T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let (own, next) = lock(self.state).give_up(ticket);
            wake_all(next);
            drop(own);
        }
    }
}
