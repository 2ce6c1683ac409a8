//! Waiting for a promise: by reference, and by value.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::shared::Key;
use super::{Promise, PromiseError};
use crate::context;

/// Future of [`Promise::settled`] and of `&Promise`.
#[must_use = "futures do nothing unless awaited"]
pub struct Settled<'a, T, E> {
    promise: &'a Promise<T, E>,
    /// A place of its own: many may wait through one handle.
    key: Cell<Option<Key>>,
}

impl<'a, T: 'static, E: 'static> Settled<'a, T, E> {
    pub(super) fn new(promise: &'a Promise<T, E>) -> Self {
        Settled { promise, key: Cell::new(None) }
    }

    /// As [`poll`](Future::poll), but an error that it finds does not count as seen.
    pub(super) fn poll_unseen(&self, cx: &Context<'_>) -> bool {
        self.promise.shared.poll(&self.key, cx.waker())
    }
}

impl<'a, T: 'static, E: 'static> Future for Settled<'a, T, E> {
    type Output = Result<&'a T, &'a PromiseError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.poll_unseen(cx) {
            true => Poll::Ready(self.promise.result().expect("it is done")),
            false => {
                context::note_wait("a promise");
                Poll::Pending
            }
        }
    }
}

impl<T, E> Drop for Settled<'_, T, E> {
    fn drop(&mut self) {
        self.promise.shared.leave(self.key.get());
    }
}

impl<T, E> fmt::Debug for Settled<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Settled({:?})", self.promise)
    }
}

impl<'a, T: 'static, E: 'static> IntoFuture for &'a Promise<T, E> {
    type Output = Result<&'a T, &'a PromiseError<E>>;
    type IntoFuture = Settled<'a, T, E>;

    fn into_future(self) -> Settled<'a, T, E> {
        self.settled()
    }
}

impl<T: Clone + 'static, E: Clone + 'static> Future for Promise<T, E> {
    type Output = Result<T, PromiseError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.shared.poll(&self.key, cx.waker()) {
            context::note_wait("a promise");
            return Poll::Pending;
        }
        let outcome = self.result().expect("it is done");
        Poll::Ready(outcome.cloned().map_err(PromiseError::clone))
    }
}
