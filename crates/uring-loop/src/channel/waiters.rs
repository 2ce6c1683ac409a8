//! Who waits at a channel: wakers kept under its lock, and the ways in and out.
//!
//! There is one kind of waiter, a [`Waker`]: a task's, under any executor, or that of a blocked
//! thread (`block.rs`). It is cloned before the lock is taken and woken or dropped after it was
//! released, since it may be foreign code.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, Waker};

use super::lock::{Mutex, lock};

/// Asks `look` under the lock. It either answers, or gives the caller a place with
/// [`Registrant::put`] and is pending; it is asked a second time if that needs a clone.
pub(super) fn poll_locked<S, R>(
    mutex: &Mutex<S>,
    cx: &mut Context<'_>,
    mut look: impl FnMut(&mut S, &mut Registrant<'_>) -> Poll<R>,
) -> Poll<R> {
    let mut registrant =
        Registrant { waker: cx.waker(), clone: None, replaced: None, clone_wanted: false };
    loop {
        let polled = look(&mut lock(mutex), &mut registrant);
        if polled.is_ready() || !registrant.clone_wanted {
            return polled;
        }
        registrant.clone_wanted = false;
        registrant.clone = Some(registrant.waker.clone());
    }
}

/// Somebody who asks under the lock and may have to wait. Outlives the guard, so that what it holds
/// is dropped after the lock was released.
pub(super) struct Registrant<'a> {
    waker: &'a Waker,
    clone: Option<Waker>,
    replaced: Option<Waker>,
    clone_wanted: bool,
}

impl Registrant<'_> {
    /// Puts the caller's waker into `place`, unless that would wake the same.
    fn put(&mut self, place: &mut Option<Waker>) {
        if !place.as_ref().is_some_and(|waker| waker.will_wake(self.waker))
            && let Some(waker) = self.clone()
        {
            self.replaced = place.replace(waker);
        }
    }

    /// A clone of the caller's waker. `None`: the look is repeated with one.
    fn clone(&mut self) -> Option<Waker> {
        self.clone_wanted = self.clone.is_none();
        self.clone.take()
    }
}

/// Where one who waits has a place, known by a ticket.
pub(super) trait Seats {
    /// Gives the caller a place, or renews the waker in the one it has.
    fn enter(&mut self, ticket: &mut Option<u64>, registrant: &mut Registrant<'_>);

    /// Gives the place up. `None` if somebody took the waker to wake it.
    fn leave(&mut self, ticket: u64) -> Option<Waker>;
}

/// Room for one: the channel's only receiver, or only sender.
#[derive(Default, Debug)]
pub(super) struct Seat(Option<Waker>);

impl Seat {
    /// Who waits, to be woken.
    pub(super) fn call(&mut self) -> Option<Waker> {
        self.0.take()
    }
}

impl Seats for Seat {
    fn enter(&mut self, ticket: &mut Option<u64>, registrant: &mut Registrant<'_>) {
        registrant.put(&mut self.0);
        *ticket = self.0.is_some().then_some(0);
    }

    fn leave(&mut self, _: u64) -> Option<Waker> {
        self.0.take()
    }
}

/// Room for many, in order of arrival.
///
/// *waiting*: the ticket is in the map. *called*: it is not any more, somebody took the waker out
/// to wake it; what that means is the channel's matter (room was granted, or there is news).
/// *left*: its owner took it out. Tickets are not used twice, so whoever holds one and does not
/// find it was called. An owner that was forgotten keeps its place until it is called.
#[derive(Default, Debug)]
pub(super) struct Waiters {
    next: u64,
    waiting: BTreeMap<u64, Waker>,
}

impl Waiters {
    /// Whether the holder of this ticket still waits.
    pub(super) fn has(&self, ticket: u64) -> bool {
        self.waiting.contains_key(&ticket)
    }

    /// The one who waits longest, to be woken.
    pub(super) fn call_first(&mut self) -> Option<Waker> {
        let called = match mutant!("youngest-sender-first") {
            false => self.waiting.pop_first(),
            true => self.waiting.pop_last(),
        };
        called.map(|(_, waker)| waker)
    }

    /// All who wait, to be woken in order.
    pub(super) fn call_all(&mut self) -> impl Iterator<Item = Waker> + use<> {
        std::mem::take(&mut self.waiting).into_values()
    }
}

impl Seats for Waiters {
    fn enter(&mut self, ticket: &mut Option<u64>, registrant: &mut Registrant<'_>) {
        if let Some(waker) = ticket.and_then(|ticket| self.waiting.get_mut(&ticket)) {
            if !waker.will_wake(registrant.waker)
                && let Some(fresh) = registrant.clone()
            {
                registrant.replaced = Some(std::mem::replace(waker, fresh));
            }
        } else if let Some(fresh) = registrant.clone() {
            self.waiting.insert(self.next, fresh);
            *ticket = Some(self.next);
            self.next += 1;
        }
    }

    fn leave(&mut self, ticket: u64) -> Option<Waker> {
        self.waiting.remove(&ticket)
    }
}

/// Wakes them all. A panic of a foreign waker is logged: it is the fault of neither end, and must
/// not cost an item or the wakes behind it.
pub(super) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    for waker in wakers {
        if catch_unwind(AssertUnwindSafe(|| waker.wake())).is_err() {
            tracing::error!("a waker that a channel had to wake panicked");
        }
    }
}
