//! Wakers that stay at home.
//!
//! A `Waker` may go to any thread, so its count is atomic, and it takes two words. Most never
//! leave: an op, a timer, a scope keeps the waker of a task of its own loop. [`LocalWaker`]
//! recognises that case, counts in a plain cell of the task, and takes one word; every other waker
//! is cloned as usual, into a box. A third kind wakes one of the many that somebody waits for
//! (`task/collect.rs`). It is not `Send`.

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::task::{RawWakerVTable, Waker};

use crate::context;
use crate::task::collect::Slot;
use crate::task::raw::Header;
use crate::task::{references, waker};

/// The vtable of wakers of tasks. A `static`, so that its address tells.
pub(crate) static TASK_WAKER: RawWakerVTable =
    RawWakerVTable::new(waker::clone, waker::wake, waker::wake_by_ref, waker::drop);

/// The lowest bit of a pointer to a boxed waker; headers and boxes are aligned to more.
const FOREIGN: usize = 1;
/// The next bit: a slot of a collector.
const SLOT: usize = 2;

/// Somebody to wake, from this thread: a header with a local reference of ours, or, marked by
/// [`FOREIGN`], a box with a waker, or, marked by [`SLOT`], a slot with a reference of ours to its
/// collector.
pub(crate) struct LocalWaker {
    tagged: NonNull<()>,
    _not_send: PhantomData<*const ()>,
}

/// The task of this thread's loop that `waker` wakes, if it is such a one.
#[inline]
fn own_task(waker: &Waker) -> Option<&Header> {
    if !ptr::eq(waker.vtable(), &TASK_WAKER) {
        return None;
    }
    // SAFETY: this vtable is only ever paired with a header that the waker keeps alive.
    let header = unsafe { &*waker.data().cast::<Header>() };
    // Ids are not used twice and a loop stays on its thread.
    (header.node.loop_id == context::loop_id()).then_some(header)
}

impl LocalWaker {
    #[inline]
    pub(crate) fn new(waker: &Waker) -> Self {
        let Some(header) = own_task(waker) else { return Self::boxed(waker) };
        header.retain_local();
        LocalWaker { tagged: NonNull::from(header).cast(), _not_send: PhantomData }
    }

    #[cold]
    fn boxed(waker: &Waker) -> Self {
        let boxed: NonNull<()> = NonNull::from(Box::leak(Box::new(waker.clone()))).cast();
        let tagged = boxed.map_addr(|address| address | FOREIGN);
        LocalWaker { tagged, _not_send: PhantomData }
    }

    /// Wakes a slot. Takes over the reference of [`Collector::waker`](crate::task::collect).
    pub(crate) fn of_slot(slot: &Slot) -> Self {
        let tagged = NonNull::from(slot).cast::<()>().map_addr(|address| address | SLOT);
        LocalWaker { tagged, _not_send: PhantomData }
    }

    fn has_mark(&self, mark: usize) -> bool {
        self.tagged.addr().get() & mark != 0
    }

    fn local(&self) -> Option<&Header> {
        // SAFETY: not marked, so it is a header on which we hold a local reference.
        (!self.has_mark(FOREIGN | SLOT)).then(|| unsafe { self.tagged.cast().as_ref() })
    }

    fn slot(&self) -> Option<*const Slot> {
        let pointer = || self.tagged.as_ptr().map_addr(|address| address & !SLOT);
        self.has_mark(SLOT).then(|| pointer().cast_const().cast())
    }

    /// The box, if this is not a local waker.
    fn foreign(&self) -> NonNull<Waker> {
        debug_assert!(self.has_mark(FOREIGN));
        let address = self.tagged.as_ptr().map_addr(|address| address & !FOREIGN);
        NonNull::new(address.cast()).expect("a box is not at address 0")
    }

    /// Whether waking this wakes the same as `waker` would.
    pub(crate) fn will_wake(&self, waker: &Waker) -> bool {
        match self.local() {
            Some(header) => {
                ptr::eq(waker.vtable(), &TASK_WAKER)
                    && ptr::eq(ptr::from_ref(header).cast(), waker.data())
            }
            // A slot has no `Waker`.
            None if self.has_mark(SLOT) => false,
            // SAFETY: ours, and alive.
            None => unsafe { self.foreign().as_ref() }.will_wake(waker),
        }
    }

    /// The number of the task it wakes, if it is one of this thread's loop.
    pub(crate) fn task(&self) -> Option<u32> {
        match self.slot() {
            // SAFETY: alive by our reference.
            Some(slot) => unsafe { &*slot }.awaited_by(),
            None => self.local().map(|header| header.node.id),
        }
    }

    #[inline]
    pub(crate) fn wake(self) {
        match self.local() {
            Some(header) => header.wake(),
            None => self.wake_other(),
        }
    }

    #[inline(never)]
    fn wake_other(self) {
        if let Some(slot) = self.slot() {
            // SAFETY: alive by our reference, which goes with `self`.
            return unsafe { &*slot }.wake();
        }
        let this = ManuallyDrop::new(self);
        // SAFETY: the box that `new` made; `this` is not dropped.
        unsafe { Box::from_raw(this.foreign().as_ptr()) }.wake();
    }
}

impl Drop for LocalWaker {
    #[inline]
    fn drop(&mut self) {
        match self.local() {
            // SAFETY: our own local reference, taken in `new`, on the task's thread (not `Send`).
            Some(header) => unsafe { references::release_local(header) },
            None => self.release_other(),
        }
    }
}

impl LocalWaker {
    #[inline(never)]
    fn release_other(&self) {
        if let Some(slot) = self.slot() {
            // SAFETY: our own reference, taken over in `of_slot`.
            unsafe { Slot::release(slot) };
        } else {
            // SAFETY: the box that `new` made.
            drop(unsafe { Box::from_raw(self.foreign().as_ptr()) });
        }
    }
}

impl fmt::Debug for LocalWaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.has_mark(SLOT) {
            return f.write_str("LocalWaker(slot)");
        }
        match self.local() {
            Some(header) => write!(f, "LocalWaker(task {})", header.node.id),
            None => f.write_str("LocalWaker(foreign)"),
        }
    }
}

const _: () = assert!(size_of::<Option<LocalWaker>>() == size_of::<usize>());
const _: () = assert!(align_of::<Header>() > FOREIGN | SLOT);
const _: () = assert!(align_of::<Waker>() > FOREIGN | SLOT && align_of::<Slot>() > FOREIGN | SLOT);
