//! What a `Waker` of a task does: the functions of its `RawWakerVTable` (`wake.rs` has the table).
//!
//! `data` is a `Header` with a reference in `shared` for each waker.

use std::task::RawWaker;

use super::raw::Header;
use super::references::release_shared;
use crate::wake::TASK_WAKER;

pub(crate) unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: the waker that is cloned keeps the header alive.
    unsafe { &*data.cast::<Header>() }.shared.retain();
    RawWaker::new(data, &TASK_WAKER)
}

pub(crate) unsafe fn wake(data: *const ()) {
    // SAFETY: as above; then the waker's reference is given up.
    unsafe {
        wake_by_ref(data);
        drop(data);
    }
}

pub(crate) unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: as above.
    unsafe { &*data.cast::<Header>() }.wake();
}

pub(crate) unsafe fn drop(data: *const ()) {
    // SAFETY: the waker's reference is given up, and it is not used again.
    unsafe { release_shared(data.cast()) };
}
