//! The sending end of an `mpsc` channel.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::permit::{Permit, Reserve};
use super::state::{State, show};
use crate::channel::block::{block_on, block_on_for};
use crate::channel::lock::{Mutex, lock};
use crate::channel::wait::{Wait, budget};
use crate::channel::waiters::wake_all;
use crate::channel::{Closed, SendTimeoutError, TrySendError};

/// A sending end, made by [`bounded`](super::bounded) or [`unbounded`](super::unbounded). Clone it
/// for further senders. When the last one is dropped the channel ends, once all was received.
pub struct Sender<T> {
    state: Arc<Mutex<State<T>>>,
}

impl<T> Sender<T> {
    /// For a sender that `state` has counted.
    pub(super) fn new(state: Arc<Mutex<State<T>>>) -> Self {
        Sender { state }
    }

    /// Sends if there is room.
    ///
    /// # Errors
    ///
    /// [`TrySendError`], with the item.
    #[doc(alias = "put_nowait")]
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        let waker = lock(&self.state).try_send(item)?;
        wake_all(waker);
        Ok(())
    }

    /// Sends, waiting for room. Senders that wait get it in the order in which they came.
    ///
    /// # Errors
    ///
    /// [`Closed`] with the item, if the receiver is gone or has closed the channel.
    ///
    /// # Cancel safety
    ///
    /// Weak: dropped while it waits, the item goes with it. Where that matters, wait with
    /// [`reserve`](Self::reserve) and send with the [`Permit`].
    #[doc(alias = "put")]
    pub async fn send(&self, item: T) -> Result<(), Closed<T>> {
        budget().await;
        match self.try_send(item) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(item)) => Err(Closed(item)),
            Err(TrySendError::Full(item)) => match Reserve::new(&self.state).await {
                Ok(permit) => permit.send(item),
                Err(Closed(())) => Err(Closed(item)),
            },
        }
    }

    /// Waits for room and holds it, for an item that need not exist yet.
    ///
    /// # Errors
    ///
    /// [`Closed`], if the receiver is gone or has closed the channel.
    ///
    /// # Cancel safety
    ///
    /// Strict, but for the place in the line: room that was granted meanwhile goes to the next one
    /// who waits. (A future that is forgotten while it waits takes its room with it.)
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// use uring_loop::channel::mpsc;
    /// use uring_loop::time::timeout;
    ///
    /// uring_loop::run(async {
    ///     let (sender, _receiver) = mpsc::bounded(1);
    ///     sender.reserve().await.expect("there is room").send("a").expect("somebody receives");
    ///     // Nothing was lost by giving up.
    ///     assert!(timeout(Duration::from_millis(1), sender.reserve()).await.is_err());
    /// })
    /// # .unwrap();
    /// ```
    pub async fn reserve(&self) -> Result<Permit<'_, T>, Closed> {
        budget().await;
        Reserve::new(&self.state).await
    }

    /// Holds room for an item, if there is some.
    ///
    /// # Errors
    ///
    /// [`TrySendError`].
    pub fn try_reserve(&self) -> Result<Permit<'_, T>, TrySendError<()>> {
        lock(&self.state).try_reserve()?;
        Ok(Permit::new(&self.state))
    }

    /// Sends from a plain thread, blocking it until there is room.
    ///
    /// # Errors
    ///
    /// [`Closed`] with the item, if the receiver is gone or has closed the channel.
    ///
    /// # Panics
    ///
    /// On a thread whose own loop is running: it would stand still.
    #[track_caller]
    pub fn blocking_send(&self, item: T) -> Result<(), Closed<T>> {
        block_on("blocking_send", self.send(item))
    }

    /// Sends from a plain thread, blocking it for at most `limit`.
    ///
    /// # Errors
    ///
    /// [`SendTimeoutError`], with the item.
    ///
    /// # Panics
    ///
    /// As [`blocking_send`](Self::blocking_send).
    #[doc(alias = "send_timeout")]
    #[track_caller]
    pub fn blocking_send_timeout(
        &self,
        item: T,
        limit: Duration,
    ) -> Result<(), SendTimeoutError<T>> {
        match block_on_for("blocking_send_timeout", limit, Reserve::new(&self.state)) {
            Ok(Ok(permit)) => {
                permit.send(item).map_err(|Closed(item)| SendTimeoutError::Closed(item))
            }
            Ok(Err(Closed(()))) => Err(SendTimeoutError::Closed(item)),
            Err(_) => Err(SendTimeoutError::Elapsed(item)),
        }
    }

    /// Waits until the receiver is gone or has closed the channel.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn closed(&self) {
        let closed = |state: &mut State<T>| state.is_closed().then_some(());
        Wait::new(&self.state, State::closing, closed).await;
    }

    /// Whether the receiver is gone or has closed the channel.
    pub fn is_closed(&self) -> bool {
        lock(&self.state).is_closed()
    }

    /// How many items were sent and not yet received.
    #[doc(alias = "qsize")]
    pub fn len(&self) -> usize {
        lock(&self.state).len()
    }

    /// Whether all items were received.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For how many items the channel is; `None` if it is unbounded.
    #[doc(alias = "maxsize")]
    #[doc(alias = "max_capacity")]
    pub fn capacity(&self) -> Option<usize> {
        lock(&self.state).capacity()
    }

    /// Whether both send into one channel.
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        lock(&self.state).add_sender();
        Sender { state: self.state.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let waker = lock(&self.state).remove_sender();
        wake_all(waker);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(&self.state, f.debug_struct("Sender"))
    }
}
