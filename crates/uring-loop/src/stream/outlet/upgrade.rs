//! Another stream in the place of the one that a connection has: TLS, say, over it.
//!
//! # Life story
//!
//! *holding*: what is written from here on is held, and goes by the new stream only; what was
//! written before goes out by the old one. *away*: the old stream is with whoever makes the new one
//! of it; readers wait. Then the new one is *put* in its place, and all go on. If that fails, or
//! whoever waits for it is dropped, the connection is lost: nobody knows how far the other side has
//! come. A connection that is closed or aborted meanwhile ends the making too.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::{End, Loss, Outlet, gone};
use crate::io::failure::Failure;
use crate::io::{ByteStream, Rewound};

/// What was written since an upgrade was asked for: it is for the new stream alone (`upgrade.rs`).
#[derive(Default)]
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    /// Who waits until the old stream has sent what was written before.
    pub(super) waker: Option<Waker>,
}

impl Outlet {
    /// Puts what `make` makes of the stream in its place. `unread` is what has come and was not
    /// looked at: the new stream has it first.
    pub(crate) async fn upgrade<F, S>(
        &self,
        unread: impl FnOnce() -> Vec<u8>,
        make: impl FnOnce(Rewound<Rc<dyn ByteStream>>) -> F,
    ) -> io::Result<()>
    where
        F: Future<Output = io::Result<S>>,
        S: ByteStream + 'static,
    {
        self.hold()?;
        let away = Away(self);
        poll_fn(|cx| self.poll_sent(cx)).await;
        let plain = self.take_away()?;
        let unread = if mutant!("upgrade-drops-what-was-read") { Vec::new() } else { unread() };
        let made = {
            let mut making = pin!(make(Rewound::new(unread, plain)));
            let mut ended = pin!(self.ended.wait());
            poll_fn(|cx| match ended.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Err(gone())),
                Poll::Pending => making.as_mut().poll(cx),
            })
            .await
        };
        let stream = made.inspect_err(|error| self.give_up(error))?;
        if self.is_closing() {
            return Err(gone());
        }
        std::mem::forget(away);
        self.link.put(Rc::new(stream));
        self.unhold();
        Ok(())
    }

    /// Holds what is written from now on, for another stream.
    ///
    /// # Errors
    ///
    /// What it is lost for; `BrokenPipe` if our direction has ended; `ResourceBusy` if somebody
    /// does that already.
    fn hold(&self) -> io::Result<()> {
        let refuse = |kind, text| Err(io::Error::new(kind, text));
        let mut state = self.state.borrow_mut();
        if let Some(loss) = &state.lost {
            return Err(loss.error().unwrap_or_else(gone));
        }
        if state.closing {
            return Err(gone());
        }
        if state.end != End::No {
            let text = "this direction of the connection has ended";
            return refuse(io::ErrorKind::BrokenPipe, text);
        }
        if state.held.is_some() {
            let text = "an upgrade of this connection is under way";
            return refuse(io::ErrorKind::ResourceBusy, text);
        }
        state.held = Some(Box::default());
        Ok(())
    }

    /// What was held is for the stream that is there now.
    fn unhold(&self) {
        let mut state = self.state.borrow_mut();
        if let Some(held) = state.held.take() {
            state.pending.extend_from_slice(&held.bytes);
            self.settle(state);
        }
    }

    /// Ready when everything is sent that was written before the rest was held, or never will be.
    fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<()> {
        let fresh = cx.waker().clone();
        let mut state = self.state.borrow_mut();
        if state.is_sent() {
            return Poll::Ready(());
        }
        let Some(held) = &mut state.held else { return Poll::Ready(()) };
        let stale = held.waker.replace(fresh);
        drop(state);
        drop(stale);
        Poll::Pending
    }

    /// The stream, for another one that is made of it.
    fn take_away(&self) -> io::Result<Rc<dyn ByteStream>> {
        match (self.link.read_error(), self.loss()) {
            (Some(error), _) => Err(error),
            (None, Some(loss)) => Err(loss.error().unwrap_or_else(gone)),
            (None, None) if self.is_closing() => Err(gone()),
            (None, None) => self.link.take_away().ok_or_else(gone),
        }
    }

    fn give_up(&self, error: &io::Error) {
        self.lose(Loss::Failed(Failure::of(error)));
        self.link.close();
    }
}

/// Gives the connection up if nobody waits for its new stream any more.
struct Away<'a>(&'a Outlet);

impl Drop for Away<'_> {
    fn drop(&mut self) {
        let text = "the upgrade of the connection was given up";
        self.0.give_up(&io::Error::new(io::ErrorKind::ConnectionAborted, text));
    }
}
