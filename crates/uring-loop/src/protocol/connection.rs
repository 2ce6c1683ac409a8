//! The task of a connection: it makes all calls of the protocol.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use super::events::{Event, Events};
use super::{Protocol, Transport};
use crate::cancel::catch_cancel;

struct Connection<P> {
    /// The one that it began with.
    protocol: P,
    /// The one that is called instead (`successor.rs`).
    successor: Option<Box<dyn Protocol>>,
    transport: Transport,
    events: Events,
}

/// Closes the connection of a protocol that has panicked, or whose task was aborted. Nobody is
/// called any more.
struct AbortOnDrop(Transport);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.reading.successor.end();
        self.0.abort();
    }
}

/// Runs a protocol on its connection until that is lost, and gives the protocol back. `made` is
/// told when the first call has returned.
///
/// Asked to end, it closes the connection, and sends what was written first.
pub(super) async fn run<P: Protocol>(protocol: P, transport: Transport, made: impl FnOnce()) -> P {
    transport.reading.successor.begin();
    let _abort = AbortOnDrop(transport.clone());
    let events = Events::new(transport.clone());
    let mut connection = Connection { protocol, successor: None, transport, events };
    connection.protocol.connection_made(connection.transport.clone());
    made();
    let error = loop {
        match catch_cancel(poll_fn(|cx| connection.poll(cx))).await {
            Ok(error) => break error,
            Err(_) => connection.transport.close(),
        }
    };
    connection.called().connection_lost(error);
    connection.protocol
}

impl<P: Protocol> Connection<P> {
    /// Makes one call after the other; ready with what the last one is about.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Error>> {
        loop {
            self.hand_over();
            match ready!(self.events.poll(cx)) {
                Event::Received(data) => self.called().data_received(data),
                Event::Ended => {
                    let stays = self.called().eof_received() && self.transport.can_write_eof();
                    if !stays {
                        self.transport.close();
                    }
                }
                Event::PauseWriting => self.called().pause_writing(),
                Event::ResumeWriting => self.called().resume_writing(),
                Event::Lost(error) => return Poll::Ready(error),
            }
        }
    }

    fn called(&mut self) -> &mut dyn Protocol {
        match &mut self.successor {
            Some(successor) => &mut **successor,
            None => &mut self.protocol,
        }
    }

    fn hand_over(&mut self) {
        if let Some(next) = self.transport.reading.successor.take()
            && !mutant!("a-successor-is-not-called")
        {
            self.successor = Some(next);
            self.events.tell_another();
        }
    }
}
