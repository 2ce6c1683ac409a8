//! Sockets as streams of bytes like any other, and where they come from.

use std::any::Any;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::task::{Context, Poll};

use super::connected::{Connected, Stream};
use super::limits::{Side, too_late};
use super::{TcpListener, TcpStream, UnixListener, UnixStream};
use crate::driver::outgoing::Medium;
use crate::driver::recvbuf::RecvBuf;
use crate::io::{Address, ByteStream, Listener};

impl Connected {
    /// Puts a poll of the sending side under the write and idle timeouts.
    fn in_time(&self, sent: Poll<io::Result<()>>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match sent {
            Poll::Ready(result) => {
                self.moved(Side::Write);
                Poll::Ready(result)
            }
            Poll::Pending => self.waiting(Side::Write, cx).map(|_| {
                self.outgoing().time_out(self.driver());
                Err(too_late())
            }),
        }
    }
}

/// Implements the trait for a type around a [`Connected`].
macro_rules! byte_stream {
    ($Stream:ty, $address:path) => {
        /// Sending by it and by `write_all` may be mixed: what was handed over goes first.
        impl ByteStream for $Stream {
            fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
                self.connected().poll_recv(cx)
            }

            fn give_up_recv(&self) {
                if !mutant!("given-up-polls-use-up-the-limit") {
                    self.connected().done(Side::Read);
                }
            }

            fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let outgoing = self.connected().outgoing();
                let sent =
                    self.connected().in_time(outgoing.poll_sent(self.connected().driver(), cx), cx);
                sent.map(|sent| sent.and_then(|()| outgoing.check_open()))
            }

            fn start_send(&self, buffer: Vec<u8>) -> io::Result<()> {
                let driver = self.connected().driver();
                self.connected().outgoing().start(
                    driver,
                    self.connected().raw(),
                    Medium::Socket,
                    buffer,
                )
            }

            fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let sent = self.connected().outgoing().poll_sent(self.connected().driver(), cx);
                self.connected().in_time(sent, cx)
            }

            fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let shut = self.connected().outgoing().poll_shutdown(
                    self.connected().driver(),
                    self.connected().raw(),
                    cx,
                );
                self.connected().in_time(shut, cx)
            }

            fn abort(&self) {
                self.connected().outgoing().abort(self.connected().driver());
            }

            fn has_unread(&self) -> bool {
                self.connected().has_unread()
            }

            fn spare_buffer(&self) -> Vec<u8> {
                self.connected().outgoing().spare()
            }

            fn local_address(&self) -> Option<Address> {
                self.local_addr().ok().map($address)
            }

            fn peer_address(&self) -> Option<Address> {
                self.peer_addr().ok().map($address)
            }

            fn descriptor(&self) -> Option<BorrowedFd<'_>> {
                Some(self.as_fd())
            }

            fn as_any(&self) -> Option<&dyn Any> {
                Some(self)
            }
        }
    };
}

byte_stream!(TcpStream, Address::Ip);
byte_stream!(UnixStream, Address::Unix);

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        TcpListener::accept(self).await
    }

    fn local_address(&self) -> Option<Address> {
        self.local_addr().ok().map(Address::Ip)
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        UnixListener::accept(self).await
    }

    fn local_address(&self) -> Option<Address> {
        self.local_addr().ok().map(Address::Unix)
    }
}
