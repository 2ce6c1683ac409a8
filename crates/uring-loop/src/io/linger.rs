//! Closing so that the peer gets what was sent last.
//!
//! A socket that is closed with bytes unread, or that bytes come to after it was closed, makes the
//! kernel answer with a reset (RFC 1122, 4.2.2.13; `tcp_close` in net/ipv4/tcp.c). With that it
//! throws away what it had still to send, and the peer may throw away what it has received and its
//! program has not read: an answer that was "sent" is lost. A server that refuses an upload without
//! reading it to its end meets this every time.
//!
//! The way round it is as old: end our direction, take what still comes and drop it, and close when
//! the peer has ended too, or a limit is reached. nginx (`lingering_close`) and Apache's httpd
//! (`ap_lingering_close`) do so; asyncio does not.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::ByteStream;
use crate::cancel::catch_cancel;
use crate::context;
use crate::time::{Sleep, now, sleep_until};

/// How long a peer may be silent, and how long it may go on, behind a connection that nobody here
/// is interested in any more. The figures are those of Apache's httpd (`SECONDS_TO_LINGER`,
/// `MAX_SECS_TO_LINGER`).
const SILENCE: Duration = Duration::from_secs(2);
const ALTOGETHER: Duration = Duration::from_secs(30);

/// What a connection may still cost that nobody here is interested in: a peer that never stops
/// would else have a core to itself for as long as it may go on.
const FLOOD: usize = 64 << 20;

/// A stream that is about to close. It drops what comes, from its first poll on.
pub(crate) struct Linger {
    silence: Duration,
    end: Instant,
    /// When bytes came last.
    heard: Instant,
    /// Bytes that were dropped.
    dropped: usize,
    timer: Pin<Box<Sleep>>,
    /// Our direction has ended.
    shut: bool,
    /// The peer's has.
    ended: bool,
    /// It gets shorter when the loop ends, and has not yet.
    hurries: bool,
}

impl Linger {
    /// For a stream that nobody waits for.
    pub(crate) fn behind_the_scenes() -> Self {
        Linger { hurries: true, ..Self::new(SILENCE, ALTOGETHER) }
    }

    /// For so long in all, and so long without a byte.
    fn new(silence: Duration, altogether: Duration) -> Self {
        let heard = now();
        let end = after(heard, altogether);
        let timer = Box::pin(sleep_until(end.min(after(heard, silence))));
        Linger { silence, end, heard, dropped: 0, timer, shut: false, ended: false, hurries: false }
    }

    /// Ready when both directions have ended; `TimedOut` if that takes too long, or too much.
    pub(crate) fn poll(
        &mut self,
        stream: &dyn ByteStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        // Both at a time: a peer that does not read our last bytes before its own are taken would
        // wait for us as we do for it.
        while !self.ended {
            let Poll::Ready(bytes) = stream.poll_recv(cx) else { break };
            let bytes = bytes?;
            self.ended = bytes.is_empty();
            self.heard = now();
            self.dropped = self.dropped.saturating_add(bytes.len());
            if self.dropped > FLOOD && !mutant!("lingers-in-a-flood") {
                return Poll::Ready(Err(unending("the peer does not stop sending")));
            }
        }
        if !self.shut {
            let shut = match stream.can_half_close() {
                true => stream.poll_shutdown(cx),
                false => stream.poll_flush(cx),
            };
            if let Poll::Ready(result) = shut {
                result?;
                self.shut = true;
            }
        }
        if self.shut && self.ended {
            return Poll::Ready(Ok(()));
        }
        self.poll_limit(cx).map(Err)
    }

    fn poll_limit(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.look_whether_to_hurry();
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let limit = self.end.min(after(self.heard, self.silence));
            if limit <= now() {
                return Poll::Ready(unending("the peer did not end the connection in time"));
            }
            self.timer.as_mut().set(sleep_until(limit));
        }
    }

    /// At the end of the loop, which asks every task to end and so wakes this one, nobody wants to
    /// wait for a peer that goes on and on longer than for one that is silent.
    fn look_whether_to_hurry(&mut self) {
        let ending = || context::with_core(|core| core.is_ending()) == Some(true);
        if !self.hurries || !ending() || mutant!("lingers-behind-the-end") {
            return;
        }
        self.hurries = false;
        self.end = self.end.min(after(now(), SILENCE));
        let limit = self.end.min(after(self.heard, self.silence));
        self.timer.as_mut().set(sleep_until(limit));
    }
}

fn unending(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, text)
}

/// A limit beyond what a clock can say is one that no program lives to see.
fn after(moment: Instant, time: Duration) -> Instant {
    moment.checked_add(time).unwrap_or(moment + Duration::from_secs(1 << 32))
}

/// Closes a stream; see [`ByteStreamExt::close`](super::ByteStreamExt::close).
pub(super) async fn close(stream: &dyn ByteStream, patience: Duration) -> io::Result<()> {
    let mut linger = Linger::new(patience, patience);
    poll_fn(|cx| linger.poll(stream, cx)).await
}

/// Closes a stream that nobody knows any more. What comes of it is of no interest.
///
/// The end of the loop asks every task to end, and waits for them as long as its patience lasts.
/// That is not heeded but by what is left of the limits.
pub(crate) async fn close_forgotten(stream: Rc<dyn ByteStream>) {
    let mut linger = Linger::behind_the_scenes();
    while catch_cancel(poll_fn(|cx| linger.poll(&*stream, cx))).await.is_err() {}
}

impl fmt::Debug for Linger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linger")
            .field("shut", &self.shut)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
