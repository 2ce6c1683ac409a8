//! A lock for one writer or many readers.

use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::ops::{Deref, DerefMut};

use super::wait::{Wait, wait};
use super::waitlist::{Grant, WaitList};

/// Lets many tasks read a value at a time, or one write to it.
///
/// Readers and writers stand in one line and are served in order; readers next to each other go in
/// together. So a stream of readers does not keep a writer out, nor writers a reader. For the same
/// reason a task that holds a read guard must not ask for another: a writer that waits in between
/// waits for the first, and the second for the writer.
///
/// What the docs of [`Lock`](super::Lock) say of panics and of waiting futures that are forgotten
/// or not polled is true here too.
///
/// # Examples
///
/// ```
/// use uring_loop::sync::RwLock;
///
/// uring_loop::run(async {
///     let routes = RwLock::new(vec!["/"]);
///     {
///         let one = routes.read().await;
///         let two = routes.read().await; // together
///         assert_eq!(*one, *two);
///     }
///     routes.write().await.push("/health");
///     assert_eq!(routes.read().await.len(), 2);
/// })
/// # .unwrap();
/// ```
pub struct RwLock<T: ?Sized> {
    held: Cell<Held>,
    waiters: WaitList,
    value: UnsafeCell<T>,
}

/// By guards, or by waiters that were chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Held {
    /// By so many; 0: free.
    Readers(usize),
    Writer,
}

/// Notes of waiters.
const READ: usize = 0;
const WRITE: usize = 1;

/// How an [`RwLock`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RwLockStatistics {
    /// How many hold it for reading.
    pub readers: usize,
    /// Whether one holds it for writing.
    pub writer: bool,
    /// How many wait, readers and writers.
    pub waiters: usize,
}

/// The value may be read as long as this lives; made by [`RwLock::read`].
#[must_use = "it unlocks when it is dropped"]
pub struct RwLockReadGuard<'a, T: ?Sized>(&'a RwLock<T>);

/// The value may be written to as long as this lives; made by [`RwLock::write`].
#[must_use = "it unlocks when it is dropped"]
pub struct RwLockWriteGuard<'a, T: ?Sized>(&'a RwLock<T>);

impl<T> RwLock<T> {
    /// One that nobody holds.
    pub const fn new(value: T) -> Self {
        RwLock {
            held: Cell::new(Held::Readers(0)),
            waiters: WaitList::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// The value, for good.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until nobody writes, and all who asked earlier had their turn, and reads.
    ///
    /// # Cancel safety
    ///
    /// Strict: the place in line is lost; a lock that was handed over already is given up.
    pub async fn read(&self) -> RwLockReadGuard<'_, T> {
        wait(&self.waiters, Read(self)).await
    }

    /// Waits until nobody reads or writes, and all who asked earlier had their turn, and writes.
    ///
    /// # Cancel safety
    ///
    /// Strict: the place in line is lost; a lock that was handed over already is given up.
    pub async fn write(&self) -> RwLockWriteGuard<'_, T> {
        wait(&self.waiters, Write(self)).await
    }

    /// Reads if that needs no waiting: nobody writes, and nobody is in line.
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        self.may_enter(READ).then(|| {
            self.enter(READ);
            RwLockReadGuard(self)
        })
    }

    /// Writes if that needs no waiting.
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.may_enter(WRITE).then(|| {
            self.enter(WRITE);
            RwLockWriteGuard(self)
        })
    }

    /// Whether anybody reads or writes.
    pub fn locked(&self) -> bool {
        self.held.get() != Held::Readers(0)
    }

    /// The value, without locking: `&mut self` proves that nobody holds it.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// How it stands.
    pub fn statistics(&self) -> RwLockStatistics {
        let (readers, writer) = match self.held.get() {
            Held::Readers(readers) => (readers, false),
            Held::Writer => (0, true),
        };
        RwLockStatistics { readers, writer, waiters: self.waiters.len() }
    }

    /// Whether a newcomer need not wait.
    fn may_enter(&self, kind: usize) -> bool {
        self.waiters.is_empty() && self.has_room(kind)
    }

    fn has_room(&self, kind: usize) -> bool {
        match self.held.get() {
            Held::Readers(readers) => readers == 0 || kind == READ,
            Held::Writer => false,
        }
    }

    fn enter(&self, kind: usize) {
        debug_assert!(self.has_room(kind));
        self.held.set(match self.held.get() {
            Held::Readers(readers) if kind == READ => Held::Readers(readers + 1),
            _ => Held::Writer,
        });
    }

    /// One that reads or writes goes.
    fn leave(&self) {
        self.held.set(match self.held.get() {
            Held::Readers(readers) => Held::Readers(readers - 1),
            Held::Writer => Held::Readers(0),
        });
        self.let_in();
    }

    /// Lets in whoever is first in line, and all behind that fit in too.
    fn let_in(&self) {
        while let Some(kind) = self.waiters.first_note()
            && self.has_room(kind)
        {
            self.enter(kind);
            if let Some(waker) = self.waiters.choose() {
                waker.wake();
            }
        }
    }
}

struct Read<'a, T: ?Sized>(&'a RwLock<T>);

impl<'a, T: ?Sized> Wait for Read<'a, T> {
    type Output = RwLockReadGuard<'a, T>;

    fn is_free(&self) -> bool {
        self.0.may_enter(READ)
    }

    fn take(&mut self) -> RwLockReadGuard<'a, T> {
        self.0.enter(READ);
        RwLockReadGuard(self.0)
    }

    fn note(&self) -> usize {
        READ
    }

    fn claim(&mut self, _: Grant) -> Option<RwLockReadGuard<'a, T>> {
        Some(RwLockReadGuard(self.0))
    }

    fn left(&mut self, _: bool) {
        self.0.let_in();
    }

    fn refused(&mut self, _: Grant) {
        self.0.leave();
    }
}

struct Write<'a, T: ?Sized>(&'a RwLock<T>);

impl<'a, T: ?Sized> Wait for Write<'a, T> {
    type Output = RwLockWriteGuard<'a, T>;

    fn is_free(&self) -> bool {
        self.0.may_enter(WRITE)
    }

    fn take(&mut self) -> RwLockWriteGuard<'a, T> {
        self.0.enter(WRITE);
        RwLockWriteGuard(self.0)
    }

    fn note(&self) -> usize {
        WRITE
    }

    fn claim(&mut self, _: Grant) -> Option<RwLockWriteGuard<'a, T>> {
        Some(RwLockWriteGuard(self.0))
    }

    fn left(&mut self, _: bool) {
        // Readers behind it may join those inside now.
        if !mutant!("readers-left-behind") {
            self.0.let_in();
        }
    }

    fn refused(&mut self, _: Grant) {
        self.0.leave();
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Goes on reading, and lets in the readers that are first in line.
    pub fn downgrade(self) -> RwLockReadGuard<'a, T> {
        let lock = self.0;
        std::mem::forget(self);
        lock.held.set(Held::Readers(1));
        let guard = RwLockReadGuard(lock);
        lock.let_in();
        guard
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: while a read guard exists, `held` counts it, and no write guard is made.
        unsafe { &*self.0.value.get() }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: a write guard exists alone: `held` says `Writer` while there is one, and no
        // other guard is made. `&self` keeps `deref_mut` away.
        unsafe { &*self.0.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; `&mut self` is the only way to the value.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        RwLock::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RwLockStatistics { readers, writer, waiters } = self.statistics();
        let mut shown = f.debug_struct("RwLock");
        shown.field("readers", &readers).field("writer", &writer).field("waiters", &waiters);
        match self.try_read() {
            Some(value) => shown.field("value", &&*value).finish(),
            None => shown.finish_non_exhaustive(),
        }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
