//! What happens on a connection, one thing after the other. What was written is sent meanwhile.

use std::io;
use std::task::{Context, Poll, ready};

use super::Transport;
use crate::io::RecvBuf;
use crate::report::{Report, ReportKind};
use crate::stream::outlet::Loss;

/// What a protocol is to be told.
pub(super) enum Event {
    Received(RecvBuf),
    /// The peer has sent its last. Our direction is still open.
    Ended,
    PauseWriting,
    ResumeWriting,
    /// The connection is gone, and let go of. It comes last.
    Lost(Option<io::Error>),
}

/// The events of a connection, for the one task that polls them.
pub(super) struct Events {
    transport: Transport,
    /// That writing pauses was told, and that it goes on was not.
    told_to_pause: bool,
}

impl Events {
    pub(super) fn new(transport: Transport) -> Self {
        Events { transport, told_to_pause: false }
    }

    /// Somebody else is told from now on, who does not know that writing pauses.
    pub(super) fn tell_another(&mut self) {
        self.told_to_pause = false;
    }

    /// The next event; not to be asked for any more after [`Event::Lost`].
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            if let Some(event) = self.flow() {
                return Poll::Ready(event);
            }
            match self.transport.outlet.poll_some(cx) {
                Poll::Ready(Some(loss)) => return Poll::Ready(self.end(&loss)),
                Poll::Ready(None) => continue,
                Poll::Pending => {}
            }
            self.transport.reading.note_task(cx.waker());
            if !self.transport.hears() {
                return Poll::Pending;
            }
            match ready!(self.transport.outlet.link.poll_recv(cx)) {
                Ok(Some(data)) => return Poll::Ready(Event::Received(data)),
                Ok(None) => {
                    self.transport.reading.end();
                    if !self.transport.reading.is_write_only() {
                        return Poll::Ready(Event::Ended);
                    }
                    // Nobody reads what is written any more: asyncio says no more of that than
                    // `connection_lost` (Lib/asyncio/unix_events.py).
                    self.transport.close();
                }
                Err(error) => self.transport.outlet.fail(&error),
            }
        }
    }

    /// Whether the protocol is to write less, or may write more, and does not know.
    fn flow(&mut self) -> Option<Event> {
        let paused = self.transport.outlet.is_paused();
        if paused == self.told_to_pause || self.transport.outlet.loss().is_some() {
            return None;
        }
        self.told_to_pause = paused;
        if !paused && mutant!("lost-before-told-to-go-on") {
            return None;
        }
        Some(if paused { Event::PauseWriting } else { Event::ResumeWriting })
    }

    fn end(&self, loss: &Loss) -> Event {
        self.transport.outlet.link.close();
        let error = loss.error();
        if let Some(error) = error.as_ref().filter(|error| !is_of_the_peer(error)) {
            let message = format!("a transport failed ({error})");
            Report::new(ReportKind::ConnectionFailed, message).send();
        }
        Event::Lost(error)
    }
}

/// That a peer goes away is nothing to report: asyncio, `Lib/asyncio/proactor_events.py`.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
}
