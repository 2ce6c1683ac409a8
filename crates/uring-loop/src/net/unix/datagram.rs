//! Unix datagram sockets.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use socket2::{SockAddr, SockRef, Type};

use super::{SocketFile, shown};
use crate::driver::Driver;
use crate::driver::buf::{IoBuf, IoBufMut};
use crate::driver::fd::Fd;
use crate::net::datagrams::{DatagramSocket, Filled};
use crate::net::{Datagram, DatagramInfo};
use crate::sys::socket::{UNIX_NAME, unix_address, unix_name};

/// A Unix datagram socket. Datagrams are neither lost nor reordered on their way; a sender waits
/// while the receiver's queue is full.
///
/// It receives as a [`UdpSocket`](crate::net::UdpSocket) does. One that has bound a path removes
/// that file when it is dropped, as a [`UnixListener`](super::UnixListener) does.
///
/// # Cancel safety
///
/// Receiving with [`recv`](Self::recv) is strict, sending is weak.
///
/// # Examples
///
/// ```
/// use uring_loop::net::UnixDatagram;
///
/// uring_loop::run(async {
///     let (one, mut other) = UnixDatagram::pair()?;
///     one.send("hello").await.0?;
///     assert_eq!(&*other.recv().await?, b"hello");
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub struct UnixDatagram {
    /// The file that this socket has made, to be removed with it.
    file: Option<SocketFile>,
    socket: Rc<DatagramSocket>,
}

/// Sends through a [`UnixDatagram`], from other tasks too, while somebody receives from it. The
/// socket closes when it and its senders are gone.
#[derive(Clone)]
pub struct UnixDatagramSender(Rc<DatagramSocket>);

impl UnixDatagram {
    /// Binds a path, which must not exist.
    ///
    /// # Errors
    ///
    /// Those of bind(2), with the path: `AddrInUse` if the file exists.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        let driver = Driver::current();
        Self::bound(driver, &SocketAddr::from_pathname(path)?)
    }

    /// The same by address, which may be an abstract name.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind); `InvalidInput` for an address without a name.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub fn bind_addr(address: &SocketAddr) -> io::Result<Self> {
        Self::bound(Driver::current(), address)
    }

    fn bound(driver: Rc<Driver>, address: &SocketAddr) -> io::Result<Self> {
        let raw = driver.unix_bind(&unix_address(address)?, Type::DGRAM).map_err(|error| {
            io::Error::new(error.kind(), format!("binding {}: {error}", shown(address)))
        })?;
        let mut this = Self::new(Fd::new(driver, raw));
        this.file = SocketFile::of(this.socket.driver(), address);
        Ok(this)
    }

    /// A socket without a name: it can send, and receive once it is connected to somebody who knows
    /// it, as a [`pair`](Self::pair) is.
    ///
    /// # Errors
    ///
    /// Those of socket(2).
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub fn unbound() -> io::Result<Self> {
        let driver = Driver::current();
        let raw = driver.unix_socket(Type::DGRAM)?;
        Ok(Self::new(Fd::new(driver, raw)))
    }

    /// Two sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// Those of socketpair(2).
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub fn pair() -> io::Result<(Self, Self)> {
        let driver = Driver::current();
        let [one, other] =
            driver.unix_pair(Type::DGRAM)?.map(|raw| Self::new(Fd::new(driver.clone(), raw)));
        Ok((one, other))
    }

    /// Takes over a socket that somebody else made.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub fn from_owned_fd(fd: OwnedFd) -> Self {
        Self::new(Fd::from_owned(Driver::current(), fd))
    }

    fn new(fd: Fd) -> Self {
        UnixDatagram { file: None, socket: Rc::new(DatagramSocket::new(fd, UNIX_NAME)) }
    }

    /// Lets the file stay when this is dropped.
    pub fn keep_file(&mut self) {
        self.file = None;
    }

    /// Makes the socket at this path the one that is sent to.
    ///
    /// # Errors
    ///
    /// Those of connect(2), with the path.
    ///
    /// # Cancel safety
    ///
    /// Weak: it may have happened.
    pub async fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.connect_addr(&SocketAddr::from_pathname(path)?).await
    }

    /// The same by address.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    ///
    /// Weak: it may have happened.
    pub async fn connect_addr(&self, address: &SocketAddr) -> io::Result<()> {
        self.socket.connect(unix_address(address)?).await.map_err(|error| {
            let text = format!("connecting to {}: {error}", shown(address));
            io::Error::new(error.kind(), text)
        })
    }

    /// Waits for a datagram and gives it in a buffer of the loop (`IORING_OP_RECVMSG`, multishot
    /// with provided buffers: 6.0).
    ///
    /// # Errors
    ///
    /// Those of recvmsg(2).
    ///
    /// # Cancel safety
    ///
    /// Strict: dropping it loses no datagram.
    pub async fn recv(&mut self) -> io::Result<Datagram<SocketAddr>> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The same as a poll, for one task at a time.
    pub(crate) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<Datagram<SocketAddr>>> {
        let received = ready!(self.socket.poll_recv(cx))?;
        let info = DatagramInfo {
            count: received.bytes.len(),
            length: received.length,
            from: sender(received.name)?,
            segment_size: None,
        };
        Poll::Ready(Ok(Datagram { bytes: received.bytes, info }))
    }

    /// Waits for a datagram and puts it into a buffer of the caller's, which comes back in any case
    /// (`IORING_OP_RECVMSG`, 5.3). As [`UdpSocket::recv_into`](crate::net::UdpSocket::recv_into).
    ///
    /// # Errors
    ///
    /// Those of recvmsg(2).
    ///
    /// # Cancel safety
    ///
    /// Weak: dropped in flight it is cancelled, but a datagram that arrives at that moment is lost.
    pub async fn recv_into<B: IoBufMut>(
        &mut self,
        buffer: B,
    ) -> (io::Result<DatagramInfo<SocketAddr>>, B) {
        let (filled, buffer) = self.socket.recv_into(buffer).await;
        let info = filled.and_then(|Filled { count, length, name, .. }| {
            Ok(DatagramInfo { count, length, from: sender(name)?, segment_size: None })
        });
        (info, buffer)
    }

    /// Sends a datagram to where the socket is connected (`IORING_OP_SEND`, 5.6), and waits for
    /// room. The buffer comes back.
    ///
    /// # Errors
    ///
    /// Those of send(2): `ConnectionRefused` or `ConnectionReset` if the receiver has gone.
    ///
    /// # Cancel safety
    ///
    /// Weak: it may have been sent.
    pub async fn send<B: IoBuf>(&self, buffer: B) -> (io::Result<()>, B) {
        self.socket.send(buffer, None, None).await
    }

    /// Sends a datagram to the socket at a path (`IORING_OP_SENDMSG`, 5.3).
    ///
    /// # Errors
    ///
    /// Those of sendmsg(2): `NotFound` if there is no such file.
    ///
    /// # Cancel safety
    ///
    /// Weak: it may have been sent.
    pub async fn send_to<B: IoBuf>(
        &self,
        buffer: B,
        path: impl AsRef<Path>,
    ) -> (io::Result<()>, B) {
        send_to(&self.socket, buffer, SocketAddr::from_pathname(path)).await
    }

    /// The same by address.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to).
    ///
    /// # Cancel safety
    ///
    /// Weak: it may have been sent.
    pub async fn send_to_addr<B: IoBuf>(
        &self,
        buffer: B,
        address: &SocketAddr,
    ) -> (io::Result<()>, B) {
        send_to(&self.socket, buffer, Ok(address.clone())).await
    }

    /// A handle that sends through this socket while it is received from.
    pub fn sender(&self) -> UnixDatagramSender {
        UnixDatagramSender(self.socket.clone())
    }

    /// The socket, for every other option.
    pub fn socket(&self) -> SockRef<'_> {
        SockRef::from(&*self.socket)
    }

    /// The address of this socket.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.driver().local_name(self.as_fd()).and_then(unix_name)
    }

    /// The address that it is connected to.
    ///
    /// # Errors
    ///
    /// Those of getpeername(2): `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.driver().peer_name(self.as_fd()).and_then(unix_name)
    }
}

impl UnixDatagramSender {
    /// As [`UnixDatagram::send`].
    ///
    /// # Errors
    ///
    /// As [`UnixDatagram::send`].
    ///
    /// # Cancel safety
    ///
    /// Weak: it may have been sent.
    pub async fn send<B: IoBuf>(&self, buffer: B) -> (io::Result<()>, B) {
        self.0.send(buffer, None, None).await
    }

    /// As [`UnixDatagram::send_to`].
    ///
    /// # Errors
    ///
    /// As [`UnixDatagram::send_to`].
    ///
    /// # Cancel safety
    ///
    /// Weak: it may have been sent.
    pub async fn send_to<B: IoBuf>(
        &self,
        buffer: B,
        path: impl AsRef<Path>,
    ) -> (io::Result<()>, B) {
        send_to(&self.0, buffer, SocketAddr::from_pathname(path)).await
    }
}

async fn send_to<B: IoBuf>(
    socket: &DatagramSocket,
    buffer: B,
    address: io::Result<SocketAddr>,
) -> (io::Result<()>, B) {
    match address.and_then(|address| unix_address(&address)) {
        Ok(name) => socket.send(buffer, Some(name), None).await,
        Err(error) => (Err(error), buffer),
    }
}

/// A sender without a name has one that is empty.
fn sender(name: Option<SockAddr>) -> io::Result<SocketAddr> {
    name.map_or_else(|| SocketAddr::from_pathname(""), unix_name)
}

impl AsFd for UnixDatagram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for UnixDatagram {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl Drop for UnixDatagram {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            file.remove(self.socket.driver());
        }
    }
}

impl fmt::Debug for UnixDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UnixDatagram").field(&self.socket).finish()
    }
}

impl fmt::Debug for UnixDatagramSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UnixDatagramSender").field(&self.0).finish()
    }
}
