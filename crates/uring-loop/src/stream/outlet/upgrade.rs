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
use std::task::Poll;

use super::{Loss, Outlet, gone};
use crate::io::failure::Failure;
use crate::io::{ByteStream, Rewound};

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
