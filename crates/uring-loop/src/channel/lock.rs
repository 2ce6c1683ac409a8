//! The lock of a channel: std's, or loom's in a model.
//!
//! No foreign code runs under it: no waker is cloned, woken or dropped there, no item cloned or
//! dropped, no closure called. So it is held for a moment only, and a panic does not reach it.

use std::sync::PoisonError;

#[cfg(loom)]
pub(super) use loom::sync::{Condvar, Mutex, MutexGuard};
#[cfg(loom)]
pub(super) use loom::thread;
#[cfg(not(loom))]
pub(super) use std::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
pub(super) use std::thread;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
