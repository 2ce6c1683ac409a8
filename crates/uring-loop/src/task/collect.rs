//! Waiting for many tasks at once.
//!
//! Who waits for n tasks and is woken by one of them must not look at all n. So each task wakes a
//! *slot* of a [`Collector`]: the slot notes itself in a queue and wakes whoever waits, who takes
//! the numbers from the queue.
//!
//! # Life story of a slot
//!
//! *idle*: in no queue. *queued*: its task has something to say; it is linked into the queue until
//! it is popped. *over*: its task has been seen to, wakes do nothing. A slot lies in its collector,
//! and each waker of a slot holds a reference to the collector: a waker that outlives the one who
//! waits wakes nobody. All of it is of one thread.

use std::cell::Cell;
use std::fmt;
use std::ptr;
use std::rc::Rc;
use std::task::Waker;

use super::callbacks;
use super::raw;
use super::state::flags;
use super::{JoinError, Task};
use crate::cancel::{Cancelled, Link, Origin, ScopeRef};
use crate::context;
use crate::wake::LocalWaker;

/// What a slot's `next` says if it isn't the number of the next in the queue.
const IDLE: u32 = u32::MAX;
const LAST: u32 = u32::MAX - 1;
const OVER: u32 = u32::MAX - 2;

/// A place for one task. Its number is its place in the collector.
pub(crate) struct Slot {
    shared: Cell<*const Shared>,
    next: Cell<u32>,
}

struct Shared {
    /// Whoever waits.
    waker: Cell<Option<LocalWaker>>,
    head: Cell<u32>,
    tail: Cell<u32>,
    slots: Box<[Slot]>,
}

/// The slots of the tasks that somebody waits for, and the queue of those woken.
pub(crate) struct Collector(Rc<Shared>);

impl Collector {
    pub(crate) fn new(count: usize) -> Self {
        assert!(count < OVER as usize, "one wait is for less than four billion tasks");
        let slot = || Slot { shared: Cell::new(ptr::null()), next: Cell::new(IDLE) };
        let shared = Rc::new(Shared {
            waker: Cell::new(None),
            head: Cell::new(LAST),
            tail: Cell::new(LAST),
            slots: std::iter::repeat_with(slot).take(count).collect(),
        });
        for slot in &shared.slots {
            slot.shared.set(Rc::as_ptr(&shared));
        }
        Collector(shared)
    }

    /// A waker of slot `index`.
    pub(crate) fn waker(&self, index: usize) -> LocalWaker {
        // SAFETY: the pointer of a live `Rc`; the count is given back by `Slot::release`.
        unsafe { Rc::increment_strong_count(Rc::as_ptr(&self.0)) };
        LocalWaker::of_slot(&self.0.slots[index])
    }

    /// Notes slot `index` as woken.
    pub(crate) fn push(&self, index: usize) {
        self.0.push(index as u32);
    }

    /// The slot that was woken first.
    pub(crate) fn pop(&self) -> Option<usize> {
        let head = self.0.head.get();
        if head == LAST {
            return None;
        }
        let next = self.0.slots[head as usize].next.replace(IDLE);
        self.0.head.set(next);
        if next == LAST {
            self.0.tail.set(LAST);
        }
        Some(head as usize)
    }

    /// A slot that was popped has no more to say.
    pub(crate) fn close(&self, index: usize) {
        debug_assert_eq!(self.0.slots[index].next.get(), IDLE);
        self.0.slots[index].next.set(OVER);
    }

    /// Whom to wake.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        let old = self.0.waker.take();
        self.0.waker.set(Some(match old {
            Some(old) if old.will_wake(waker) => old,
            _ => LocalWaker::new(waker),
        }));
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // Slots that are woken later wake nobody.
        self.0.waker.set(None);
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Collector({} slots)", self.0.slots.len())
    }
}

impl Shared {
    /// Puts a slot at the end of the queue, unless it is there or over.
    fn push(&self, index: u32) {
        let slot = &self.slots[index as usize];
        if slot.next.get() != IDLE {
            return;
        }
        if mutant!("second-woken-slot-lost") && self.tail.get() != LAST {
            return;
        }
        slot.next.set(LAST);
        match self.tail.replace(index) {
            LAST => self.head.set(index),
            tail => self.slots[tail as usize].next.set(index),
        }
    }
}

impl Slot {
    fn shared(&self) -> &Shared {
        // SAFETY: set by `Collector::new`; a slot lies in what it points to.
        unsafe { &*self.shared.get() }
    }

    /// Something has happened to the slot's task.
    pub(crate) fn wake(&self) {
        let shared = self.shared();
        let offset = ptr::from_ref(self).addr() - shared.slots.as_ptr().addr();
        shared.push((offset / size_of::<Slot>()) as u32);
        if let Some(waker) = shared.waker.take() {
            waker.wake();
        }
    }

    /// The number of the task that waits for this and others.
    pub(crate) fn awaited_by(&self) -> Option<u32> {
        let waker = self.shared().waker.take();
        let task = waker.as_ref().and_then(LocalWaker::task);
        self.shared().waker.set(waker);
        task
    }

    /// A waker goes.
    ///
    /// # Safety
    ///
    /// `this` is the slot of a waker that [`Collector::waker`] made, and is not used again.
    pub(crate) unsafe fn release(this: *const Slot) {
        // SAFETY: alive by the waker's reference, which is given up.
        unsafe { Rc::decrement_strong_count((*this).shared.get()) };
    }
}

/// What became of the request to a task that is not waited for any more.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Left {
    /// There was none.
    Unasked,
    /// It was forwarded to the task.
    Answered(Origin),
    /// The task was ready, with a value, before anybody in it answered, or had heard of it.
    Unanswered(Origin),
}

/// A task among others that somebody waits for.
pub(crate) trait Member {
    /// The id of the task's loop.
    fn loop_id(&self) -> u32;
    /// Whether the result may be taken: the task is done, and its callbacks have run.
    fn is_ready(&self) -> bool;
    /// Whether it is ready and was cancelled.
    fn is_cancelled(&self) -> bool;
    /// Forgets who awaited it before, and takes a place under `scope`, or none: where it has one,
    /// it is asked to end if who waits is.
    fn begin(&self, scope: Option<ScopeRef>);
    /// Takes a place under the scope being polled, if it has lost the one it had there.
    fn take_place(&self);
    /// Has `waker` woken when it is ready, or is asked.
    fn tell(&self, waker: LocalWaker);
    /// Hands a request of the tree on to the task. `true`: its first.
    fn forward_request(&self) -> bool;
    /// Whether a request was forwarded to it.
    fn has_forwarded(&self) -> bool;
    /// Gives up the waker and the place in the tree. Tells what became of a request.
    fn leave(&self) -> Left;
    /// Nobody will look at the result: a failure counts as seen.
    fn disown(&self);
}

impl<T> Member for Task<T> {
    fn loop_id(&self) -> u32 {
        self.header().node.loop_id
    }

    fn is_ready(&self) -> bool {
        Task::is_ready(self)
    }

    fn is_cancelled(&self) -> bool {
        matches!(self.peek(), Err(error) if error.is_cancelled())
    }

    fn begin(&self, scope: Option<ScopeRef>) {
        let header = self.header();
        header.join.detach();
        header.join.forward(false);
        if let Some(scope) = scope {
            self.attach(scope);
        }
    }

    fn take_place(&self) {
        self.attach(context::scope());
    }

    fn tell(&self, waker: LocalWaker) {
        self.header().join.waker.set(Some(waker));
    }

    fn forward_request(&self) -> bool {
        let header = self.header();
        let unasked = mutant!("gather-asks-nobody");
        if self.is_done() || unasked {
            return false;
        }
        let Some(request) = header.join.take_request() else { return false };
        let first = !header.join.forward(true);
        header.join.note_forwarded(request.origin());
        header.cancel(request.into_reason());
        first
    }

    fn has_forwarded(&self) -> bool {
        self.header().join.has_forwarded()
    }

    fn leave(&self) -> Left {
        let header = self.header();
        let forwarded = header.join.forward(false);
        header.join.waker.set(None);
        let asked = header.join.take_request().map(Cancelled::answered).is_some();
        header.join.detach();
        if !forwarded && !asked {
            return Left::Unasked;
        }
        let origin = header.join.origin();
        let unanswered = asked || header.is_unanswered();
        if forwarded && !(self.is_ready() && !self.is_cancelled() && unanswered) {
            Left::Answered(origin)
        } else {
            Left::Unanswered(origin)
        }
    }

    fn disown(&self) {
        callbacks::show_to_nobody(self.header());
    }
}

impl<T> Task<T> {
    /// Takes a place under `scope`: there it is asked to end if who polls that is.
    pub(crate) fn attach(&self, scope: ScopeRef) {
        // SAFETY: the link lies in the task's heap cell, which this handle keeps alive, and
        // `release_handle` detaches it.
        unsafe { Link::attach(&raw const self.header().join, scope) };
    }

    /// The result of a task that is ready, where it lies.
    ///
    /// # Panics
    ///
    /// If it is not ready, or its result was taken.
    pub(crate) fn peek(&self) -> &Result<T, JoinError> {
        assert!(self.is_ready() && !self.header().has(flags::TAKEN), "there is no result to see");
        // SAFETY: complete and not taken; the type is `T`'s (`from_raw`). Only a handle takes it,
        // and the one there is, is borrowed.
        unsafe { &*raw::output(self.header).cast() }
    }
}
