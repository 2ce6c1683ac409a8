//! The receiving end of an `mpsc` channel.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::state::{State, show};
use crate::channel::TryRecvError;
use crate::channel::block::{block_on, block_on_for};
use crate::channel::lock::{Mutex, lock};
use crate::channel::wait::{Wait, budget};
use crate::channel::waiters::wake_all;
use crate::time::Elapsed;

/// The receiving end, made by [`bounded`](super::bounded) or [`unbounded`](super::unbounded).
/// Dropping it drops what was not received; senders get their items back from then on.
pub struct Receiver<T> {
    state: Arc<Mutex<State<T>>>,
}

impl<T> Receiver<T> {
    pub(super) fn new(state: Arc<Mutex<State<T>>>) -> Self {
        Receiver { state }
    }

    /// The oldest item if one is there.
    ///
    /// # Errors
    ///
    /// [`TryRecvError`].
    #[doc(alias = "get_nowait")]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let (item, waker) = lock(&self.state).try_recv()?;
        wake_all(waker);
        Ok(item)
    }

    /// The oldest item, waiting for one. `None` is the end: all senders are gone, or the channel
    /// was closed, and everything was received.
    ///
    /// # Cancel safety
    ///
    /// Strict: an item is taken only when it is returned.
    #[doc(alias = "get")]
    pub async fn recv(&mut self) -> Option<T> {
        budget().await;
        let look = |state: &mut State<T>| match state.try_recv() {
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(None),
            Ok(received) => Some(Some(received)),
        };
        let (item, waker) = Wait::new(&self.state, State::receiver, look).await?;
        wake_all(waker);
        Some(item)
    }

    /// Appends what is there to `items`, at most `limit`, waiting for the first; answers how many.
    /// 0 is the end (or a `limit` of 0).
    ///
    /// # Cancel safety
    ///
    /// Strict: items are taken only when it returns.
    ///
    /// # Examples
    ///
    /// ```
    /// uring_loop::run(async {
    ///     let (sender, mut receiver) = uring_loop::channel::mpsc::unbounded();
    ///     (0..5).for_each(|number| sender.try_send(number).unwrap());
    ///     let mut items = Vec::new();
    ///     assert_eq!(receiver.recv_many(&mut items, 3).await, 3);
    ///     assert_eq!(items, [0, 1, 2]);
    /// })
    /// # .unwrap();
    /// ```
    #[doc(alias = "recv_batch")]
    pub async fn recv_many(&mut self, items: &mut Vec<T>, limit: usize) -> usize {
        if limit == 0 {
            return 0;
        }
        budget().await;
        let before = items.len();
        let look = |state: &mut State<T>| state.recv_many(items, limit);
        let wakers = Wait::new(&self.state, State::receiver, look).await;
        wake_all(wakers);
        items.len() - before
    }

    /// The oldest item, blocking a plain thread until there is one. `None` is the end.
    ///
    /// # Panics
    ///
    /// On a thread whose own loop is running: it would stand still.
    #[track_caller]
    pub fn blocking_recv(&mut self) -> Option<T> {
        block_on("blocking_recv", self.recv())
    }

    /// The oldest item, blocking a plain thread for at most `limit`. `Ok(None)` is the end.
    ///
    /// # Errors
    ///
    /// [`Elapsed`], if none came in time.
    ///
    /// # Panics
    ///
    /// As [`blocking_recv`](Self::blocking_recv).
    #[doc(alias = "recv_timeout")]
    #[track_caller]
    pub fn blocking_recv_timeout(&mut self, limit: Duration) -> Result<Option<T>, Elapsed> {
        block_on_for("blocking_recv_timeout", limit, self.recv())
    }

    /// As [`recv_many`](Self::recv_many), blocking a plain thread.
    ///
    /// # Panics
    ///
    /// As [`blocking_recv`](Self::blocking_recv).
    #[track_caller]
    pub fn blocking_recv_many(&mut self, items: &mut Vec<T>, limit: usize) -> usize {
        block_on("blocking_recv_many", self.recv_many(items, limit))
    }

    /// Closes the channel for senders. What was sent, and what is still sent with a
    /// [`Permit`](super::Permit), can be received.
    #[doc(alias = "shutdown")]
    pub fn close(&mut self) {
        let wakers = lock(&self.state).close();
        wake_all(wakers);
    }

    /// Whether nothing will come behind the items that are there.
    pub fn is_closed(&self) -> bool {
        lock(&self.state).is_ending()
    }

    /// How many items are there.
    #[doc(alias = "qsize")]
    pub fn len(&self) -> usize {
        lock(&self.state).len()
    }

    /// Whether no item is there.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For how many items the channel is; `None` if it is unbounded.
    #[doc(alias = "maxsize")]
    #[doc(alias = "max_capacity")]
    pub fn capacity(&self) -> Option<usize> {
        lock(&self.state).capacity()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let (wakers, items) = {
            let mut state = lock(&self.state);
            (state.close(), state.abandon())
        };
        wake_all(wakers);
        drop(items);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(&self.state, f.debug_struct("Receiver"))
    }
}
