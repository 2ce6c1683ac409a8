//! Permits: at most so many at a time.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use super::wait::{Wait, wait};
use super::waitlist::{Grant, WaitList};

/// A number of permits that tasks take and give back.
///
/// Permits are handed out in the order in which they were asked for. Who asks for many is not
/// passed by those who ask for few, and nobody is passed by a newcomer: while anybody waits, a
/// newcomer waits too, even if there are permits. (They are too few for the first in line.)
///
/// A permit is given back when its guard is dropped. [`Permit::forget`] keeps that from happening,
/// and [`add_permits`](Self::add_permits) gives back, or adds, by hand. A waiting future that is
/// forgotten (`mem::forget`) takes its permits with it when its turn comes.
///
/// # Examples
///
/// ```
/// use std::rc::Rc;
/// use uring_loop::spawn;
/// use uring_loop::sync::Semaphore;
///
/// uring_loop::run(async {
///     let slots = Rc::new(Semaphore::new(2)); // two downloads at a time
///     let tasks: Vec<_> = (0..10)
///         .map(|_| {
///             let slots = slots.clone();
///             spawn(async move {
///                 let _permit = slots.acquire().await;
///                 // … download …
///             })
///         })
///         .collect();
///     for task in tasks {
///         task.await.unwrap();
///     }
///     assert_eq!(slots.available(), 2);
/// })
/// # .unwrap();
/// ```
pub struct Semaphore {
    available: Cell<usize>,
    /// Permits whose guards were forgotten and that were not released since; see
    /// [`BoundedSemaphore`](super::BoundedSemaphore).
    pub(super) forgotten: Cell<usize>,
    waiters: WaitList,
}

/// How a [`Semaphore`] or a [`BoundedSemaphore`](super::BoundedSemaphore) stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SemaphoreStatistics {
    /// Permits that nobody has.
    pub available: usize,
    /// How many wait, for however many permits.
    pub waiters: usize,
}

impl Semaphore {
    /// One with so many permits; none is fine.
    pub const fn new(permits: usize) -> Self {
        Semaphore {
            available: Cell::new(permits),
            forgotten: Cell::new(0),
            waiters: WaitList::new(),
        }
    }

    /// Waits for a permit.
    ///
    /// # Cancel safety
    ///
    /// Strict: the place in line is lost, and a permit that was handed over already goes to the
    /// next.
    pub async fn acquire(&self) -> Permit<'_> {
        self.acquire_many(1).await
    }

    /// Waits for `n` permits, and takes them together. More than there will ever be are waited for
    /// for ever, by all who come later too.
    ///
    /// # Cancel safety
    ///
    /// Strict: as [`acquire`](Self::acquire).
    pub async fn acquire_many(&self, n: usize) -> Permit<'_> {
        wait(&self.waiters, Acquire { semaphore: self, n }).await
    }

    /// As [`acquire`](Self::acquire); the permit keeps the semaphore alive, and may go to another
    /// task.
    ///
    /// # Cancel safety
    ///
    /// Strict: as [`acquire`](Self::acquire).
    pub async fn acquire_owned(self: Rc<Self>) -> OwnedPermit {
        self.acquire_many_owned(1).await
    }

    /// As [`acquire_many`](Self::acquire_many); the permits keep the semaphore alive.
    ///
    /// # Cancel safety
    ///
    /// Strict: as [`acquire`](Self::acquire).
    pub async fn acquire_many_owned(self: Rc<Self>, n: usize) -> OwnedPermit {
        let taken = self.acquire_many(n).await.into_count();
        OwnedPermit { semaphore: self, n: taken }
    }

    /// Takes a permit if that needs no waiting.
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.try_acquire_many(1)
    }

    /// Takes `n` permits if that needs no waiting.
    pub fn try_acquire_many(&self, n: usize) -> Option<Permit<'_>> {
        self.has_free(n).then(|| self.take(n))
    }

    /// As [`try_acquire`](Self::try_acquire); the permit keeps the semaphore alive.
    pub fn try_acquire_owned(self: Rc<Self>) -> Option<OwnedPermit> {
        self.try_acquire_many_owned(1)
    }

    /// As [`try_acquire_many`](Self::try_acquire_many); the permits keep the semaphore alive.
    pub fn try_acquire_many_owned(self: Rc<Self>, n: usize) -> Option<OwnedPermit> {
        let taken = self.try_acquire_many(n)?.into_count();
        Some(OwnedPermit { semaphore: self, n: taken })
    }

    /// Whether one permit would have to be waited for: there is none, or others wait already.
    pub fn locked(&self) -> bool {
        !self.has_free(1)
    }

    /// How many permits nobody has.
    #[doc(alias = "available_permits")]
    pub fn available(&self) -> usize {
        self.available.get()
    }

    /// Adds `n` permits, to those in line first.
    ///
    /// # Panics
    ///
    /// If there were more than `usize::MAX`.
    #[doc(alias = "release")]
    #[track_caller]
    pub fn add_permits(&self, n: usize) {
        let more = self.available.get().checked_add(n);
        self.available.set(more.expect("a semaphore has at most usize::MAX permits"));
        self.hand_out();
    }

    /// How it stands.
    pub fn statistics(&self) -> SemaphoreStatistics {
        SemaphoreStatistics { available: self.available(), waiters: self.waiters.len() }
    }

    fn has_free(&self, n: usize) -> bool {
        self.available.get() >= n && self.waiters.is_empty()
    }

    fn take(&self, n: usize) -> Permit<'_> {
        self.available.set(self.available.get() - n);
        Permit { semaphore: self, n }
    }

    /// Serves the line as far as the permits reach.
    fn hand_out(&self) {
        while let Some(n) = self.waiters.first_note()
            && n <= self.available.get()
        {
            self.available.set(self.available.get() - n);
            if let Some(waker) = self.waiters.choose() {
                waker.wake();
            }
        }
    }
}

struct Acquire<'a> {
    semaphore: &'a Semaphore,
    n: usize,
}

impl<'a> Wait for Acquire<'a> {
    type Output = Permit<'a>;

    fn is_free(&self) -> bool {
        self.semaphore.has_free(self.n)
    }

    fn take(&mut self) -> Permit<'a> {
        self.semaphore.take(self.n)
    }

    fn note(&self) -> usize {
        self.n
    }

    fn claim(&mut self, _: Grant) -> Option<Permit<'a>> {
        Some(Permit { semaphore: self.semaphore, n: self.n })
    }

    fn left(&mut self, _: bool) {
        // It may have been the one that all others waited behind.
        self.semaphore.hand_out();
    }

    fn refused(&mut self, _: Grant) {
        self.semaphore.add_permits(self.n);
    }
}

/// Permits of a [`Semaphore`]; given back on drop.
#[derive(Debug)]
#[must_use = "the permits are given back when it is dropped"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    n: usize,
}

impl Permit<'_> {
    /// How many permits these are.
    #[doc(alias = "num_permits")]
    pub fn count(&self) -> usize {
        self.n
    }

    /// Does not give them back: somebody calls [`Semaphore::add_permits`] or
    /// [`BoundedSemaphore::release`](super::BoundedSemaphore::release) for that.
    pub fn forget(self) {
        let forgotten = &self.semaphore.forgotten;
        forgotten.set(forgotten.get().saturating_add(self.n));
        self.into_count();
    }

    /// Takes `n` of them off, into a guard of their own.
    ///
    /// # Panics
    ///
    /// If these are fewer.
    #[track_caller]
    pub fn split(&mut self, n: usize) -> Self {
        self.n = self.n.checked_sub(n).expect("a guard has at least as many permits as are split");
        Permit { semaphore: self.semaphore, n }
    }

    fn into_count(mut self) -> usize {
        std::mem::take(&mut self.n)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.n > 0 {
            self.semaphore.add_permits(self.n);
        }
    }
}

/// Permits that keep their [`Semaphore`] alive; given back on drop.
#[derive(Debug)]
#[must_use = "the permits are given back when it is dropped"]
pub struct OwnedPermit {
    semaphore: Rc<Semaphore>,
    n: usize,
}

impl OwnedPermit {
    /// How many permits these are.
    #[doc(alias = "num_permits")]
    pub fn count(&self) -> usize {
        self.n
    }

    /// As [`Permit::forget`].
    pub fn forget(mut self) {
        let n = std::mem::take(&mut self.n);
        Permit { semaphore: &self.semaphore, n }.forget();
    }
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        drop(Permit { semaphore: &self.semaphore, n: self.n });
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SemaphoreStatistics { available, waiters } = self.statistics();
        let mut shown = f.debug_struct("Semaphore");
        shown.field("available", &available).field("waiters", &waiters).finish()
    }
}
