//! The output of a complete task: it is taken, looked at, or dropped, and a failure that nobody
//! takes is reported.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};

use super::{Header, flags};
use crate::task::{JoinError, callbacks, panic_message};

/// Takes the output of a complete task.
///
/// # Safety
///
/// `T` is the output of the task's future; this is its thread.
#[inline]
pub(in crate::task) unsafe fn take_output<T>(header: NonNull<Header>) -> Result<T, JoinError> {
    // SAFETY: the caller holds a handle, hence a local reference.
    let this = unsafe { header.as_ref() };
    assert!(!this.has(flags::TAKEN), "a Task is not polled after it was ready");
    assert!(!callbacks::any(this), "callbacks that look at the output come first");
    this.set(flags::TAKEN);
    // SAFETY: complete and not taken, so the output is there, and nobody uses it again; the type is
    // right (caller).
    unsafe {
        // Each part by itself: a read of the whole would wait for parts that were written just now,
        // and take in others that never were.
        match &*output(header).cast::<Result<T, JoinError>>() {
            Ok(value) => Ok(ptr::read(value)),
            Err(error) => Err(ptr::read(error)),
        }
    }
}

/// Where the output of a complete task is: a `Result<T, JoinError>`.
///
/// # Safety
///
/// The task is complete, and the output not taken.
#[inline]
pub(in crate::task) unsafe fn output(header: NonNull<Header>) -> *const () {
    // SAFETY: the caller's promise; the offset is that of the stage, all of whose fields lie at its
    // start.
    unsafe { header.as_ptr().byte_add(header.as_ref().vtable.output).cast_const().cast() }
}

/// Drops the output for lack of a handle. A panic that nobody will see is logged.
pub(in crate::task) fn drop_output(this: &Header, header: NonNull<Header>) {
    if this.has(flags::TAKEN) {
        return;
    }
    if this.has(flags::FAILED) {
        // SAFETY: alive, and of this thread.
        unsafe { report_failure(header) };
    }
    this.set(flags::TAKEN);
    // SAFETY: complete and not taken, so the output is there.
    let dropped = catch_unwind(AssertUnwindSafe(|| unsafe { (this.vtable.drop_output)(header) }));
    if let Err(panic) = dropped {
        tracing::error!(
            task = this.node.id,
            at = %this.location,
            "the output of a task panicked in drop: {}",
            panic_message(&*panic),
        );
    }
}

/// Reports a failure that was neither taken nor reported.
///
/// # Safety
///
/// `header` is a live task of this thread.
pub(in crate::task) unsafe fn report_failure(header: NonNull<Header>) {
    // SAFETY: the caller's promise.
    let this = unsafe { header.as_ref() };
    if this.take(flags::FAILED) && !this.has(flags::TAKEN) {
        // SAFETY: failed, so it is complete; not taken, so the output is there.
        unsafe { (this.vtable.report)(header) };
    }
}
