//! What lies under the lock of a `broadcast` channel: the ring of items and who waits. No foreign
//! code: items are in `Arc`s, cloned and dropped by who got them.
//!
//! # Life story of an item
//!
//! Items are numbered from 0 in the order of sending; a receiver has the number of its next one.
//! *kept*: in the ring, with the count of the receivers that have still to come for it. It leaves
//! when that count is 0, or to make room, whichever is first. A receiver whose number has left the
//! ring has *lagged*. All receivers come in order, so an item whose count is 0 has none before it
//! in the ring, and every item in the ring has a count above 0.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use super::RecvError;
use crate::channel::waiters::Waiters;

pub(super) struct State<T> {
    ring: VecDeque<Kept<T>>,
    /// The number of the first item in the ring.
    first: u64,
    capacity: usize,
    pub(super) senders: usize,
    pub(super) receivers: usize,
    pub(super) arrived: Waiters,
}

struct Kept<T> {
    item: Arc<T>,
    /// How many receivers have still to come for it.
    left: usize,
}

impl<T> State<T> {
    pub(super) fn new(capacity: usize) -> Self {
        State {
            ring: VecDeque::new(),
            first: 0,
            capacity,
            senders: 1,
            receivers: 1,
            arrived: Waiters::default(),
        }
    }

    /// The number of the next item to be sent.
    pub(super) fn next(&self) -> u64 {
        self.first + self.ring.len() as u64
    }

    pub(super) fn len(&self) -> usize {
        self.ring.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many of the items from number `at` on are kept.
    pub(super) fn kept_from(&self, at: u64) -> usize {
        (self.next() - at.max(self.first)) as usize
    }

    /// Keeps the item, if there is a receiver. What there was no room for, and whom to wake.
    pub(super) fn send(
        &mut self,
        item: Arc<T>,
    ) -> (Option<Arc<T>>, impl Iterator<Item = Waker> + use<T>) {
        let dropped = if self.receivers == 0 {
            Some(item)
        } else {
            let full = self.ring.len() == self.capacity;
            let oldest = full.then(|| self.drop_first()).flatten();
            self.ring.push_back(Kept { item, left: self.receivers });
            oldest
        };
        (dropped, self.arrived.call_all())
    }

    fn drop_first(&mut self) -> Option<Arc<T>> {
        let kept = self.ring.pop_front()?;
        self.first += 1;
        Some(kept.item)
    }

    /// The next item of the receiver that is at number `at`. `None`: it has not come yet.
    pub(super) fn recv(&mut self, at: &mut u64) -> Option<Result<Arc<T>, RecvError>> {
        if *at < self.first {
            let missed = self.first - *at;
            *at = self.first;
            return Some(Err(RecvError::Lagged(missed)));
        }
        let place = (*at - self.first) as usize;
        let Some(kept) = self.ring.get_mut(place) else {
            return (self.senders == 0).then_some(Err(RecvError::Closed));
        };
        *at += 1;
        kept.left -= 1;
        if kept.left > 0 {
            return Some(Ok(kept.item.clone()));
        }
        debug_assert_eq!(place, 0, "everybody came for an item before one in front of it");
        self.drop_first().map(Ok)
    }

    /// A receiver more; the number of its first item.
    pub(super) fn subscribe(&mut self) -> u64 {
        self.receivers += 1;
        self.next()
    }

    /// The receiver at number `at` goes: the items that were kept for it alone.
    pub(super) fn unsubscribe(&mut self, at: u64) -> Vec<Arc<T>> {
        self.receivers -= 1;
        let from = (at.max(self.first) - self.first) as usize;
        if !mutant!("kept-for-a-receiver-that-went") {
            self.ring.iter_mut().skip(from).for_each(|kept| kept.left -= 1);
        }
        let done = self.ring.iter().take_while(|kept| kept.left == 0).count();
        self.first += done as u64;
        self.ring.drain(..done).map(|kept| kept.item).collect()
    }
}
