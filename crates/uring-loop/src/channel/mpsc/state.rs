//! What lies under the lock of an `mpsc` channel: items, places, and who waits. No foreign code.
//!
//! # Life story of a place
//!
//! A bounded channel has `capacity` places. A place is *free*; or *granted* to a sender that waited
//! and has not been polled since; or held by a *permit*; or taken by an item in the *queue*.
//!
//! ```text
//!            reserve                 send
//!   free ──────────────► permit ─────────────► queue
//!    ▲                   │    ▲                  │
//!    │     dropped unused│    │ polled           │ received
//!    └────────┬──────────┘  granted ◄──┐         │
//!             │                │       │         │
//!             └────────────────┴───────┴─────────┘
//!              to the one who waits longest; free only if nobody waits
//! ```
//!
//! So while somebody waits nothing is free, and no newcomer gets in first. A sender that goes away
//! with a grant gives the place on in the same way.
//!
//! *Closing* ends all waiting: grants are revoked, since their senders do not know of them yet.
//! Permits stand, and `recv` waits for what they will send. The channel is *gone* when its receiver
//! is: then permits are worth nothing, and items come back.

use std::collections::VecDeque;
use std::fmt;
use std::task::{Poll, Waker};

use crate::channel::lock::{Mutex, lock};
use crate::channel::waiters::{Registrant, Seat, Seats, Waiters};
use crate::channel::{Closed, TryRecvError, TrySendError};

/// A queue that has grown beyond this gives its memory back when it is empty.
const KEPT: usize = 1024;

pub(super) struct State<T> {
    queue: VecDeque<T>,
    /// `usize::MAX`: unbounded.
    capacity: usize,
    permits: usize,
    granted: usize,
    senders: usize,
    closed: bool,
    gone: bool,
    receiver: Seat,
    /// Senders that wait for a place.
    room: Waiters,
    /// Those that wait for the channel to be closed.
    closing: Waiters,
}

impl<T> State<T> {
    pub(super) fn new(capacity: usize) -> Self {
        State {
            queue: VecDeque::new(),
            capacity,
            permits: 0,
            granted: 0,
            senders: 1,
            closed: false,
            gone: false,
            receiver: Seat::default(),
            room: Waiters::default(),
            closing: Waiters::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        (self.capacity != usize::MAX).then_some(self.capacity)
    }

    /// Whether nothing more can be sent, but with permits.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether nothing will come behind what is in the queue.
    pub(super) fn is_ending(&self) -> bool {
        self.senders == 0 || (self.closed && self.permits == 0)
    }

    pub(super) fn receiver(&mut self) -> &mut Seat {
        &mut self.receiver
    }

    pub(super) fn closing(&mut self) -> &mut Waiters {
        &mut self.closing
    }

    fn has_room(&self) -> bool {
        self.queue.len() + self.permits + self.granted < self.capacity
    }

    /// A place is free again: it is for the one who waits longest.
    fn hand_on(&mut self) -> Option<Waker> {
        let waker = self.room.call_first();
        self.granted += usize::from(waker.is_some());
        waker
    }

    fn push(&mut self, item: T) -> Option<Waker> {
        self.queue.push_back(item);
        self.receiver.call()
    }
}

/// For Debug of both ends. What is written to is foreign too.
pub(super) fn show<T>(
    state: &Mutex<State<T>>,
    mut f: fmt::DebugStruct<'_, '_>,
) -> Result<(), fmt::Error> {
    let (len, capacity, senders, closed) = {
        let state = lock(state);
        (state.len(), state.capacity(), state.senders, state.closed)
    };
    f.field("len", &len);
    if let Some(capacity) = capacity {
        f.field("capacity", &capacity);
    }
    f.field("senders", &senders).field("closed", &closed).finish()
}

/// For senders.
impl<T> State<T> {
    /// `Ok`: whom to wake.
    pub(super) fn try_send(&mut self, item: T) -> Result<Option<Waker>, TrySendError<T>> {
        if self.closed {
            return Err(TrySendError::Closed(item));
        }
        if !self.has_room() {
            return Err(TrySendError::Full(item));
        }
        Ok(self.push(item))
    }

    /// `Ok`: there is a permit more.
    pub(super) fn try_reserve(&mut self) -> Result<(), TrySendError<()>> {
        if self.closed {
            return Err(TrySendError::Closed(()));
        }
        if !self.has_room() {
            return Err(TrySendError::Full(()));
        }
        self.permits += 1;
        Ok(())
    }

    /// The same, waiting in line. Ready, the ticket is gone.
    pub(super) fn poll_reserve(
        &mut self,
        ticket: &mut Option<u64>,
        registrant: &mut Registrant<'_>,
    ) -> Poll<Result<(), Closed>> {
        if self.closed {
            *ticket = None;
            return Poll::Ready(Err(Closed(())));
        }
        match *ticket {
            Some(held) if !self.room.has(held) => self.granted -= 1,
            None if self.has_room() => (),
            _ => {
                self.room.enter(ticket, registrant);
                return Poll::Pending;
            }
        }
        *ticket = None;
        self.permits += 1;
        Poll::Ready(Ok(()))
    }

    /// A sender waits no more: its own waker, and whom to wake for the place it was granted.
    pub(super) fn give_up(&mut self, ticket: u64) -> (Option<Waker>, Option<Waker>) {
        if self.closed {
            return (None, None);
        }
        let own = self.room.leave(ticket);
        if own.is_some() || mutant!("grant-dies-with-its-sender") {
            return (own, None);
        }
        self.granted -= 1;
        (None, self.hand_on())
    }

    /// Sends with a permit. `Ok`: whom to wake.
    pub(super) fn redeem(&mut self, item: T) -> Result<Option<Waker>, Closed<T>> {
        self.permits -= 1;
        if self.gone {
            return Err(Closed(item));
        }
        Ok(self.push(item))
    }

    /// A permit goes unused. Whom to wake: the next sender, or a receiver that waited for this.
    pub(super) fn forfeit(&mut self) -> Option<Waker> {
        self.permits -= 1;
        match self.closed {
            false => self.hand_on(),
            true if self.permits == 0 => self.receiver.call(),
            true => None,
        }
    }

    pub(super) fn add_sender(&mut self) {
        self.senders += 1;
    }

    /// Whom to wake.
    pub(super) fn remove_sender(&mut self) -> Option<Waker> {
        self.senders -= 1;
        match self.senders {
            0 => self.receiver.call(),
            _ => None,
        }
    }
}

/// For the receiver.
impl<T> State<T> {
    /// The oldest item, and whom to wake for its place.
    pub(super) fn try_recv(&mut self) -> Result<(T, Option<Waker>), TryRecvError> {
        match self.queue.pop_front() {
            Some(item) => {
                self.trim();
                Ok((item, self.hand_on()))
            }
            None if self.is_ending() => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }

    /// At most `limit` items behind those in `items`, and whom to wake for their places. `None`:
    /// there is nothing yet.
    pub(super) fn recv_many(&mut self, items: &mut Vec<T>, limit: usize) -> Option<Vec<Waker>> {
        if self.queue.is_empty() && !self.is_ending() {
            return None;
        }
        let count = self.queue.len().min(limit);
        items.extend(self.queue.drain(..count));
        self.trim();
        Some((0..count).map_while(|_| self.hand_on()).collect())
    }

    fn trim(&mut self) {
        if self.queue.is_empty() && self.queue.capacity() > KEPT {
            self.queue = VecDeque::new();
        }
    }

    /// Nothing more is taken in. Whom to wake: senders that wait for room or for this.
    pub(super) fn close(&mut self) -> impl Iterator<Item = Waker> + use<T> {
        self.closed = true;
        self.granted = 0;
        self.room.call_all().chain(self.closing.call_all())
    }

    /// The receiver goes: the items nobody will receive.
    pub(super) fn abandon(&mut self) -> VecDeque<T> {
        self.gone = true;
        std::mem::take(&mut self.queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_burst_is_given_back() {
        let mut state = State::new(usize::MAX);
        let mut burst = |count: usize| {
            (0..count).for_each(|item| assert!(state.try_send(item).is_ok()));
            let most = state.queue.capacity();
            while state.try_recv().is_ok() {}
            (most, state.queue.capacity())
        };
        let (most, kept) = burst(KEPT);
        assert_eq!(most, kept, "an ordinary queue keeps its memory");
        let (most, kept) = burst(10 * KEPT);
        assert!(most >= 10 * KEPT);
        assert_eq!(kept, 0);
    }
}
