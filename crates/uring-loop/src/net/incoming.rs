//! Connections one after another, as a stream of them.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::acceptor::{Acceptor, Waiting};
use crate::driver::fd::Fd;
use crate::time::{Sleep, sleep_until};

/// Stream of the connections of a [`TcpListener`](super::TcpListener) or
/// [`UnixListener`](super::UnixListener). It never ends; after an error it goes on.
///
/// # Cancel safety
///
/// Strict: a connection that nobody has taken is given to the next `accept`.
#[must_use = "streams do nothing unless polled"]
pub struct Incoming<'a, S> {
    waiting: Waiting<'a>,
    pause: Option<Pin<Box<Sleep>>>,
    make: fn(Fd) -> S,
}

impl<'a, S> Incoming<'a, S> {
    pub(super) fn new(acceptor: &'a Acceptor, make: fn(Fd) -> S) -> Self {
        Incoming { waiting: Waiting::new(acceptor), pause: None, make }
    }
}

impl<S> Stream for Incoming<'_, S> {
    type Item = io::Result<S>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let acceptor = this.waiting.acceptor;
        if let Some(moment) = acceptor.paused_until() {
            let pause = this.pause.get_or_insert_with(|| Box::pin(sleep_until(moment)));
            ready!(pause.as_mut().poll(cx));
            this.pause = None;
            acceptor.end_pause();
        }
        let accepted = ready!(this.waiting.poll(cx));
        Poll::Ready(Some(accepted.map(this.make)))
    }
}

impl<S> fmt::Debug for Incoming<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Incoming").field(self.waiting.acceptor).finish()
    }
}
