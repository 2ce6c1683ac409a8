//! The task of a connection: it makes all calls of the protocol.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use super::events::{Event, Events};
use super::{Protocol, Transport};
use crate::cancel::catch_cancel;

struct Connection<P> {
    protocol: P,
    transport: Transport,
    events: Events,
}

/// Closes the connection of a protocol that has panicked, or whose task was aborted.
struct AbortOnDrop(Transport);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs a protocol on its connection until that is lost, and gives the protocol back. `made` is
/// told when the first call has returned.
///
/// Asked to end, it closes the connection, and sends what was written first.
pub(super) async fn run<P: Protocol>(protocol: P, transport: Transport, made: impl FnOnce()) -> P {
    let _abort = AbortOnDrop(transport.clone());
    let events = Events::new(transport.clone());
    let mut connection = Connection { protocol, transport, events };
    connection.protocol.connection_made(connection.transport.clone());
    made();
    let error = loop {
        match catch_cancel(poll_fn(|cx| connection.poll(cx))).await {
            Ok(error) => break error,
            Err(_) => connection.transport.close(),
        }
    };
    connection.protocol.connection_lost(error);
    connection.protocol
}

impl<P: Protocol> Connection<P> {
    /// Makes one call after the other; ready with what the last one is about.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Error>> {
        loop {
            match ready!(self.events.poll(cx)) {
                Event::Received(data) => self.protocol.data_received(data),
                Event::Ended => {
                    let stays = self.protocol.eof_received() && self.transport.can_write_eof();
                    if !stays {
                        self.transport.close();
                    }
                }
                Event::PauseWriting => self.protocol.pause_writing(),
                Event::ResumeWriting => self.protocol.resume_writing(),
                Event::Lost(error) => return Poll::Ready(error),
            }
        }
    }
}
