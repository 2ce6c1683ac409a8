//! The sending end of a `watch` channel.

use std::fmt;
use std::sync::Arc;

use super::receiver::Receiver;
use super::state::{Shared, State};
use crate::channel::lock::lock;
use crate::channel::wait::Wait;
use crate::channel::waiters::wake_all;

/// A sending end, made by [`channel`](super::channel). Clone it for further senders; they take
/// turns. When the last one is dropped, receivers are told.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// For a sender that `shared` has counted.
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        Sender { shared }
    }

    /// Makes `value` the latest. It is kept for receivers that subscribe later, too.
    ///
    /// # Panics
    ///
    /// Inside of a closure of [`send_modify`](Self::send_modify) or
    /// [`send_if_modified`](Self::send_if_modified) on this channel.
    #[track_caller]
    pub fn send(&self, value: T) {
        drop(self.send_replace(value));
    }

    /// Makes `value` the latest, and gives the one before.
    ///
    /// # Panics
    ///
    /// As [`send`](Self::send).
    #[track_caller]
    pub fn send_replace(&self, value: T) -> Arc<T> {
        let value = Arc::new(value);
        let (before, wakers) = self.shared.turn().publish(value);
        wake_all(wakers);
        before
    }

    /// Makes the next value from the present one: a clone of it, on which `modify` works. Other
    /// senders wait meanwhile, receivers do not. If `modify` panics, nothing is changed.
    ///
    /// # Panics
    ///
    /// With the panic of `modify`, and as [`send`](Self::send).
    #[track_caller]
    pub fn send_modify(&self, modify: impl FnOnce(&mut T))
    where
        T: Clone,
    {
        self.send_if_modified(|value| {
            modify(value);
            true
        });
    }

    /// As [`send_modify`](Self::send_modify), if `modify` says `true`. If it says `false`, what it
    /// did to its clone is dropped, and nothing is changed. Answers what it said.
    ///
    /// # Panics
    ///
    /// As [`send_modify`](Self::send_modify).
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = uring_loop::channel::watch::channel(3);
    /// let less = |left: &mut u32| {
    ///     *left = left.saturating_sub(2);
    ///     *left > 0
    /// };
    /// assert!(sender.send_if_modified(less));
    /// assert!(!sender.send_if_modified(less));
    /// assert_eq!(*receiver.borrow(), 1);
    /// ```
    #[track_caller]
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool
    where
        T: Clone,
    {
        let turn = self.shared.turn();
        let mut next = T::clone(&self.shared.value());
        if !modify(&mut next) {
            // Its drop is foreign: not in our turn.
            drop(turn);
            return false;
        }
        let (before, wakers) = turn.publish(Arc::new(next));
        wake_all(wakers);
        drop(before);
        true
    }

    /// The latest value.
    pub fn borrow(&self) -> Arc<T> {
        self.shared.value()
    }

    /// A receiver more, which has seen the latest value.
    pub fn subscribe(&self) -> Receiver<T> {
        let seen = {
            let mut state = lock(&self.shared.state);
            state.receivers += 1;
            state.version
        };
        Receiver::new(self.shared.clone(), seen)
    }

    /// Waits until there is no receiver.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn closed(&self) {
        let closed = |state: &mut State<T>| (state.receivers == 0).then_some(());
        Wait::new(&self.shared.state, |state| &mut state.closing, closed).await;
    }

    /// Whether there is no receiver now. One may [`subscribe`](Self::subscribe) later.
    pub fn is_closed(&self) -> bool {
        self.receiver_count() == 0
    }

    /// How many receivers there are.
    pub fn receiver_count(&self) -> usize {
        lock(&self.shared.state).receivers
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        lock(&self.shared.state).senders += 1;
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let wakers = {
            let mut state = lock(&self.shared.state);
            state.senders -= 1;
            (state.senders == 0).then(|| state.changed.call_all())
        };
        wake_all(wakers.into_iter().flatten());
    }
}

impl<T: fmt::Debug> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("value", &self.borrow())
            .field("receivers", &self.receiver_count())
            .finish()
    }
}
