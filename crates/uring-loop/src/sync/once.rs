//! What is made or done once, by whoever needs it first.

use std::cell::{self, Cell};
use std::convert::Infallible;
use std::fmt;

use super::wait::{Wait, wait};
use super::waitlist::{Grant, WaitList};

/// A value that is made at the first need, asynchronously, and stays.
///
/// One task at a time makes it; the others wait. If making it fails, or its future is dropped, the
/// next that waits makes it, in its own way. To do something once without a value, take [`Once`].
///
/// Making the value must not ask for it from the same cell: that waits for itself. A forgotten
/// future (`mem::forget`) that was making the value, or was next to make it, never will, and others
/// wait for ever.
///
/// # Examples
///
/// ```
/// use uring_loop::sync::OnceCell;
///
/// uring_loop::run(async {
///     let config = OnceCell::new();
///     assert_eq!(config.get(), None);
///     let port = config.get_or_init(async || 8080).await;
///     assert_eq!(config.get_or_init(async || unreachable!()).await, port);
/// })
/// # .unwrap();
/// ```
#[doc(alias = "OnceLock")]
pub struct OnceCell<T> {
    value: cell::OnceCell<T>,
    /// Somebody makes the value, or was chosen to.
    being_made: Cell<bool>,
    waiters: WaitList,
}

/// Something that is done at the first need, and then is done: an [`OnceCell`] without a value.
///
/// [`get`](OnceCell::get) tells whether it is done.
///
/// # Examples
///
/// ```
/// use uring_loop::sync::Once;
///
/// uring_loop::run(async {
///     let tables = Once::new();
///     assert!(tables.get().is_none());
///     tables.call_once(async || println!("making the tables")).await;
///     tables.call_once(async || unreachable!("they are made")).await;
///     assert!(tables.get().is_some());
/// })
/// # .unwrap();
/// ```
pub type Once = OnceCell<()>;

/// How an [`OnceCell`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OnceCellStatistics {
    /// Whether the value is there.
    pub set: bool,
    /// Whether somebody makes it.
    pub running: bool,
    /// How many wait for it.
    pub waiters: usize,
}

impl<T> OnceCell<T> {
    /// One without a value.
    pub const fn new() -> Self {
        OnceCell {
            value: cell::OnceCell::new(),
            being_made: Cell::new(false),
            waiters: WaitList::new(),
        }
    }

    /// The value, if it is there.
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// The value, if it is there.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// The value, for good, if it is there.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Puts the value there.
    ///
    /// # Errors
    ///
    /// The value given, if there is one already or somebody is making it.
    pub fn set(&self, value: T) -> Result<(), T> {
        if self.value.get().is_some() || self.being_made.replace(true) {
            return Err(value);
        }
        let _maker = Maker(self);
        self.value.set(value)
    }

    /// The value; made by `init` if it is not there and nobody else is making it.
    ///
    /// # Cancel safety
    ///
    /// That of `init`, if it runs; the next that waits then makes the value. Otherwise Strict.
    pub async fn get_or_init(&self, init: impl AsyncFnOnce() -> T) -> &T {
        let init = async || Ok::<T, Infallible>(init().await);
        match self.get_or_try_init(init).await {
            Ok(value) => value,
        }
    }

    /// The value; made by `init` if it is not there and nobody else is making it.
    ///
    /// # Errors
    ///
    /// That of `init`; the next that waits tries with its own.
    ///
    /// # Cancel safety
    ///
    /// That of `init`, if it runs; the next that waits then makes the value. Otherwise Strict.
    pub async fn get_or_try_init<E>(
        &self,
        init: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<&T, E> {
        if let Some(maker) = wait(&self.waiters, Need(self)).await {
            let value = init().await?;
            // Nobody else has set it: we were the maker.
            let _ = self.value.set(value);
            drop(maker);
        }
        Ok(self.get().expect("it was made, by us or by others"))
    }

    /// How it stands.
    pub fn statistics(&self) -> OnceCellStatistics {
        let (set, running) = (self.get().is_some(), self.being_made.get());
        OnceCellStatistics { set, running, waiters: self.waiters.len() }
    }

    /// The maker is done: there is a value for all, or the next makes it.
    fn hand_on(&self) {
        if self.value.get().is_some() {
            self.being_made.set(false);
            return self.waiters.choose_all();
        }
        match self.waiters.choose() {
            Some(waker) => waker.wake(),
            None => self.being_made.set(false),
        }
    }
}

impl OnceCell<()> {
    /// Does it, unless it is done. Waits while another does it. See [`Once`].
    ///
    /// # Cancel safety
    ///
    /// That of `f`, if it runs; the next that waits then does it. Otherwise Strict.
    pub async fn call_once(&self, f: impl AsyncFnOnce()) {
        self.get_or_init(f).await;
    }

    /// Does it, unless it is done. Waits while another does it. See [`Once`].
    ///
    /// # Errors
    ///
    /// That of `f`: it is not done, and the next that waits tries with its own.
    ///
    /// # Cancel safety
    ///
    /// That of `f`, if it runs; the next that waits then does it. Otherwise Strict.
    pub async fn try_call_once<E>(&self, f: impl AsyncFnOnce() -> Result<(), E>) -> Result<(), E> {
        self.get_or_try_init(f).await.copied()
    }
}

/// Whoever has this makes the value. Handed on when it is dropped.
struct Maker<'a, T>(&'a OnceCell<T>);

impl<T> Drop for Maker<'_, T> {
    fn drop(&mut self) {
        self.0.hand_on();
    }
}

/// Needs the value: gets nothing when it is there, and else is the one to make it.
struct Need<'a, T>(&'a OnceCell<T>);

impl<'a, T> Wait for Need<'a, T> {
    type Output = Option<Maker<'a, T>>;

    fn is_free(&self) -> bool {
        self.0.get().is_some() || !self.0.being_made.get()
    }

    fn take(&mut self) -> Self::Output {
        if self.0.get().is_some() {
            return None;
        }
        self.0.being_made.set(true);
        Some(Maker(self.0))
    }

    fn claim(&mut self, _: Grant) -> Option<Self::Output> {
        // Chosen without a value, it is the maker, and nobody else makes one.
        Some(self.0.get().is_none().then(|| Maker(self.0)))
    }

    fn refused(&mut self, _: Grant) {
        if self.0.get().is_none() {
            self.0.hand_on();
        }
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> Self {
        OnceCell::new()
    }
}

impl<T> From<T> for OnceCell<T> {
    fn from(value: T) -> Self {
        let cell = OnceCell::new();
        let _ = cell.value.set(value);
        cell
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OnceCellStatistics { running, waiters, .. } = self.statistics();
        let mut shown = f.debug_struct("OnceCell");
        shown.field("value", &self.get()).field("running", &running);
        shown.field("waiters", &waiters).finish()
    }
}
