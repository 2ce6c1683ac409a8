//! The receiving end of a `broadcast` channel.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::state::State;
use super::{RecvError, TryRecvError};
use crate::channel::block::{block_on, block_on_for};
use crate::channel::lock::{Mutex, lock};
use crate::channel::wait::{Wait, budget};
use crate::time::Elapsed;

/// A receiving end, made by [`channel`](super::channel), [`subscribe`](super::Sender::subscribe) or
/// [`resubscribe`](Self::resubscribe).
pub struct Receiver<T> {
    state: Arc<Mutex<State<T>>>,
    /// The number of the next item.
    at: u64,
}

impl<T> Receiver<T> {
    /// For a receiver that `state` has counted.
    pub(super) fn new(state: Arc<Mutex<State<T>>>, at: u64) -> Self {
        Receiver { state, at }
    }

    /// A receiver more, of all that is sent from now on.
    pub fn resubscribe(&self) -> Receiver<T> {
        let at = lock(&self.state).subscribe();
        Receiver::new(self.state.clone(), at)
    }

    /// How many items are there for this receiver.
    pub fn len(&self) -> usize {
        lock(&self.state).kept_from(self.at)
    }

    /// Whether no item is there for this receiver.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether all senders are gone.
    pub fn is_closed(&self) -> bool {
        lock(&self.state).senders == 0
    }
}

impl<T: Clone> Receiver<T> {
    /// The next item if one is there.
    ///
    /// # Errors
    ///
    /// [`TryRecvError`].
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let received = lock(&self.state).recv(&mut self.at);
        Ok(Arc::unwrap_or_clone(received.ok_or(TryRecvError::Empty)??))
    }

    /// The next item, waiting for it.
    ///
    /// # Errors
    ///
    /// [`RecvError`].
    ///
    /// # Cancel safety
    ///
    /// Strict: an item is taken only when it is returned.
    pub async fn recv(&mut self) -> Result<T, RecvError> {
        budget().await;
        let at = &mut self.at;
        let look = |state: &mut State<T>| state.recv(at);
        let item = Wait::new(&self.state, |state| &mut state.arrived, look).await?;
        Ok(Arc::unwrap_or_clone(item))
    }

    /// The next item, blocking a plain thread until it comes.
    ///
    /// # Errors
    ///
    /// [`RecvError`].
    ///
    /// # Panics
    ///
    /// On a thread whose own loop is running: it would stand still.
    #[track_caller]
    pub fn blocking_recv(&mut self) -> Result<T, RecvError> {
        block_on("blocking_recv", self.recv())
    }

    /// The next item, blocking a plain thread for at most `limit`.
    ///
    /// # Errors
    ///
    /// The outer: [`Elapsed`], it did not come in time. The inner: [`RecvError`].
    ///
    /// # Panics
    ///
    /// As [`blocking_recv`](Self::blocking_recv).
    #[track_caller]
    pub fn blocking_recv_timeout(
        &mut self,
        limit: Duration,
    ) -> Result<Result<T, RecvError>, Elapsed> {
        block_on_for("blocking_recv_timeout", limit, self.recv())
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let items = lock(&self.state).unsubscribe(self.at);
        drop(items);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("len", &self.len())
            .field("closed", &self.is_closed())
            .finish()
    }
}
