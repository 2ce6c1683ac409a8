//! Waiting, with a lock given up meanwhile, for a change of what the lock guards.

use std::fmt;

use super::lock::{Lock, LockGuard, OwnedLockGuard};
use super::wait::{Wait, wait_moving};
use super::waitlist::{Grant, MoveFirst, WaitList};

/// Lets tasks that hold a [`Lock`] wait until another says that something has changed.
///
/// [`wait`](Self::wait) takes the guard, gives the lock up, and gives the guard back when the task
/// was notified and has the lock again. Notifying takes a guard too, so it cannot be done without
/// the lock. Use one condition with one lock; a lock may have several conditions.
///
/// Somebody who was notified may find that the change is gone again: another came first, or the
/// notification was passed on by one that was dropped. So wait in a loop, or with
/// [`wait_for`](Self::wait_for), which is one.
///
/// Notified tasks go straight to the lock's line and are woken when it is theirs: `notify_all` does
/// not wake a crowd of which all but one find the lock taken. What the docs of [`Lock`] say of
/// waiting futures that are forgotten is true of them too; one that was not notified yet takes a
/// notification with it.
///
/// # Examples
///
/// ```
/// use std::rc::Rc;
/// use uring_loop::spawn;
/// use uring_loop::sync::{Condition, Lock};
///
/// uring_loop::run(async {
///     let shared = Rc::new((Lock::new(Vec::new()), Condition::new()));
///     let consumer = spawn({
///         let shared = shared.clone();
///         async move {
///             let (lock, filled) = &*shared;
///             let mut items = filled.wait_for(lock.lock().await, |items| items.len() >= 2).await;
///             std::mem::take(&mut *items)
///         }
///     });
///     let (lock, filled) = &*shared;
///     for item in [1, 2] {
///         let mut items = lock.lock().await;
///         items.push(item);
///         filled.notify(&items, 1);
///     }
///     assert_eq!(consumer.await.unwrap(), [1, 2]);
/// })
/// # .unwrap();
/// ```
#[doc(alias = "Condvar")]
#[derive(Default)]
pub struct Condition {
    waiters: WaitList,
}

/// How a [`Condition`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConditionStatistics {
    /// How many wait to be notified. Those that were and now wait for the lock are counted there.
    pub waiters: usize,
}

impl Condition {
    /// One that nobody waits for.
    pub const fn new() -> Self {
        Condition { waiters: WaitList::new() }
    }

    /// Gives the lock up, waits to be notified, and takes the lock again.
    ///
    /// The lock is given up when this is first polled and has its place in line: a notification
    /// that comes after that is not missed.
    ///
    /// # Cancel safety
    ///
    /// Strict: the lock is given up, as if the guard were dropped; a notification that had come is
    /// passed on to the next. So whoever limits the wait with a timeout locks again afterwards.
    pub async fn wait<'a, T: ?Sized>(&self, guard: LockGuard<'a, T>) -> LockGuard<'a, T> {
        let lock = guard.lock();
        let wait = Relock { condition: self, lock, guard: Some(guard) };
        wait_moving(&self.waiters, &lock.waiters, wait).await
    }

    /// As [`wait`](Self::wait), with a guard that borrows nothing.
    ///
    /// # Cancel safety
    ///
    /// Strict: as [`wait`](Self::wait).
    pub async fn wait_owned<T: ?Sized>(&self, guard: OwnedLockGuard<T>) -> OwnedLockGuard<T> {
        let lock = guard.into_locked();
        self.wait(LockGuard::handed(&lock)).await.leave_locked();
        OwnedLockGuard::handed(lock)
    }

    /// Waits until `predicate` holds for the guarded value: at once, if it does.
    ///
    /// The predicate is asked under the lock, before the first wait and after each notification.
    ///
    /// # Cancel safety
    ///
    /// Strict: as [`wait`](Self::wait).
    #[doc(alias = "wait_while")]
    pub async fn wait_for<'a, T: ?Sized>(
        &self,
        mut guard: LockGuard<'a, T>,
        mut predicate: impl FnMut(&mut T) -> bool,
    ) -> LockGuard<'a, T> {
        while !predicate(&mut guard) {
            guard = self.wait(guard).await;
        }
        guard
    }

    /// As [`wait_for`](Self::wait_for), with a guard that borrows nothing.
    ///
    /// # Cancel safety
    ///
    /// Strict: as [`wait`](Self::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::rc::Rc;
    /// use uring_loop::spawn;
    /// use uring_loop::sync::{Condition, Lock};
    ///
    /// uring_loop::run(async {
    ///     let (lock, changed) = (Rc::new(Lock::new(0)), Rc::new(Condition::new()));
    ///     let guard = lock.clone().lock_owned().await;
    ///     let waiting = changed.clone();
    ///     let task = spawn(async move {
    ///         *waiting.wait_for_owned(guard, |value| *value > 0).await
    ///     });
    ///     let mut value = lock.lock().await;
    ///     *value = 5;
    ///     changed.notify_all(&value);
    ///     drop(value);
    ///     assert_eq!(task.await.unwrap(), 5);
    /// })
    /// # .unwrap();
    /// ```
    pub async fn wait_for_owned<T: ?Sized>(
        &self,
        mut guard: OwnedLockGuard<T>,
        mut predicate: impl FnMut(&mut T) -> bool,
    ) -> OwnedLockGuard<T> {
        while !predicate(&mut guard) {
            guard = self.wait_owned(guard).await;
        }
        guard
    }

    /// Notifies the `n` that have waited longest, or all if they are fewer. They go on one after
    /// another, once the lock is free.
    ///
    /// # Panics
    ///
    /// If somebody waits with another lock than `guard` is of.
    #[doc(alias = "notify_one")]
    #[track_caller]
    pub fn notify<T: ?Sized>(&self, guard: &LockGuard<'_, T>, n: usize) {
        for _ in 0..n {
            if !self.notify_first(guard.lock()) {
                break;
            }
        }
    }

    /// Notifies all who wait now.
    ///
    /// # Panics
    ///
    /// If somebody waits with another lock than `guard` is of.
    #[track_caller]
    pub fn notify_all<T: ?Sized>(&self, guard: &LockGuard<'_, T>) {
        self.notify(guard, usize::MAX);
    }

    /// How it stands.
    pub fn statistics(&self) -> ConditionStatistics {
        ConditionStatistics { waiters: self.waiters.len() }
    }

    /// Moves the first in line to the line of the lock, which is locked: by the caller, or because
    /// somebody is in its line. So there is no need to see whether it is free.
    #[track_caller]
    fn notify_first<T: ?Sized>(&self, lock: &Lock<T>) -> bool {
        debug_assert!(lock.locked());
        match self.waiters.move_first_to(&lock.waiters) {
            MoveFirst::Moved => true,
            MoveFirst::Nobody => false,
            MoveFirst::NotForThere => panic!(
                "a Condition was notified under another lock than its waiters hold: use one \
                 condition with one lock"
            ),
        }
    }
}

/// Holds the guard until it is in line, and has a claim on the lock afterwards.
struct Relock<'c, 'a, T: ?Sized> {
    condition: &'c Condition,
    lock: &'a Lock<T>,
    guard: Option<LockGuard<'a, T>>,
}

impl<T: ?Sized> Relock<'_, '_, T> {
    /// Somebody else shall have the notification. (One who waits with another lock, by mistake,
    /// is left waiting: this is a drop, and no place to complain.)
    fn pass_on(&self) {
        if !mutant!("notification-dropped") {
            let _ = self.condition.waiters.move_first_to(&self.lock.waiters);
        }
    }
}

impl<'a, T: ?Sized> Wait for Relock<'_, 'a, T> {
    type Output = LockGuard<'a, T>;

    fn is_free(&self) -> bool {
        false
    }

    fn take(&mut self) -> LockGuard<'a, T> {
        unreachable!("a notification is always waited for")
    }

    fn lined_up(&mut self) {
        self.guard = None;
    }

    fn claim(&mut self, _: Grant) -> Option<LockGuard<'a, T>> {
        Some(LockGuard::handed(self.lock))
    }

    fn left(&mut self, moved: bool) {
        // Who stood in the lock's line was notified; and as somebody stood there, it is locked.
        if moved {
            self.pass_on();
        }
    }

    fn refused(&mut self, _: Grant) {
        self.pass_on();
        drop(LockGuard::handed(self.lock));
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition").field("waiters", &self.waiters.len()).finish()
    }
}
