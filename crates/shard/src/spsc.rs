//! The lock-free parts: a bounded ring between one producer and one consumer, and the place where
//! a consumer that sleeps leaves its waker. All atomics and all `unsafe` of the crate are here.
//!
//! # Protocol of the ring
//!
//! Two counters run for ever (wrapping): `tail`, messages put in, and `head`, messages taken out.
//! Message number `i` lies in slot `i & mask`. Full slots are `head..tail`, at most `capacity`.
//!
//! * Only the producer writes `tail`. It fills the slot **first** and then stores `tail` with
//!   Release; the consumer loads `tail` with Acquire and so sees what the slots below it hold.
//! * Only the consumer writes `head`. It moves the message out **first** and then stores `head`
//!   with Release; the producer loads `head` with Acquire before it fills a slot again.
//!
//! So a slot has one owner at any time: the consumer's if it is in `head..tail`, otherwise the
//! producer's. Each side remembers the other's counter as it last saw it and looks again only
//! when the memory says "full" or "empty": in a stream of messages the two cache lines travel once
//! per batch, not once per message. A remembered counter is never ahead of the real one, so a
//! decision made on it is on the safe side.
//!
//! *End:* each side has a flag that says it is gone (Release after its last store of a counter). A
//! consumer that sees the flag looks at the ring once more: what was put in before is there.
//!
//! # Protocol of the wake slot
//!
//! One [`Sleeper`], any number of [`Ringer`]s. A word holds two bits and, above them, a count of
//! rings that only makes each ring a read-modify-write:
//!
//! * nothing set: the waker cell is the sleeper's;
//! * `ARMED`: the cell holds a waker and is up for grabs: who clears the bit has the cell;
//! * `TAKING`: a ringer cleared `ARMED` and has the cell until it clears `TAKING`.
//!
//! To sleep: arm, **then** look once more for what one waits for, then return `Pending`. To ring:
//! publish (a push, a flag), **then** ring. Why no push is slept through: arming and ringing are
//! both read-modify-writes (AcqRel) of one word, so one comes first. If the ring comes first, the
//! arming acquires what was published before it and the second look finds it. If the arming comes
//! first, the ring sees `ARMED`, and it (or another ringer that was quicker) wakes the sleeper.
//! No fence is needed, and a ring costs one uncontended read-modify-write when nobody sleeps.
//!
//! A sleeper that wants its cell back while a ringer is `TAKING` does not wait for it: it wakes
//! itself and tries again in its next poll. `TAKING` stands for a few instructions.
//!
//! # Life story of a ring
//!
//! The memory is held by both ends (`Arc`). *open*: both live. *half*: one end is gone; the
//! consumer takes what is left, the producer is refused. *gone*: the last end to go drops the
//! messages still in `head..tail` and frees the memory. A message is dropped once, by who owned
//! its slot.

use std::fmt;
use std::mem::MaybeUninit;
#[cfg(not(loom))]
use std::sync::Arc;
use std::task::Waker;

#[cfg(loom)]
use loom::{
    cell::UnsafeCell,
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};
#[cfg(not(loom))]
use plain::UnsafeCell;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// loom's way of reaching into a cell, without loom.
#[cfg(not(loom))]
mod plain {
    #[derive(Debug)]
    pub(super) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(super) const fn new(value: T) -> Self {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }

        #[inline(always)]
        pub(super) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

/// A line of its own, and its neighbour too: processors fetch lines in pairs.
#[repr(align(128))]
struct Padded<T>(T);

struct Ring<T> {
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
    mask: usize,
    capacity: usize,
    producer_gone: AtomicBool,
    consumer_gone: AtomicBool,
    head: Padded<AtomicUsize>,
    tail: Padded<AtomicUsize>,
}

// SAFETY: a slot is touched by its one owner only (protocol above), so sharing the ring moves
// messages between threads but never shares one; hence `T: Send` is enough.
unsafe impl<T: Send> Sync for Ring<T> {}
// SAFETY: the ring owns its messages, which may go to another thread.
unsafe impl<T: Send> Send for Ring<T> {}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        // The last end is gone; its counter and the other's reached us through the `Arc`.
        let tail = self.tail.0.load(Ordering::Relaxed);
        let mut at = self.head.0.load(Ordering::Relaxed);
        while at != tail {
            // SAFETY: slots of `head..tail` are full, and nobody else has them any more.
            self.slots[at & self.mask].with_mut(|slot| unsafe { (*slot).assume_init_drop() });
            at = at.wrapping_add(1);
        }
    }
}

/// A ring for up to `capacity` messages (at least 1).
pub(crate) fn ring<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    assert!(capacity > 0, "a ring for 0 messages could never pass one on");
    let slots = capacity.next_power_of_two();
    let ring = Arc::new(Ring {
        slots: (0..slots).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
        mask: slots - 1,
        capacity,
        producer_gone: AtomicBool::new(false),
        consumer_gone: AtomicBool::new(false),
        head: Padded(AtomicUsize::new(0)),
        tail: Padded(AtomicUsize::new(0)),
    });
    let producer = Producer { ring: ring.clone(), tail: 0, head_seen: 0 };
    (producer, Consumer { ring, head: 0, tail_seen: 0 })
}

/// Why a push was refused; the message comes back.
#[derive(Debug)]
pub(crate) enum Refusal<T> {
    Full(T),
    Gone(T),
}

/// The end that puts in.
pub(crate) struct Producer<T> {
    ring: Arc<Ring<T>>,
    /// The real `tail`: we alone write it.
    tail: usize,
    /// `head` as last seen.
    head_seen: usize,
}

impl<T> Producer<T> {
    /// How many messages fit in now, if the memory says none then by a fresh look.
    fn room(&mut self) -> usize {
        let room = self.ring.capacity - self.tail.wrapping_sub(self.head_seen);
        if room > 0 {
            return room;
        }
        self.head_seen = self.ring.head.0.load(Ordering::Acquire);
        self.ring.capacity - self.tail.wrapping_sub(self.head_seen)
    }

    pub(crate) fn is_full(&mut self) -> bool {
        self.room() == 0
    }

    /// Whether nobody will ever take a message out.
    pub(crate) fn is_refused(&self) -> bool {
        self.ring.consumer_gone.load(Ordering::Acquire)
    }

    /// Fills the next slot, which is ours and empty (`room() > 0`), without publishing it.
    fn fill(&mut self, value: T) {
        debug_assert!(self.tail.wrapping_sub(self.head_seen) < self.ring.capacity);
        let slot = &self.ring.slots[self.tail & self.ring.mask];
        // SAFETY: outside `head..tail`, so the slot is the producer's, which is borrowed mutably.
        slot.with_mut(|slot| unsafe { (*slot).write(value) });
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&self) {
        self.ring.tail.0.store(self.tail, Ordering::Release);
    }

    /// Puts one message in. Ring the consumer's bell afterwards.
    pub(crate) fn push(&mut self, value: T) -> Result<(), Refusal<T>> {
        if self.is_refused() {
            return Err(Refusal::Gone(value));
        }
        if self.room() == 0 {
            return Err(Refusal::Full(value));
        }
        self.fill(value);
        self.publish();
        Ok(())
    }

    /// Puts in what fits, published at once; takes no message from the iterator that doesn't fit.
    pub(crate) fn push_batch(&mut self, values: &mut impl Iterator<Item = T>) -> usize {
        /// Publishes on every way out, also when the iterator panics.
        struct Publish<'a, T>(&'a mut Producer<T>);
        impl<T> Drop for Publish<'_, T> {
            fn drop(&mut self) {
                self.0.publish();
            }
        }
        let batch = Publish(self);
        let before = batch.0.tail;
        while batch.0.room() > 0 {
            let Some(value) = values.next() else { break };
            batch.0.fill(value);
        }
        batch.0.tail.wrapping_sub(before)
    }

    /// Says that nothing more will come. Ring the consumer's bell afterwards.
    pub(crate) fn close(&mut self) {
        self.ring.producer_gone.store(true, Ordering::Release);
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("capacity", &self.ring.capacity).finish_non_exhaustive()
    }
}

/// The end that takes out.
pub(crate) struct Consumer<T> {
    ring: Arc<Ring<T>>,
    /// The real `head`, but for what a running `drain` has not published.
    head: usize,
    /// `tail` as last seen.
    tail_seen: usize,
}

impl<T> Consumer<T> {
    /// How many messages are there, if the memory says none then by a fresh look.
    fn filled(&mut self) -> usize {
        if self.tail_seen == self.head {
            self.tail_seen = self.ring.tail.0.load(Ordering::Acquire);
        }
        self.tail_seen.wrapping_sub(self.head)
    }

    pub(crate) fn is_empty(&mut self) -> bool {
        self.filled() == 0
    }

    /// Whether the producer is gone and everything was taken.
    pub(crate) fn is_ended(&mut self) -> bool {
        // The flag first: what was put in before it was set is seen by the look after it.
        self.ring.producer_gone.load(Ordering::Acquire) && self.is_empty()
    }

    /// How many messages fit in.
    pub(crate) fn capacity(&self) -> usize {
        self.ring.capacity
    }

    /// Moves up to `limit` messages into `sink`, then gives their room back at once.
    pub(crate) fn drain(&mut self, limit: usize, mut sink: impl FnMut(T)) -> usize {
        /// Gives the room back on every way out, also when the sink panics.
        struct GiveBack<'a, T>(&'a mut Consumer<T>);
        impl<T> Drop for GiveBack<'_, T> {
            fn drop(&mut self) {
                self.0.ring.head.0.store(self.0.head, Ordering::Release);
            }
        }
        let count = self.filled().min(limit);
        if count == 0 {
            return 0;
        }
        if mutant!("room-given-back-before-it-is-free") {
            self.ring.head.0.store(self.head.wrapping_add(count), Ordering::Release);
        }
        let batch = GiveBack(self);
        for _ in 0..count {
            let at = batch.0.head;
            let slot = &batch.0.ring.slots[at & batch.0.ring.mask];
            // SAFETY: in `head..tail`, so full and the consumer's, which is borrowed mutably;
            // `head` moves past it before anybody else's code runs, so it is read once.
            let value = slot.with_mut(|slot| unsafe { (*slot).assume_init_read() });
            batch.0.head = at.wrapping_add(1);
            sink(value);
        }
        count
    }

    /// Says that nothing more will be taken, and drops what is there. Ring the producer's bell
    /// afterwards. A message put in at this very moment is dropped with the producer.
    pub(crate) fn close(&mut self) {
        self.ring.consumer_gone.store(true, Ordering::Release);
        while self.drain(usize::MAX, drop) > 0 {}
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("capacity", &self.ring.capacity).finish_non_exhaustive()
    }
}

const ARMED: usize = 1;
const TAKING: usize = 2;
/// One ring, counted above the bits.
const ONE: usize = 4;

struct WakeSlot {
    state: AtomicUsize,
    waker: UnsafeCell<Option<Waker>>,
}

// SAFETY: the cell is touched only by its present owner (protocol above), and a `Waker` may be
// used and dropped on any thread.
unsafe impl Sync for WakeSlot {}
// SAFETY: as above; nothing in it is bound to a thread.
unsafe impl Send for WakeSlot {}

/// A place for the waker of one who sleeps, and the bell that wakes him.
pub(crate) fn wake_slot() -> (Sleeper, Ringer) {
    let state = AtomicUsize::new(0);
    let slot = Arc::new(Padded(WakeSlot { state, waker: UnsafeCell::new(None) }));
    (Sleeper(slot.clone()), Ringer(slot))
}

/// The side that sleeps. There is one per slot, and it is borrowed mutably to arm.
pub(crate) struct Sleeper(Arc<Padded<WakeSlot>>);

impl Sleeper {
    /// Leaves the waker, so that the next ring wakes it. Look once more for what you wait for
    /// after this, and [`disarm`](Self::disarm) if it is there. `false`: a ring is under way; the
    /// waker was woken instead, return `Pending`.
    #[must_use]
    pub(crate) fn arm(&mut self, waker: &Waker) -> bool {
        if !self.disarm() {
            waker.wake_by_ref();
            #[cfg(loom)] // its executor polls again at once, and must let the ringer go on
            loom::thread::yield_now();
            return false;
        }
        let slot = &self.0.0;
        // SAFETY: disarmed and nobody is taking, so the cell is the sleeper's, which is one and
        // borrowed mutably.
        let same = slot
            .waker
            .with_mut(|cell| unsafe { (*cell).as_ref().is_some_and(|old| old.will_wake(waker)) });
        if !same {
            let new = Some(waker.clone());
            // SAFETY: as above. Nobody else's code runs inside: the old waker is dropped outside.
            let old = slot.waker.with_mut(|cell| unsafe { std::mem::replace(&mut *cell, new) });
            drop(old);
        }
        // AcqRel: publishes the waker, and acquires what earlier ringers had published.
        slot.state.fetch_or(ARMED, Ordering::AcqRel);
        true
    }

    /// Takes the cell back. `false`: a ringer has it.
    pub(crate) fn disarm(&mut self) -> bool {
        let slot = &self.0.0;
        let mut state = slot.state.load(Ordering::Acquire);
        if state & ARMED != 0 {
            state = slot.state.fetch_and(!ARMED, Ordering::AcqRel);
        }
        state & TAKING == 0
    }
}

impl fmt::Debug for Sleeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sleeper")
    }
}

/// The side that wakes.
#[derive(Clone)]
pub(crate) struct Ringer(Arc<Padded<WakeSlot>>);

impl Ringer {
    /// Wakes the sleeper if it has armed. Call it after what it waits for was published.
    pub(crate) fn ring(&self) {
        let slot = &self.0.0;
        // Also when nobody sleeps it must be a write: see the protocol. Of the value only the
        // bits matter, the count may wrap.
        let mut state = if mutant!("a-ring-that-only-looks") {
            slot.state.load(Ordering::Acquire)
        } else {
            slot.state.fetch_add(ONE, Ordering::AcqRel).wrapping_add(ONE)
        };
        while state & ARMED != 0 {
            let taking = (state & !ARMED) | TAKING;
            match slot.state.compare_exchange_weak(
                state,
                taking,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return self.take_and_wake(),
                Err(now) => state = now,
            }
        }
    }

    #[cold]
    fn take_and_wake(&self) {
        let slot = &self.0.0;
        // SAFETY: we cleared `ARMED` and set `TAKING`: the cell is ours until that is cleared.
        let waker = slot.waker.with_mut(|cell| unsafe { (*cell).take() });
        slot.state.fetch_and(!TAKING, Ordering::AcqRel);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl fmt::Debug for Ringer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ringer")
    }
}
