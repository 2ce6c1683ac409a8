//! The sending end of a `broadcast` channel.

use std::fmt;
use std::sync::Arc;

use super::receiver::Receiver;
use super::state::State;
use crate::channel::lock::{Mutex, lock};
use crate::channel::waiters::wake_all;

/// A sending end, made by [`channel`](super::channel). Clone it for further senders. When the last
/// one is dropped, receivers come to the end once they have received everything.
pub struct Sender<T> {
    state: Arc<Mutex<State<T>>>,
}

impl<T> Sender<T> {
    /// For a sender that `state` has counted.
    pub(super) fn new(state: Arc<Mutex<State<T>>>) -> Self {
        Sender { state }
    }

    /// Sends to all who are subscribed now, and tells how many these are. If there are none, the
    /// item is dropped.
    ///
    /// It does not wait: where there is no room, the oldest item goes, and receivers that had not
    /// come for it have lagged.
    #[doc(alias = "publish")]
    pub fn send(&self, item: T) -> usize {
        let item = Arc::new(item);
        let (receivers, (dropped, wakers)) = {
            let mut state = lock(&self.state);
            (state.receivers, state.send(item))
        };
        wake_all(wakers);
        drop(dropped);
        receivers
    }

    /// A receiver more, of all that is sent from now on.
    pub fn subscribe(&self) -> Receiver<T> {
        let at = lock(&self.state).subscribe();
        Receiver::new(self.state.clone(), at)
    }

    /// How many receivers there are.
    pub fn receiver_count(&self) -> usize {
        lock(&self.state).receivers
    }

    /// How many items are kept for receivers.
    pub fn len(&self) -> usize {
        lock(&self.state).len()
    }

    /// Whether all receivers have received everything.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many items are kept for the slowest receiver.
    #[doc(alias = "maxlen")]
    pub fn capacity(&self) -> usize {
        lock(&self.state).capacity()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        lock(&self.state).senders += 1;
        Sender { state: self.state.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let wakers = {
            let mut state = lock(&self.state);
            state.senders -= 1;
            (state.senders == 0).then(|| state.arrived.call_all())
        };
        wake_all(wakers.into_iter().flatten());
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("receivers", &self.receiver_count())
            .finish()
    }
}
