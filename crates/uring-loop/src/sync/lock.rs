//! A lock for tasks of one loop.

use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::mem::{self, ManuallyDrop};
use std::ops::{Deref, DerefMut};
use std::ptr;
use std::rc::Rc;

use super::wait::{Wait, wait};
use super::waitlist::{Grant, WaitList};

/// Lets one task at a time at a value, and keeps it theirs over an `await`.
///
/// Tasks get it in the order in which they asked: unlocking hands it to the first in line, and
/// whoever comes meanwhile queues up behind, also with [`try_lock`](Self::try_lock). It does not
/// belong to a task: a guard may be dropped by another than took it. A panic while it is held
/// unlocks it, and the value stays as it was left.
///
/// Between two `await`s no other task runs, so a value that is not borrowed across one needs no
/// lock: a `Cell` or `RefCell` will do.
///
/// A waiting future that is kept without being polled, or was forgotten (`mem::forget`), gets the
/// lock in its turn all the same and holds it as a forgotten guard would: nobody else gets it until
/// that future is polled or dropped. So do not wait for a lock by reference in one branch of a
/// `select` and lock it again in another.
///
/// # Examples
///
/// ```
/// use std::rc::Rc;
/// use uring_loop::sync::Lock;
/// use uring_loop::{spawn, yield_now};
///
/// uring_loop::run(async {
///     let total = Rc::new(Lock::new(0));
///     let add = |n| {
///         let total = total.clone();
///         spawn(async move {
///             let mut guard = total.lock().await;
///             let old = *guard;
///             yield_now().await; // nobody else comes in between
///             *guard = old + n;
///         })
///     };
///     for task in [add(1), add(2), add(3)] {
///         task.await.unwrap();
///     }
///     assert_eq!(*total.lock().await, 6);
/// })
/// # .unwrap();
/// ```
#[doc(alias = "Mutex")]
pub struct Lock<T: ?Sized> {
    /// Held by a guard, or by the waiter that was chosen. While anybody is in line, it is.
    locked: Cell<bool>,
    pub(super) waiters: WaitList,
    value: UnsafeCell<T>,
}

/// How a [`Lock`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockStatistics {
    /// Whether somebody holds it.
    pub locked: bool,
    /// How many wait for it.
    pub waiters: usize,
}

/// The lock is held as long as this lives; made by [`Lock::lock`].
#[must_use = "it unlocks when it is dropped"]
pub struct LockGuard<'a, T: ?Sized> {
    lock: &'a Lock<T>,
}

/// The lock is held as long as this lives; made by [`Lock::lock_owned`]. It keeps its [`Lock`]
/// alive.
#[must_use = "it unlocks when it is dropped"]
pub struct OwnedLockGuard<T: ?Sized> {
    lock: Rc<Lock<T>>,
}

impl<T> Lock<T> {
    /// One that is not locked.
    pub const fn new(value: T) -> Self {
        Lock { locked: Cell::new(false), waiters: WaitList::new(), value: UnsafeCell::new(value) }
    }

    /// The value, for good.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Lock<T> {
    /// Waits until it is this task's turn and takes the lock.
    ///
    /// Unlocking is dropping the guard.
    ///
    /// # Cancel safety
    ///
    /// Strict: the place in line is lost, and a lock that was handed over already goes to the next.
    #[doc(alias = "acquire")]
    pub async fn lock(&self) -> LockGuard<'_, T> {
        wait(&self.waiters, Acquire(self)).await
    }

    /// Takes the lock if it is free now. `None` also while it is being handed to the next in line.
    #[doc(alias = "try_acquire")]
    pub fn try_lock(&self) -> Option<LockGuard<'_, T>> {
        (!self.locked()).then(|| self.take())
    }

    /// As [`lock`](Self::lock); the guard borrows nothing, so it may go to a callback or to another
    /// task.
    ///
    /// # Cancel safety
    ///
    /// Strict: as [`lock`](Self::lock).
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// use std::rc::Rc;
    /// use uring_loop::call_later;
    /// use uring_loop::sync::Lock;
    ///
    /// # uring_loop::testing::run(async {
    /// let lock = Rc::new(Lock::new(5));
    /// let mut guard = lock.clone().lock_owned().await;
    /// call_later(Duration::from_secs(1), move || *guard += 1); // and unlocks
    /// assert_eq!(*lock.lock().await, 6);
    /// # })
    /// ```
    pub async fn lock_owned(self: Rc<Self>) -> OwnedLockGuard<T> {
        self.lock().await.leave_locked();
        OwnedLockGuard { lock: self }
    }

    /// As [`try_lock`](Self::try_lock); the guard borrows nothing.
    pub fn try_lock_owned(self: Rc<Self>) -> Option<OwnedLockGuard<T>> {
        self.try_lock()?.leave_locked();
        Some(OwnedLockGuard { lock: self })
    }

    /// Whether somebody holds it, or it is being handed over.
    #[doc(alias = "is_locked")]
    pub fn locked(&self) -> bool {
        self.locked.get()
    }

    /// The value, without locking: `&mut self` proves that nobody holds it.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// How it stands.
    pub fn statistics(&self) -> LockStatistics {
        LockStatistics { locked: self.locked(), waiters: self.waiters.len() }
    }

    fn take(&self) -> LockGuard<'_, T> {
        debug_assert!(!self.locked());
        self.locked.set(true);
        LockGuard { lock: self }
    }

    /// Hands the lock to the first in line. It stays locked on the way, so nobody gets between.
    fn unlock(&self) {
        match self.waiters.choose() {
            Some(waker) => waker.wake(),
            None => self.locked.set(false),
        }
    }
}

struct Acquire<'a, T: ?Sized>(&'a Lock<T>);

impl<'a, T: ?Sized> Wait for Acquire<'a, T> {
    type Output = LockGuard<'a, T>;

    fn is_free(&self) -> bool {
        !self.0.locked()
    }

    fn take(&mut self) -> LockGuard<'a, T> {
        self.0.take()
    }

    fn claim(&mut self, _: Grant) -> Option<LockGuard<'a, T>> {
        Some(LockGuard::handed(self.0))
    }

    fn refused(&mut self, _: Grant) {
        if !mutant!("refused-lock-kept") {
            self.0.unlock();
        }
    }
}

impl<'a, T: ?Sized> LockGuard<'a, T> {
    /// Of a lock that was handed to the caller.
    pub(super) fn handed(lock: &'a Lock<T>) -> Self {
        debug_assert!(lock.locked());
        LockGuard { lock }
    }

    /// The lock it is of.
    pub(super) fn lock(&self) -> &'a Lock<T> {
        self.lock
    }

    /// The lock stays locked: the caller makes a guard of the other kind.
    pub(super) fn leave_locked(self) {
        mem::forget(self);
    }
}

impl<T: ?Sized> Deref for LockGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: a guard exists once at a time: `locked` is set while there is one, and another
        // is made only when it was clear, or handed on by one that is gone. `&self` keeps
        // `deref_mut` away.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for LockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; `&mut self` is the only way to the value.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for LockGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.unlock();
    }
}

impl<T: ?Sized> OwnedLockGuard<T> {
    /// Of a lock that was handed to the caller.
    pub(super) fn handed(lock: Rc<Lock<T>>) -> Self {
        debug_assert!(lock.locked());
        OwnedLockGuard { lock }
    }

    /// The lock, which stays locked: the caller makes a guard of it again.
    pub(super) fn into_locked(self) -> Rc<Lock<T>> {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is neither dropped nor used again, so the count moves from there to here.
        unsafe { ptr::read(&raw const this.lock) }
    }
}

impl<T: ?Sized> Deref for OwnedLockGuard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: made where a `LockGuard` was left without unlocking, so this is the one guard
        // that exists. `&self` keeps `deref_mut` away.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for OwnedLockGuard<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; `&mut self` is the only way to the value.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for OwnedLockGuard<T> {
    fn drop(&mut self) {
        self.lock.unlock();
    }
}

impl<T: Default> Default for Lock<T> {
    fn default() -> Self {
        Lock::new(T::default())
    }
}

impl<T> From<T> for Lock<T> {
    fn from(value: T) -> Self {
        Lock::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LockStatistics { locked, waiters } = self.statistics();
        let mut shown = f.debug_struct("Lock");
        shown.field("locked", &locked).field("waiters", &waiters);
        // Under a guard: the value's own `fmt` may come back to this lock.
        match self.try_lock() {
            Some(value) => shown.field("value", &&*value).finish(),
            None => shown.finish_non_exhaustive(),
        }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for LockGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for LockGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for OwnedLockGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for OwnedLockGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
