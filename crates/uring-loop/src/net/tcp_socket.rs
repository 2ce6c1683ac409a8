//! A TCP socket before it connects or listens: for options that must be set by then.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use socket2::SockRef;

use super::acceptor::BACKLOG;
use super::options::option_methods;
use super::{TcpListener, TcpStream};
use crate::driver::Driver;
use crate::driver::fd::Fd;
use crate::ops::net::Connect;
use crate::sys::socket::inet;

/// A TCP socket that neither connects nor listens yet. TCP_NODELAY is on.
///
/// # An address that is in use
///
/// A server that starts again binds an address that its connections of before may still stand on,
/// in TIME_WAIT: without SO_REUSEADDR that fails with `AddrInUse` for a minute. With it, which
/// [`TcpListener::bind`] sets, only somebody who *listens* there stands in the way (socket(7)).
///
/// A process that dies with an io_uring listens on for some 4 to 35 ms after `waitpid` has told of
/// its death, since the kernel takes rings apart in the background; an accept in flight keeps the
/// socket alive so long. A supervisor that starts a successor at once should therefore keep the
/// listener itself and hand it down ([`TcpListener::from_owned_fd`]), let both bind with
/// [`set_reuse_port`](Self::set_reuse_port), or try again for 100 ms or so. A loop that is dropped
/// or closed in order leaves nothing behind.
///
/// # Examples
///
/// ```
/// use uring_loop::net::{TcpSocket, TcpStream};
///
/// uring_loop::run(async {
///     let socket = TcpSocket::new_v4()?;
///     socket.set_reuse_addr(true)?;
///     socket.set_recv_buffer_size(64 << 10)?;
///     socket.bind(([127, 0, 0, 1], 0).into())?;
///     let listener = socket.listen(128)?;
///     let client = uring_loop::spawn(TcpStream::connect(listener.local_addr()?));
///     let stream = listener.accept().await?;
///     assert_eq!(client.await??.local_addr()?, stream.peer_addr()?);
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpSocket(Fd);

option_methods!(TcpSocket);

impl TcpSocket {
    /// A socket for IPv4.
    ///
    /// # Errors
    ///
    /// Those of socket(2).
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub fn new_v4() -> io::Result<Self> {
        Self::of_family(&([0, 0, 0, 0], 0).into())
    }

    /// A socket for IPv6; for that alone, unless [`set_only_v6`](Self::set_only_v6) says otherwise.
    ///
    /// # Errors
    ///
    /// Those of socket(2).
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub fn new_v6() -> io::Result<Self> {
        let socket = Self::of_family(&([0u16; 8], 0).into())?;
        if !socket.0.driver().is_simulated() {
            socket.set_only_v6(true)?;
        }
        Ok(socket)
    }

    #[track_caller]
    fn of_family(address: &SocketAddr) -> io::Result<Self> {
        let driver = Driver::current();
        let raw = driver.socket(address)?;
        Ok(TcpSocket(Fd::new(driver, raw)))
    }

    /// Takes over a socket that somebody else made.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub fn from_owned_fd(fd: OwnedFd) -> Self {
        TcpSocket(Fd::from_owned(Driver::current(), fd))
    }

    /// Whether an address may be bound that old connections still stand on (SO_REUSEADDR).
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn set_reuse_addr(&self, reuse: bool) -> io::Result<()> {
        self.socket().set_reuse_address(reuse)
    }

    /// Whether others of this user may bind the same address, and the kernel spreads connections
    /// over all of them (SO_REUSEPORT).
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn set_reuse_port(&self, reuse: bool) -> io::Result<()> {
        self.socket().set_reuse_port(reuse)
    }

    /// Whether a socket for IPv6 leaves IPv4 to others (IPV6_V6ONLY).
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn set_only_v6(&self, only: bool) -> io::Result<()> {
        self.socket().set_only_v6(only)
    }

    /// Sends and receives through this network interface only (SO_BINDTODEVICE).
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2): ENODEV if there is none of this name, EPERM without CAP_NET_RAW for
    /// one that is bound already.
    pub fn bind_device(&self, interface: &str) -> io::Result<()> {
        self.socket().bind_device(Some(interface.as_bytes()))
    }

    /// Binds the address of this end. Port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// Those of bind(2), with the address.
    pub fn bind(&self, address: SocketAddr) -> io::Result<()> {
        self.0
            .driver()
            .bind(self.as_fd(), &address)
            .map_err(|error| io::Error::new(error.kind(), format!("binding {address}: {error}")))
    }

    /// Listens where it is bound. So many connections may wait to be accepted, at most
    /// `net.core.somaxconn`.
    ///
    /// # Errors
    ///
    /// Those of listen(2).
    pub fn listen(self, backlog: u32) -> io::Result<TcpListener> {
        let backlog = i32::try_from(backlog).unwrap_or(BACKLOG);
        self.0.driver().listen_on(self.as_fd(), backlog)?;
        Ok(TcpListener::new(self.0))
    }

    /// Connects (`IORING_OP_CONNECT`, 5.5).
    ///
    /// # Errors
    ///
    /// Those of connect(2), with the address.
    ///
    /// # Cancel safety
    ///
    /// Strict: a connection that is made for a dropped call is closed.
    pub async fn connect(self, address: SocketAddr) -> io::Result<TcpStream> {
        let connect = Connect { fd: self.0.as_raw_fd(), address: address.into() };
        let connected = self.0.driver().submit(connect).await;
        connected.map_err(|error| {
            io::Error::new(error.kind(), format!("connecting to {address}: {error}"))
        })?;
        Ok(TcpStream::new(self.0))
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.driver().local_name(self.as_fd()).and_then(inet)
    }

    /// The socket, for every other option.
    pub fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.0)
    }
}

impl AsFd for TcpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for TcpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl fmt::Debug for TcpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TcpSocket").field(&self.0).finish()
    }
}
