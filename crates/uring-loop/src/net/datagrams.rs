//! What datagram sockets have in common, of whatever family. [`UdpSocket`](super::UdpSocket) and
//! [`UnixDatagram`](super::UnixDatagram) are thin types around it.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::task::{Context, Poll};

use socket2::SockAddr;

use crate::context;
use crate::driver::buf::{IoBuf, IoBufMut, fill};
use crate::driver::fd::Fd;
use crate::driver::recv::Receiver;
use crate::driver::recv_datagrams::{Datagrams, Received, Room};
use crate::driver::ring::RingKind;
use crate::driver::{Driver, Op};
use crate::ops::control::Control;
use crate::ops::message::{RecvMessage, SendMessage};
use crate::ops::net::{Connect, Send};
use crate::ops::ring::PollAdd;
use crate::sys;
use crate::turn::Core;

/// A datagram socket. Dropping it cancels what is in flight and closes it.
pub(super) struct DatagramSocket {
    receiver: Receiver<Datagrams>,
    room: Cell<Room>,
    fd: Fd,
}

/// A datagram that was put into a buffer of the caller's.
pub(super) struct Filled {
    pub(super) count: usize,
    pub(super) length: usize,
    pub(super) name: Option<SockAddr>,
    pub(super) segment: Option<u16>,
}

impl DatagramSocket {
    /// `name`: the room that an address of this family takes.
    pub(super) fn new(fd: Fd, name: u16) -> Self {
        let room = Cell::new(Room { name, joined: false });
        DatagramSocket { receiver: Receiver::new(), room, fd }
    }

    pub(super) fn driver(&self) -> &Driver {
        self.fd.driver()
    }

    /// The kernel may join datagrams from now on.
    pub(super) fn set_joined(&self, joined: bool) {
        self.room.set(Room { joined, ..self.room.get() });
        self.receiver.rearm(self.driver());
    }

    pub(super) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<Received>> {
        if !context::take_budget() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.receiver.poll(self.driver(), self.fd.as_raw_fd(), self.room.get(), cx)
    }

    pub(super) async fn recv_into<B: IoBufMut>(&self, mut buffer: B) -> (io::Result<Filled>, B) {
        if self.receiver.armed() {
            let filled = poll_fn(|cx| self.poll_recv(cx)).await.map(|received| Filled {
                count: fill(&mut buffer, &received.bytes),
                length: received.length,
                name: received.name,
                segment: received.segment,
            });
            return (filled, buffer);
        }
        loop {
            let control = self.room.get().control();
            let op = RecvMessage::of_datagrams(self.as_raw_fd(), buffer, control);
            let (result, back) = self.fd.driver().submit(op).await;
            buffer = back;
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readiness(PollAdd::readable(self.as_raw_fd())).await;
                }
                Err(error) => return (Err(error), buffer),
                Ok(message) => {
                    let filled = Filled {
                        count: message.count,
                        length: message.cut_from.unwrap_or(message.count),
                        name: message.name,
                        segment: message.arrived.segment,
                    };
                    return (Ok(filled), buffer);
                }
            }
        }
    }

    /// Waits until the socket is ready; if that fails, the next attempt will tell why.
    async fn readiness(&self, poll: PollAdd) {
        let _ = self.fd.driver().submit(poll).await;
    }

    /// Sends one datagram, or several of `segment` bytes each.
    pub(super) async fn send<B: IoBuf>(
        &self,
        mut buffer: B,
        to: Option<SockAddr>,
        segment: Option<u16>,
    ) -> (io::Result<()>, B) {
        if segment.is_none()
            && let Some(sent) = self.send_at_once(buffer.bytes(), to.as_ref())
        {
            return (sent, buffer);
        }
        loop {
            let (result, back) = match (&to, segment) {
                (None, None) => {
                    let op = Send { fd: self.as_raw_fd(), offset: 0, buffer };
                    self.fd.driver().submit(op).await
                }
                _ => {
                    let control = segment.map_or(Control::NONE, Control::segments);
                    let op = SendMessage::new(self.as_raw_fd(), buffer, to.clone(), control, ());
                    let (result, (back, ())) = self.fd.driver().submit(op).await;
                    (result, back)
                }
            };
            buffer = back;
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readiness(PollAdd::writable(self.as_raw_fd())).await;
                }
                // A datagram goes as a whole or not at all.
                result => return (result.map(drop), buffer),
            }
        }
    }

    /// Sends one datagram by a call of its own. `None`: it should be an operation, or has to wait.
    fn send_at_once(&self, bytes: &[u8], to: Option<&SockAddr>) -> Option<io::Result<()>> {
        if !self.would_enter_alone() || !context::take_budget() {
            return None;
        }
        match sys::socket::send_without_waiting(self, bytes, to) {
            Err(error) if has_to_wait(&error) => None,
            sent => Some(sent.map(drop)),
        }
    }

    /// Whether an operation would have an enter to itself, which costs more than a call does:
    /// nobody else is ready, who may have one as well, and nothing waits to be handed over.
    fn would_enter_alone(&self) -> bool {
        let driver = self.driver();
        let alone =
            |core: &Core| std::ptr::eq(&raw const *core.driver, driver) && core.tasks.ready() == 0;
        driver.ring_kind() != RingKind::Simulated
            && !driver.closing()
            && !driver.unsubmitted()
            && context::with_core(alone).unwrap_or(false)
    }

    pub(super) async fn connect(&self, name: SockAddr) -> io::Result<()> {
        self.run(Connect { fd: self.as_raw_fd(), address: name }).await
    }

    async fn run<T: Op>(&self, op: T) -> T::Output {
        self.fd.driver().submit(op).await
    }
}

/// Whether another attempt may do better.
fn has_to_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

impl AsFd for DatagramSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for DatagramSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl Drop for DatagramSocket {
    fn drop(&mut self) {
        self.receiver.abandon(self.fd.driver());
    }
}

impl fmt::Debug for DatagramSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fd.fmt(f)
    }
}
