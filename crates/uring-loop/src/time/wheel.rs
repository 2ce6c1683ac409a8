//! The timer store: O(1) insert and cancel, exact to the nanosecond, stable for equal deadlines.
//!
//! # How it works
//!
//! A monotone radix heap (Ahuja, Mehlhorn, Orlin, Tarjan 1990), the shape of Seastar's
//! `timer_set`. `last` is the time of the last expiry. An entry lies in the bucket whose number is
//! the position of the highest bit in which its deadline differs from `last`; bucket 0 holds what
//! is due. Three facts carry everything:
//!
//! * **Buckets are ordered**: every entry of bucket *j* is due before every entry of bucket *k* if
//!   *j < k*.
//! * **Moving `last` to `now` empties every bucket below the highest bit in which they differ**
//!   (those are due) and spreads only the one *at* that bit; the buckets above stay right as they
//!   are. An entry moves down at most 64 times in its life.
//! * **Equal deadlines are always in one bucket, in order of insertion**, since a bucket is spread
//!   in order, and only into empty ones.
//!
//! # Life story of an [`Entry`]
//!
//! *idle*: in no bucket, owned by its future. *armed*: in the list of one bucket; its neighbours
//! and the bucket point to it, so it may neither move nor be freed: it is pinned, and its owner
//! disarms it on drop. *fired*: taken out by [`Wheel::expire`], `fired` set, its waker handed
//! out; from here on it is idle again. Entries never leave the thread of their wheel.

use std::cell::{Cell, RefCell};
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::ptr;

use crate::wake::LocalWaker;

const BUCKETS: usize = 65;
const IDLE: u8 = u8::MAX;

/// How many entries of the nearest bucket are looked at to find the exact next deadline. Beyond
/// that a lower bound is given: the loop then wakes early, spreads the bucket, and goes on.
const EXACT_UP_TO: usize = 16;

/// A timer, living in the future that waits for it.
pub(crate) struct Entry {
    prev: Cell<*const Entry>,
    next: Cell<*const Entry>,
    deadline: Cell<u64>,
    waker: Cell<Option<LocalWaker>>,
    /// The timers it is armed in; null when idle.
    home: Cell<*const Timers>,
    bucket: Cell<u8>,
    fired: Cell<bool>,
    _pinned: PhantomPinned,
}

impl Entry {
    pub(crate) const fn new() -> Self {
        Entry::at(0)
    }

    /// One that shall be armed for `deadline`.
    pub(crate) const fn at(deadline: u64) -> Self {
        Entry {
            prev: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            deadline: Cell::new(deadline),
            waker: Cell::new(None),
            home: Cell::new(ptr::null()),
            bucket: Cell::new(IDLE),
            fired: Cell::new(false),
            _pinned: PhantomPinned,
        }
    }

    pub(crate) fn fired(&self) -> bool {
        self.fired.get()
    }

    pub(crate) fn armed(&self) -> bool {
        self.bucket.get() != IDLE
    }

    pub(crate) fn deadline(&self) -> u64 {
        self.deadline.get()
    }

    /// Leaves its timers and takes another deadline, to be armed for. One that is `due` has fired.
    pub(crate) fn reset(&self, deadline: u64, due: bool) {
        self.disarm();
        self.deadline.set(deadline);
        self.fired.set(due);
    }

    /// Leaves the timers it is armed in, if it is.
    pub(crate) fn disarm(&self) {
        // SAFETY: timers that go away disarm their entries first (`Timers::drop`).
        if let Some(timers) = unsafe { self.home.replace(ptr::null()).as_ref() } {
            timers.0.borrow_mut().disarm(self);
        }
    }

    /// Replaces the waker, unless it would wake the same task anyway.
    pub(crate) fn set_waker(&self, waker: &std::task::Waker) {
        let old = self.waker.take();
        self.waker.set(Some(match old {
            Some(old) if old.will_wake(waker) => old,
            _ => LocalWaker::new(waker),
        }));
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.disarm();
    }
}

/// A wheel that entries can find their way back to.
#[derive(Debug)]
pub(crate) struct Timers(RefCell<Wheel>);

impl Timers {
    pub(crate) fn new(now: u64) -> Self {
        Timers(RefCell::new(Wheel::new(now)))
    }

    /// Arms `entry` for `deadline`, wherever it was armed before. The end of time is never armed.
    pub(crate) fn arm(&self, entry: Pin<&Entry>, deadline: u64) {
        let entry = entry.get_ref();
        entry.disarm();
        entry.fired.set(false);
        if deadline == u64::MAX {
            return;
        }
        entry.home.set(self);
        // SAFETY: pinned, and `Entry::drop` disarms it.
        unsafe { self.0.borrow_mut().arm(entry, deadline) };
    }

    pub(crate) fn expire(&self, now: u64, due: &mut Vec<(u64, LocalWaker)>) {
        self.0.borrow_mut().expire(now, due);
    }

    pub(crate) fn next(&self) -> Option<u64> {
        self.0.borrow().next()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Tells which tasks wait for which moments.
    pub(crate) fn waiting(&self, mut tell: impl FnMut(u32, u64)) {
        self.0.borrow().for_each(|entry| {
            let waker = entry.waker.take();
            let task = waker.as_ref().and_then(LocalWaker::task);
            entry.waker.set(waker);
            task.into_iter().for_each(|task| tell(task, entry.deadline()));
        });
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        // Whoever waits outside of the loop waits for ever; the entries must not look for us.
        self.0.get_mut().abandon();
    }
}

/// The timers of one loop. Times are nanoseconds of the loop's clock.
pub(crate) struct Wheel {
    /// Heads of circular lists; null when empty.
    buckets: [*const Entry; BUCKETS],
    /// Bit *k* is set when bucket *k* is not empty, for 1 to 63; 0 and 64 are looked up.
    occupied: u128,
    last: u64,
    armed: usize,
}

impl Wheel {
    pub(crate) fn new(now: u64) -> Self {
        Wheel { buckets: [ptr::null(); BUCKETS], occupied: 0, last: now, armed: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.armed
    }

    fn bucket_of(&self, deadline: u64) -> usize {
        if deadline <= self.last {
            return 0;
        }
        (u64::BITS - (deadline ^ self.last).leading_zeros()) as usize
    }

    /// Arms `entry`, which must be idle.
    ///
    /// # Safety
    ///
    /// `entry` is pinned and is disarmed before it is freed.
    pub(crate) unsafe fn arm(&mut self, entry: &Entry, deadline: u64) {
        debug_assert!(!entry.armed());
        entry.deadline.set(deadline);
        entry.fired.set(false);
        self.link(entry, self.bucket_of(deadline));
        self.armed += 1;
    }

    fn link(&mut self, entry: &Entry, bucket: usize) {
        entry.bucket.set(bucket as u8);
        self.occupied |= 1 << bucket;
        let head = self.buckets[bucket];
        if head.is_null() {
            entry.prev.set(entry);
            entry.next.set(entry);
            self.buckets[bucket] = entry;
            return;
        }
        // SAFETY: an entry reachable from a bucket is armed, hence pinned and alive (`arm`).
        let head_ref = unsafe { &*head };
        // SAFETY: as above; the lists are circular, so `prev` is never null.
        let tail = unsafe { &*head_ref.prev.get() };
        entry.prev.set(tail);
        entry.next.set(head);
        tail.next.set(entry);
        head_ref.prev.set(entry);
        if mutant!("youngest-timer-first") {
            self.buckets[bucket] = entry;
        }
    }

    /// Takes `entry` out of this wheel; nothing happens if it is idle.
    pub(crate) fn disarm(&mut self, entry: &Entry) {
        if entry.armed() {
            self.unlink(entry);
            self.armed -= 1;
        }
    }

    fn unlink(&mut self, entry: &Entry) {
        let bucket = entry.bucket.replace(IDLE) as usize;
        let (prev, next) = (entry.prev.get(), entry.next.get());
        if ptr::eq(next, entry) {
            self.buckets[bucket] = ptr::null();
            self.occupied &= !(1 << bucket);
            return;
        }
        // SAFETY: neighbours in a list are armed, hence alive.
        unsafe {
            (*prev).next.set(next);
            (*next).prev.set(prev);
        }
        if ptr::eq(self.buckets[bucket], entry) {
            self.buckets[bucket] = next;
        }
    }

    /// Moves the time to `now` and hands the wakers of what is due to `due`, by deadline, equal
    /// deadlines in order of arming.
    pub(crate) fn expire(&mut self, now: u64, due: &mut Vec<(u64, LocalWaker)>) {
        let now = now.max(self.last);
        let reached = self.bucket_of(now);
        self.last = now;
        let start = due.len();
        let mut waiting = self.occupied & ((1u128 << (reached + 1)) - 1);
        while waiting != 0 {
            let bucket = waiting.trailing_zeros() as usize;
            waiting &= waiting - 1;
            self.spread(bucket, due);
        }
        due[start..].sort_by_key(|(deadline, _)| *deadline);
    }

    /// Empties a bucket: fires what is due and links the rest anew, in order.
    fn spread(&mut self, bucket: usize, due: &mut Vec<(u64, LocalWaker)>) {
        let head = std::mem::replace(&mut self.buckets[bucket], ptr::null());
        self.occupied &= !(1 << bucket);
        let mut at = head;
        loop {
            // SAFETY: reachable from a bucket, hence armed, pinned and alive. No foreign code runs
            // in this loop, so it stays so.
            let entry = unsafe { &*at };
            let next = entry.next.get();
            if entry.deadline.get() <= self.last {
                entry.bucket.set(IDLE);
                entry.home.set(ptr::null());
                entry.fired.set(true);
                self.armed -= 1;
                due.extend(entry.waker.take().map(|waker| (entry.deadline.get(), waker)));
            } else {
                self.link(entry, self.bucket_of(entry.deadline.get()));
            }
            at = next;
            if ptr::eq(at, head) {
                return;
            }
        }
    }

    fn for_each(&self, mut f: impl FnMut(&Entry)) {
        for head in self.buckets.iter().filter(|head| !head.is_null()) {
            let mut at = *head;
            loop {
                // SAFETY: reachable from a bucket, hence armed, pinned and alive; `f` runs no
                // foreign code.
                let entry = unsafe { &*at };
                f(entry);
                at = entry.next.get();
                if ptr::eq(at, *head) {
                    break;
                }
            }
        }
    }

    /// Makes every entry idle without firing it.
    fn abandon(&mut self) {
        for bucket in 0..BUCKETS {
            // SAFETY: reachable from a bucket, hence alive.
            while let Some(entry) = unsafe { self.buckets[bucket].as_ref() } {
                self.disarm(entry);
                entry.home.set(ptr::null());
            }
        }
    }

    /// When to look again: the next deadline, or an earlier time if many are near each other.
    pub(crate) fn next(&self) -> Option<u64> {
        if self.occupied == 0 {
            return None;
        }
        let bucket = self.occupied.trailing_zeros() as usize;
        if bucket == 0 {
            return Some(self.last);
        }
        let head = self.buckets[bucket];
        let mut earliest = u64::MAX;
        let mut at = head;
        for _ in 0..EXACT_UP_TO {
            // SAFETY: reachable from a bucket, hence alive.
            let entry = unsafe { &*at };
            earliest = earliest.min(entry.deadline.get());
            at = entry.next.get();
            if ptr::eq(at, head) {
                return Some(earliest);
            }
        }
        let low = bucket - 1;
        Some((self.last >> low | 1) << low)
    }
}

impl std::fmt::Debug for Wheel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wheel").field("armed", &self.armed).field("next", &self.next()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::rc::Rc;
    use std::sync::{Arc, Mutex};
    use std::task::{Wake, Waker};

    struct Mark(u32, Arc<Mutex<Vec<u32>>>);
    impl Wake for Mark {
        fn wake(self: Arc<Self>) {
            self.1.lock().expect("no panic holds it").push(self.0);
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Arm(u64),
        Disarm(usize),
        Advance(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let delay = prop_oneof![0..4u64, 0..300u64, 0..1u64 << 20, any::<u64>()];
        prop_oneof![
            4 => delay.clone().prop_map(Step::Arm),
            1 => any::<usize>().prop_map(Step::Disarm),
            2 => (0..1u64 << 21).prop_map(Step::Advance),
        ]
    }

    proptest! {
        /// Against a sorted list: the same order, nothing early, nothing late, `next` never late.
        #[test]
        fn a_wheel_is_a_sorted_list(
            start in 0..1u64 << 40,
            steps in prop::collection::vec(step(), 1..200),
        ) {
            let fired = Arc::new(Mutex::new(Vec::new()));
            let wheel = Rc::new(RefCell::new(Wheel::new(start)));
            let mut entries: Vec<(u32, std::pin::Pin<Box<Entry>>)> = Vec::new();
            let mut model: Vec<(u64, u32)> = Vec::new();
            let (mut now, mut serial) = (start, 0);
            for step in steps {
                match step {
                    Step::Arm(delay) => {
                        let entry = Box::pin(Entry::new());
                        let mark = Mark(serial, fired.clone());
                        entry.set_waker(&Waker::from(Arc::new(mark)));
                        let deadline = now.saturating_add(delay);
                        // SAFETY: boxed, and the wheel dies before the boxes.
                        unsafe { wheel.borrow_mut().arm(&entry, deadline) };
                        model.push((deadline, serial));
                        entries.push((serial, entry));
                        serial += 1;
                    }
                    Step::Disarm(index) if !entries.is_empty() => {
                        let (serial, entry) = &entries[index % entries.len()];
                        wheel.borrow_mut().disarm(entry);
                        model.retain(|(_, other)| other != serial);
                    }
                    Step::Disarm(_) => {}
                    Step::Advance(by) => {
                        now += by;
                        let mut due = Vec::new();
                        wheel.borrow_mut().expire(now, &mut due);
                        due.into_iter().for_each(|(_, waker)| waker.wake());
                        let mut expected: Vec<_> =
                            model.iter().copied().filter(|timer| timer.0 <= now).collect();
                        expected.sort_by_key(|(deadline, _)| *deadline);
                        model.retain(|(deadline, _)| *deadline > now);
                        let got = std::mem::take(&mut *fired.lock().expect("no panic holds it"));
                        let expected: Vec<u32> = expected.iter().map(|timer| timer.1).collect();
                        prop_assert_eq!(got, expected);
                    }
                }
                let wheel = wheel.borrow();
                prop_assert_eq!(wheel.len(), model.len());
                let nearest = model.iter().map(|(deadline, _)| *deadline).min();
                match (wheel.next(), nearest) {
                    (None, None) => {}
                    (Some(next), Some(nearest)) => {
                        prop_assert!(next <= nearest.max(now));
                        prop_assert!(model.len() > EXACT_UP_TO || next == nearest.max(now));
                        prop_assert!(next >= now);
                    }
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            for (_, entry) in &entries {
                wheel.borrow_mut().disarm(entry);
            }
        }
    }

    #[test]
    fn many_near_deadlines_give_a_bound_and_still_fire_in_order() {
        let mut wheel = Wheel::new(0);
        let entries: Vec<_> = (0..1000).map(|_| Box::pin(Entry::new())).collect();
        for (index, entry) in entries.iter().enumerate() {
            entry.set_waker(Waker::noop());
            // SAFETY: boxed; every one fires below.
            unsafe { wheel.arm(entry, 1_000_000 + (index as u64 * 7919) % 1000) };
        }
        let mut due = Vec::new();
        let mut looks = 0;
        while let Some(next) = wheel.next() {
            wheel.expire(next, &mut due);
            looks += 1;
        }
        assert_eq!(due.len(), 1000);
        assert!(due.is_sorted_by_key(|(deadline, _)| *deadline));
        assert!(looks < 1100, "{looks} looks for 1000 distinct deadlines");
    }
}
