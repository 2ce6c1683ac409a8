//! The task of a datagram socket: it sends one datagram after the other, receives, and makes all
//! calls of the protocol.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::outlet::Outlet;
use super::{DatagramProtocol, DatagramTransport};
use crate::cancel::catch_cancel;
use crate::time::sleep;

/// How long to wait after a receive that failed for no reason of the network's: for memory, say.
const RETRY: Duration = Duration::from_secs(1);
/// So many such failures in a row, and nothing received in between, and the socket is given up.
const PATIENT_RECEIVES: u32 = 5;

struct Endpoint<P> {
    /// Sending and receiving take turns in one task, and a call is over before either waits.
    protocol: RefCell<P>,
    outlet: Rc<Outlet>,
    told_to_pause: Cell<bool>,
}

/// Closes the socket of a protocol that has panicked, or whose task was aborted.
struct AbortOnDrop(Rc<Outlet>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs a protocol on its socket until that is closed, and gives it back. `made` is told when the
/// first call has returned.
///
/// Asked to end, it closes the socket, and sends what is in line first.
pub(super) async fn run<P: DatagramProtocol>(
    mut protocol: P,
    transport: DatagramTransport,
    made: impl FnOnce(),
) -> P {
    let abort = AbortOnDrop(transport.outlet.clone());
    protocol.connection_made(transport.clone());
    made();
    let endpoint = Endpoint {
        protocol: RefCell::new(protocol),
        outlet: transport.outlet.clone(),
        told_to_pause: Cell::new(false),
    };
    let error = {
        let mut sending = pin!(endpoint.send_all());
        let mut receiving = pin!(endpoint.receive_all());
        loop {
            let both = poll_fn(|cx| endpoint.poll(sending.as_mut(), receiving.as_mut(), cx));
            match catch_cancel(both).await {
                Ok(error) => break error,
                Err(_) => transport.close(),
            }
        }
    };
    drop(abort);
    let mut protocol = endpoint.protocol.into_inner();
    protocol.connection_lost(error);
    protocol
}

impl<P: DatagramProtocol> Endpoint<P> {
    /// Ready when the socket is of no use any more.
    fn poll(
        &self,
        mut sending: Pin<&mut impl Future<Output = ()>>,
        mut receiving: Pin<&mut impl Future<Output = io::Error>>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Error>> {
        loop {
            self.outlet.note_task(cx.waker());
            if self.outlet.is_lost() {
                return Poll::Ready(None);
            }
            let told = self.tell_flow();
            if sending.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            if !told && let Poll::Ready(error) = receiving.as_mut().poll(cx) {
                return Poll::Ready(Some(error));
            }
            if !told && self.outlet.is_paused() == self.told_to_pause.get() {
                return Poll::Pending;
            }
        }
    }

    /// Tells the protocol if it is to send less, or may send more. `true`: it was told.
    fn tell_flow(&self) -> bool {
        let paused = self.outlet.is_paused();
        if self.told_to_pause.replace(paused) == paused {
            return false;
        }
        let mut protocol = self.protocol.borrow_mut();
        if paused {
            protocol.pause_writing()
        } else {
            protocol.resume_writing()
        }
        true
    }

    /// Sends what is in line, until it is closed.
    async fn send_all(&self) {
        while let Some(datagram) = poll_fn(|_| self.outlet.poll_next()).await {
            let Some(socket) = self.outlet.socket() else { return };
            let size = datagram.size();
            let sent = socket.send(datagram.bytes, datagram.to.as_ref()).await;
            self.outlet.sent(size);
            if let Err(error) = sent {
                self.protocol.borrow_mut().error_received(error);
            }
        }
    }

    /// Receives until that fails again and again.
    async fn receive_all(&self) -> io::Error {
        let mut failures = 0;
        loop {
            let received = poll_fn(|cx| match self.outlet.socket() {
                Some(socket) if !self.outlet.is_closing() => socket.poll_recv(cx),
                _ => Poll::Pending,
            });
            match received.await {
                Ok(datagram) => {
                    failures = 0;
                    self.protocol.borrow_mut().datagram_received(datagram);
                }
                Err(error) if is_of_the_network(&error) => {
                    self.protocol.borrow_mut().error_received(error);
                }
                Err(error) => {
                    failures += 1;
                    if failures == PATIENT_RECEIVES {
                        return error;
                    }
                    self.protocol.borrow_mut().error_received(error);
                    sleep(RETRY).await;
                }
            }
        }
    }
}

/// Tells of a datagram that was sent earlier, and is over with that.
fn is_of_the_network(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable};
    let kind = error.kind();
    matches!(kind, ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable)
}
