//! Wakers that stay at home.
//!
//! A `Waker` may go to any thread, so its count is atomic. Most never leave: an op, a timer, a
//! scope keeps the waker of a task of its own loop. [`LocalWaker`] recognises that case and counts
//! in a plain cell of the task; every other waker is cloned as usual. It is not `Send`.

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr;
use std::task::{RawWaker, RawWakerVTable, Waker};

use crate::context;
use crate::task::raw::{self, Header};

/// The vtable of wakers of tasks. A `static`, so that its address tells.
pub(crate) static TASK_WAKER: RawWakerVTable =
    RawWakerVTable::new(raw::waker_clone, raw::waker_wake, raw::waker_wake_by_ref, raw::waker_drop);

/// Marks a [`LocalWaker`] that holds a local reference. Never in a real `Waker`.
static LOCAL: RawWakerVTable =
    RawWakerVTable::new(|_| unreachable!("never cloned"), |_| (), |_| (), |_| ());

/// Somebody to wake, from this thread.
pub(crate) struct LocalWaker {
    data: *const (),
    vtable: &'static RawWakerVTable,
    _not_send: PhantomData<*const ()>,
}

impl LocalWaker {
    pub(crate) fn new(waker: &Waker) -> Self {
        let data = waker.data();
        if ptr::eq(waker.vtable(), &TASK_WAKER) {
            // SAFETY: this vtable is only ever paired with a header that the waker keeps alive.
            let header = unsafe { &*data.cast::<Header>() };
            if header.node.loop_id == context::loop_id() {
                // Ids are not used twice and a loop stays on its thread: this is the task's own.
                header.retain_local();
                return LocalWaker { data, vtable: &LOCAL, _not_send: PhantomData };
            }
        }
        let waker = ManuallyDrop::new(waker.clone());
        LocalWaker { data: waker.data(), vtable: waker.vtable(), _not_send: PhantomData }
    }

    fn local(&self) -> Option<&Header> {
        // SAFETY: with this vtable, `data` is a header on which we hold a local reference.
        ptr::eq(self.vtable, &LOCAL).then(|| unsafe { &*self.data.cast() })
    }

    /// The waker that was cloned, if it isn't a local one.
    fn foreign(&self) -> ManuallyDrop<Waker> {
        debug_assert!(self.local().is_none());
        // SAFETY: both parts come from a waker that was cloned and forgotten for us; wrapped so
        // that it is not dropped here.
        ManuallyDrop::new(unsafe { Waker::from_raw(RawWaker::new(self.data, self.vtable)) })
    }

    /// Whether waking this wakes the same as `waker` would.
    pub(crate) fn will_wake(&self, waker: &Waker) -> bool {
        let vtable = if self.local().is_some() { &TASK_WAKER } else { self.vtable };
        self.data == waker.data() && ptr::eq(vtable, waker.vtable())
    }

    pub(crate) fn wake_by_ref(&self) {
        match self.local() {
            Some(header) => header.wake(),
            None => self.foreign().wake_by_ref(),
        }
    }

    pub(crate) fn wake(self) {
        self.wake_by_ref();
    }
}

impl Drop for LocalWaker {
    fn drop(&mut self) {
        match self.local() {
            // SAFETY: our own local reference, taken in `new`, on the task's thread (not `Send`).
            Some(header) => unsafe { raw::release_local(header) },
            None => drop(ManuallyDrop::into_inner(self.foreign())),
        }
    }
}

impl fmt::Debug for LocalWaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.local() {
            Some(header) => write!(f, "LocalWaker(task {})", header.node.id),
            None => f.write_str("LocalWaker(foreign)"),
        }
    }
}
