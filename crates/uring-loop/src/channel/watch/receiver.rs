//! The receiving end of a `watch` channel.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::state::{Shared, State};
use crate::channel::Closed;
use crate::channel::block::{block_on, block_on_for};
use crate::channel::lock::lock;
use crate::channel::wait::{Wait, budget};
use crate::channel::waiters::wake_all;
use crate::time::Elapsed;

/// A receiving end, made by [`channel`](super::channel), by
/// [`subscribe`](super::Sender::subscribe), or by cloning; a clone has seen what this one has.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The version it has seen.
    seen: u64,
}

impl<T> Receiver<T> {
    /// For a receiver that `shared` has counted.
    pub(super) fn new(shared: Arc<Shared<T>>, seen: u64) -> Self {
        Receiver { shared, seen }
    }

    /// The latest value. It does not count as seen.
    pub fn borrow(&self) -> Arc<T> {
        self.shared.value()
    }

    /// The latest value, which counts as seen.
    pub fn borrow_and_update(&mut self) -> Arc<T> {
        let state = lock(&self.shared.state);
        self.seen = state.version;
        state.value.clone()
    }

    /// Whether there is a value that this receiver has not seen.
    pub fn has_changed(&self) -> bool {
        lock(&self.shared.state).version != self.seen
    }

    /// Waits for a value that this receiver has not seen, and counts it as seen.
    ///
    /// # Errors
    ///
    /// [`Closed`], if there is none and all senders are gone.
    ///
    /// # Cancel safety
    ///
    /// Strict: a value counts as seen only when this returns.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        budget().await;
        let seen = self.seen;
        let look = |state: &mut State<T>| match state.version {
            version if version != seen => Some(Ok(version)),
            _ if state.senders == 0 => Some(Err(Closed(()))),
            _ => None,
        };
        self.seen = Wait::new(&self.shared.state, |state| &mut state.changed, look).await?;
        Ok(())
    }

    /// Waits for a value that pleases `predicate`, which is asked about the latest first, seen or
    /// not. Every value it was asked about counts as seen.
    ///
    /// # Errors
    ///
    /// [`Closed`], if no value pleases and all senders are gone.
    ///
    /// # Panics
    ///
    /// With the panic of `predicate`.
    ///
    /// # Cancel safety
    ///
    /// Strict, but what was refused has been seen.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, mut receiver) = uring_loop::channel::watch::channel(0);
    /// let thread = std::thread::spawn(move || (1..=10).for_each(|done| sender.send(done)));
    /// let half = uring_loop::run(async move { receiver.wait_for(|done| *done >= 5).await })?;
    /// assert!(*half.unwrap() >= 5);
    /// # thread.join().expect("no panic");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn wait_for(
        &mut self,
        mut predicate: impl FnMut(&T) -> bool,
    ) -> Result<Arc<T>, Closed> {
        loop {
            // In a block of its own, so that no old value is kept while it waits.
            {
                let value = self.borrow_and_update();
                if predicate(&value) {
                    return Ok(value);
                }
            }
            self.changed().await?;
        }
    }

    /// As [`changed`](Self::changed), blocking a plain thread.
    ///
    /// # Errors
    ///
    /// [`Closed`], if there is no unseen value and all senders are gone.
    ///
    /// # Panics
    ///
    /// On a thread whose own loop is running: it would stand still.
    #[track_caller]
    pub fn blocking_changed(&mut self) -> Result<(), Closed> {
        block_on("blocking_changed", self.changed())
    }

    /// As [`changed`](Self::changed), blocking a plain thread for at most `limit`.
    ///
    /// # Errors
    ///
    /// The outer: [`Elapsed`], no value came in time. The inner: [`Closed`].
    ///
    /// # Panics
    ///
    /// As [`blocking_changed`](Self::blocking_changed).
    #[track_caller]
    pub fn blocking_changed_timeout(
        &mut self,
        limit: Duration,
    ) -> Result<Result<(), Closed>, Elapsed> {
        block_on_for("blocking_changed_timeout", limit, self.changed())
    }

    /// As [`wait_for`](Self::wait_for), blocking a plain thread.
    ///
    /// # Errors
    ///
    /// [`Closed`], if no value pleases and all senders are gone.
    ///
    /// # Panics
    ///
    /// As [`blocking_changed`](Self::blocking_changed), and with the panic of `predicate`.
    #[track_caller]
    pub fn blocking_wait_for(
        &mut self,
        predicate: impl FnMut(&T) -> bool,
    ) -> Result<Arc<T>, Closed> {
        block_on("blocking_wait_for", self.wait_for(predicate))
    }

    /// As [`wait_for`](Self::wait_for), blocking a plain thread for at most `limit`.
    ///
    /// # Errors
    ///
    /// The outer: [`Elapsed`], no value pleased in time. The inner: [`Closed`].
    ///
    /// # Panics
    ///
    /// As [`blocking_wait_for`](Self::blocking_wait_for).
    #[track_caller]
    pub fn blocking_wait_for_timeout(
        &mut self,
        limit: Duration,
        predicate: impl FnMut(&T) -> bool,
    ) -> Result<Result<Arc<T>, Closed>, Elapsed> {
        block_on_for("blocking_wait_for_timeout", limit, self.wait_for(predicate))
    }

    /// Whether all senders are gone.
    pub fn is_closed(&self) -> bool {
        lock(&self.shared.state).senders == 0
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        lock(&self.shared.state).receivers += 1;
        Receiver { shared: self.shared.clone(), seen: self.seen }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let wakers = {
            let mut state = lock(&self.shared.state);
            state.receivers -= 1;
            (state.receivers == 0).then(|| state.closing.call_all())
        };
        wake_all(wakers.into_iter().flatten());
    }
}

impl<T: fmt::Debug> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("value", &self.borrow())
            .field("unseen", &self.has_changed())
            .field("closed", &self.is_closed())
            .finish()
    }
}
