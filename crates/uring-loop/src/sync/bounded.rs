//! A semaphore that notices when more is given back than was taken.

use std::fmt;
use std::io;

use super::semaphore::{Permit, Semaphore, SemaphoreStatistics};

/// A [`Semaphore`] that never has more permits than at the start.
///
/// Guards give back what they took, so the number can only be wrong by
/// [`release`](Self::release), which is there for permits whose guard was forgotten: it refuses to
/// give back anything else. Available permits, those in guards and those forgotten are always as
/// many as at the start.
///
/// # Examples
///
/// ```
/// use uring_loop::sync::BoundedSemaphore;
///
/// let semaphore = BoundedSemaphore::new(1);
/// semaphore.try_acquire().unwrap().forget();
/// assert!(semaphore.locked());
/// assert!(semaphore.release().is_ok());
/// assert!(semaphore.release().is_err()); // once too often
/// ```
pub struct BoundedSemaphore {
    semaphore: Semaphore,
    initial: usize,
}

/// A permit was given back that nobody had taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverRelease;

impl BoundedSemaphore {
    /// One with so many permits.
    pub const fn new(permits: usize) -> Self {
        BoundedSemaphore { semaphore: Semaphore::new(permits), initial: permits }
    }

    /// Waits for a permit.
    ///
    /// # Cancel safety
    ///
    /// Strict: as [`Semaphore::acquire`].
    pub async fn acquire(&self) -> Permit<'_> {
        self.semaphore.acquire().await
    }

    /// Waits for `n` permits, and takes them together.
    ///
    /// # Panics
    ///
    /// If `n` is more than there were at the start: they would be waited for for ever.
    ///
    /// # Cancel safety
    ///
    /// Strict: as [`Semaphore::acquire`].
    pub async fn acquire_many(&self, n: usize) -> Permit<'_> {
        let all = self.initial;
        assert!(n <= all, "{n} permits of a semaphore that has {all} are never free: ask for less");
        self.semaphore.acquire_many(n).await
    }

    /// Takes a permit if that needs no waiting.
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.semaphore.try_acquire()
    }

    /// Takes `n` permits if that needs no waiting.
    pub fn try_acquire_many(&self, n: usize) -> Option<Permit<'_>> {
        self.semaphore.try_acquire_many(n)
    }

    /// Gives back a permit whose guard was [forgotten](Permit::forget).
    ///
    /// # Errors
    ///
    /// [`OverRelease`], if no permit is forgotten; nothing is changed.
    pub fn release(&self) -> Result<(), OverRelease> {
        let forgotten = &self.semaphore.forgotten;
        forgotten.set(forgotten.get().checked_sub(1).ok_or(OverRelease)?);
        self.semaphore.add_permits(1);
        Ok(())
    }

    /// Whether one permit would have to be waited for: there is none, or others wait already.
    pub fn locked(&self) -> bool {
        self.semaphore.locked()
    }

    /// How many permits nobody has.
    #[doc(alias = "available_permits")]
    pub fn available(&self) -> usize {
        self.semaphore.available()
    }

    /// How it stands.
    pub fn statistics(&self) -> SemaphoreStatistics {
        self.semaphore.statistics()
    }
}

impl fmt::Debug for BoundedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SemaphoreStatistics { available, waiters, .. } = self.statistics();
        f.debug_struct("BoundedSemaphore")
            .field("available", &available)
            .field("initial", &self.initial)
            .field("waiters", &waiters)
            .finish()
    }
}

impl fmt::Display for OverRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a semaphore was released more often than it was acquired")
    }
}

impl std::error::Error for OverRelease {}

impl From<OverRelease> for io::Error {
    fn from(error: OverRelease) -> Self {
        io::Error::other(error)
    }
}
