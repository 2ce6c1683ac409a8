//! The task of a connection: it sends what was written, receives, and makes all calls of the
//! protocol.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::{Protocol, Transport};
use crate::cancel::catch_cancel;
use crate::io::ByteStream;
use crate::report::{Report, ReportKind};
use crate::stream::Link;
use crate::stream::outlet::{Loss, Outlet};

pub(super) struct Connection<P> {
    protocol: P,
    transport: Transport,
    /// `pause_writing` was called, and `resume_writing` was not.
    told_to_pause: bool,
}

/// What a stream is to a protocol.
pub(super) fn transport(stream: impl ByteStream + 'static) -> Transport {
    let outlet = Outlet::new(Link::new(Rc::new(stream)));
    Transport { outlet, reading: Rc::default() }
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
    let mut connection = Connection { protocol, transport, told_to_pause: false };
    connection.protocol.connection_made(connection.transport.clone());
    made();
    let loss = loop {
        match catch_cancel(poll_fn(|cx| connection.poll(cx))).await {
            Ok(loss) => break loss,
            Err(_) => connection.transport.close(),
        }
    };
    connection.transport.outlet.link.close();
    connection.end(loss)
}

impl<P: Protocol> Connection<P> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Loss> {
        loop {
            if self.tell_flow() {
                continue;
            }
            if let Poll::Ready(loss) = self.transport.outlet.poll_send(cx) {
                return Poll::Ready(loss);
            }
            if self.transport.outlet.is_paused() != self.told_to_pause {
                continue;
            }
            self.transport.reading.note_task(cx.waker());
            if !self.transport.is_reading() || self.poll_receive(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Tells the protocol if it is to write less, or may write more. `true`: it was told.
    fn tell_flow(&mut self) -> bool {
        let paused = self.transport.outlet.is_paused();
        if paused == self.told_to_pause || self.transport.outlet.loss().is_some() {
            return false;
        }
        self.told_to_pause = paused;
        if paused {
            self.protocol.pause_writing()
        } else {
            self.protocol.resume_writing()
        }
        true
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.transport.outlet.link.poll_recv(cx).map(|received| match received {
            Ok(Some(data)) => self.protocol.data_received(data),
            Ok(None) => {
                self.transport.reading.end();
                let stays = self.protocol.eof_received() && self.transport.can_write_eof();
                if !stays {
                    self.transport.close();
                }
            }
            Err(error) => self.transport.outlet.fail(&error),
        })
    }

    /// The last call.
    fn end(mut self, loss: Loss) -> P {
        let error = loss.error();
        if let Some(error) = error.as_ref().filter(|error| !is_of_the_peer(error)) {
            let message = format!("a transport failed ({error})");
            Report::new(ReportKind::ConnectionFailed, message).send();
        }
        self.protocol.connection_lost(error);
        self.protocol
    }
}

/// That a peer goes away is nothing to report: asyncio, `Lib/asyncio/proactor_events.py`.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
}
