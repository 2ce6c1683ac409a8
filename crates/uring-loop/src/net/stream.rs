//! A TCP connection.

use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use socket2::SockRef;

use super::connected::{Connected, Stream};
use super::limits::Side;
use super::methods::stream_methods;
use super::{Recv, RecvHalf, SendHalf, ToAddress, WriteAll, resolve};
use crate::driver::Driver;
use crate::driver::buf::{IoBuf, IoBufMut};
use crate::driver::fd::Fd;
use crate::ops;
use crate::sys::socket::inet;

/// A TCP connection. TCP_NODELAY is on.
///
/// # Receiving
///
/// [`recv`](Self::recv) gives bytes in a buffer that belongs to the loop: one multishot receive
/// with provided buffers (6.0) stays armed, and a stream that waits holds no buffer at all. One
/// that nobody reads holds a few, then stops receiving until somebody does. [`read`](Self::read)
/// fills a buffer of the caller's.
///
/// # Cancel safety
///
/// Receiving is strict: bytes that arrived for a dropped `recv` are there for the next. Writing is
/// weak: of a dropped write, some bytes may have been sent, and nobody can say how many.
///
/// Dropping the stream cancels what is in flight and closes the socket; bytes that were handed
/// over by [`ByteStream::start_send`](crate::io::ByteStream::start_send) are sent before it closes.
pub struct TcpStream(Connected);

stream_methods!(TcpStream);

impl TcpStream {
    /// Connects (`IORING_OP_CONNECT`, 5.5). Of the addresses of a name, each is tried in turn.
    ///
    /// # Errors
    ///
    /// Those of the look-up and of connect(2), with the address; of several, the last.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Cancel safety
    ///
    /// Strict: a connection that is made for a dropped call is closed.
    pub async fn connect(address: impl ToAddress) -> io::Result<TcpStream> {
        let mut last = None;
        for address in resolve(address).await? {
            match Self::connect_to(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    let text = format!("connecting to {address}: {error}");
                    last = Some(io::Error::new(error.kind(), text));
                }
            }
        }
        let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        Err(last.unwrap_or_else(none))
    }

    async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
        let driver = Driver::current();
        let fd = Fd::new(driver.clone(), driver.socket(&address)?);
        let connect = ops::net::Connect { fd: fd.as_raw_fd(), address: address.into() };
        driver.submit(connect).await?;
        Ok(TcpStream::new(fd))
    }

    /// Turns Nagle's algorithm off (`true`, the default) or on.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket().set_tcp_nodelay(nodelay)
    }

    /// Whether Nagle's algorithm is off.
    ///
    /// # Errors
    ///
    /// Those of getsockopt(2).
    pub fn nodelay(&self) -> io::Result<bool> {
        self.socket().tcp_nodelay()
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.driver().local_name(self.as_fd()).and_then(inet)
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// Those of getpeername(2).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.driver().peer_name(self.as_fd()).and_then(inet)
    }
}
