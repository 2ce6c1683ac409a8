//! A step of a task, and its end: by its future, or by a request.
//!
//! Whoever ends a task puts its output into the cell, and hands it over once: *complete* in the
//! life story (`raw.rs`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use super::output::drop_output;
use super::{Header, flags};
use crate::cancel::ScopeRef;
use crate::context;
use crate::task::{JoinError, callbacks};
use crate::turn::Core;

/// One step of a task that was taken from the run queue. `true`: it is complete now, and the
/// loop's list shall let go of it.
///
/// # Safety
///
/// `header` is a live task of the loop running here, is not complete, is not being polled, and is
/// not in the run queue (its flag may still say so). If it was asked to end, this is
/// [`step_asked`]'s. No other task is the current one.
#[inline(always)]
pub(in crate::task) unsafe fn step(header: NonNull<Header>) -> bool {
    // SAFETY: the caller's promise; the loop's reference stands until `complete`.
    let this = unsafe { header.as_ref() };
    // It comes from the queue. The flags are written once for that and for what follows.
    let before = this.flags.get() & !flags::SCHEDULED;
    this.flags.set(before | flags::RUNNING | flags::STARTED);
    let polled = {
        let _entered = context::enter_task(this, ScopeRef::task(this));
        // SAFETY: not complete, so the future is there.
        unsafe { (this.vtable.poll)(header) }
    };
    if polled.is_ready() {
        finish(this, header);
        return true;
    }
    let now = this.flags.get();
    if now & (flags::ASKED | flags::CANCEL | flags::ABORT) == 0 {
        this.flags.set(now & !flags::RUNNING);
        return false;
    }
    // SAFETY: not complete, and its poll has returned.
    unsafe { park_asked(header) }
}

/// [`step`] for a task that was asked to end.
///
/// # Safety
///
/// As [`step`].
#[cold]
pub(in crate::task) unsafe fn step_asked(header: NonNull<Header>) -> bool {
    // SAFETY: the caller's promise.
    let this = unsafe { header.as_ref() };
    if this.has(flags::STARTED) && !this.has(flags::ABORT) {
        // SAFETY: handed on.
        return unsafe { step(header) };
    }
    // As asyncio: a task that is cancelled before its first step never takes it.
    this.set(flags::ABORT);
    this.clear(flags::SCHEDULED);
    // SAFETY: not complete, not being polled.
    unsafe { park_asked(header) }
}

/// The park of a task that was asked to end, or whose catchers were. `true`: it is complete now.
///
/// # Safety
///
/// `header` is a live task of the loop running here, is not complete, and its poll, if it had one,
/// has returned.
#[cold]
unsafe fn park_asked(header: NonNull<Header>) -> bool {
    // SAFETY: the caller's promise.
    let this = unsafe { header.as_ref() };
    if !this.has(flags::SCHEDULED) && this.take(flags::ASKED) {
        this.children.give_back_unheard();
    }
    this.clear(flags::RUNNING);
    if this.take(flags::CANCEL) && !this.has(flags::ABORT) && !this.ask() {
        this.set(flags::ABORT);
    }
    if !this.has(flags::ABORT) {
        return false;
    }
    // SAFETY: not complete, not being polled.
    unsafe { discard(header) };
    true
}

/// Ends a task that is not complete without asking: now if it waits, else where its poll returns.
///
/// # Safety
///
/// `header` is a live task of this thread.
pub(in crate::task) unsafe fn abort(header: NonNull<Header>) {
    // SAFETY: the caller's promise.
    let this = unsafe { header.as_ref() };
    if this.is_complete() {
        return;
    }
    if this.has(flags::RUNNING) || this.node.loop_id != context::loop_id() {
        this.set(flags::ABORT);
        return this.wake();
    }
    // SAFETY: alive, not complete, not being polled, and its loop runs here.
    unsafe { discard(header) };
    context::with_core(|core| core.tasks.forget(this));
}

/// Drops the future of a task that is not complete and completes it as cancelled.
///
/// # Safety
///
/// As [`step`].
pub(in crate::task) unsafe fn discard(header: NonNull<Header>) {
    // SAFETY: the caller's promise.
    let this = unsafe { header.as_ref() };
    this.set(flags::RUNNING);
    let dropped = {
        let _outer = context::set_aside();
        let _entered = context::enter_task(this, ScopeRef::task(this));
        // SAFETY: not complete, so the future is there; it is not used again.
        catch_unwind(AssertUnwindSafe(|| unsafe { (this.vtable.drop_future)(header) }))
    };
    let error = match dropped {
        Ok(()) => JoinError::Cancelled(this.reason()),
        Err(panic) => {
            this.set(flags::FAILED);
            JoinError::Panicked(panic)
        }
    };
    // SAFETY: the future is gone and no output is there.
    unsafe { (this.vtable.store_error)(header, error) };
    finish(this, header);
}

/// The output is in its place: tell whoever waits for it.
#[inline]
fn finish(this: &Header, header: NonNull<Header>) {
    this.children.let_go();
    // Written once, and looked at in a register: each look at a word just written waits for it.
    let now = (this.flags.get() & !flags::RUNNING) | flags::COMPLETE;
    this.flags.set(now);
    if !this.shared.unique() {
        this.shared.close();
    }
    if now & (flags::EXTRAS | flags::FAILED) != 0 && finish_extras(this, header) {
        return;
    }
    hand_over(this, header);
}

/// A task with extras, or one that failed, is complete. `true`: callbacks come first, and hand the
/// output over when they have run.
#[cold]
fn finish_extras(this: &Header, header: NonNull<Header>) -> bool {
    let table = |core: &Core| core.tasks.extras.complete(this);
    drop(context::with_loop(this.node.loop_id, table));
    this.has(flags::EXTRAS) && callbacks::schedule(header)
}

/// Nobody but the handle may use the output from now on: it is told, or the output dropped.
pub(in crate::task) fn hand_over(this: &Header, header: NonNull<Header>) {
    if !this.has(flags::HANDLE) {
        drop_output(this, header);
    } else if let Some(waker) = this.join.waker.take() {
        waker.wake();
    }
}
