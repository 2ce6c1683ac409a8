//! UDP.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use socket2::SockRef;

use super::addr::numeric;
use super::datagrams::{DatagramSocket, Filled};
use super::{Datagram, DatagramInfo, ToAddress, resolve};
use crate::driver::Driver;
use crate::driver::buf::{IoBuf, IoBufMut};
use crate::driver::fd::Fd;
use crate::sys::socket::{INET_NAME, inet, set_gro};

/// A UDP socket.
///
/// # Receiving
///
/// [`recv`](Self::recv) gives datagrams in buffers of the loop: one multishot receive
/// (`IORING_OP_RECVMSG` with provided buffers, 6.0) stays armed, and a socket that waits holds no
/// buffer. One that nobody reads holds a few datagrams; what comes then waits in the kernel, which
/// drops what its own buffer has no room for. [`recv_into`](Self::recv_into) fills a buffer of the
/// caller's.
///
/// # Sending
///
/// What the tasks that are ready send goes to the kernel in one call. So a server that answers many
/// peers does better with a task for each answer, which sends through a [`sender`](Self::sender),
/// than with one that awaits each before it receives the next: that has a system call to itself.
///
/// # Cancel safety
///
/// Receiving with [`recv`](Self::recv) is strict: a datagram that arrived for a dropped call is
/// there for the next. Sending is weak: a dropped one may have been sent.
///
/// # Examples
///
/// ```
/// use uring_loop::net::UdpSocket;
///
/// uring_loop::run(async {
///     let mut server = UdpSocket::bind("127.0.0.1:0")?;
///     let client = UdpSocket::bind("127.0.0.1:0")?;
///     client.send_to("hello", server.local_addr()?).await.0?;
///     let datagram = server.recv().await?;
///     assert_eq!(&*datagram, b"hello");
///     assert_eq!(*datagram.from(), client.local_addr()?);
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub struct UdpSocket(Rc<DatagramSocket>);

/// Sends through a [`UdpSocket`], from other tasks too, while somebody receives from it. The socket
/// closes when it and its senders are gone.
#[derive(Clone)]
pub struct UdpSender(Rc<DatagramSocket>);

impl UdpSocket {
    /// Binds. Port 0 takes a free one, see [`local_addr`](Self::local_addr). An IPv6 socket takes
    /// IPv6 only.
    ///
    /// # Errors
    ///
    /// Those of bind(2), with the address; `InvalidInput` for a name: [`resolve`] it first.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub fn bind(address: impl ToAddress) -> io::Result<Self> {
        Self::open(address, false)
    }

    /// As [`bind`](Self::bind), with SO_REUSEPORT: several sockets, of other loops or processes,
    /// share the port. The kernel gives each datagram to one of them, by its sender (socket(7));
    /// one to many, of broadcast or multicast, to all.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub fn bind_reuse_port(address: impl ToAddress) -> io::Result<Self> {
        Self::open(address, true)
    }

    #[track_caller]
    fn open(address: impl ToAddress, reuse_port: bool) -> io::Result<Self> {
        let driver = Driver::current();
        let address = numeric(address)?;
        let raw = driver
            .udp(&address, reuse_port)
            .map_err(|error| io::Error::new(error.kind(), format!("binding {address}: {error}")))?;
        Ok(Self::new(Fd::new(driver, raw)))
    }

    /// Takes over a socket that somebody else made, with options that must be set before it is
    /// bound.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub fn from_owned_fd(fd: OwnedFd) -> Self {
        Self::new(Fd::from_owned(Driver::current(), fd))
    }

    fn new(fd: Fd) -> Self {
        UdpSocket(Rc::new(DatagramSocket::new(fd, INET_NAME)))
    }

    /// Makes this address the only one that is sent to and received from; of a name, the first.
    ///
    /// A send to a connected socket where nobody listens is told by a later send or receive
    /// (`ConnectionRefused`); the socket stays usable.
    ///
    /// # Errors
    ///
    /// Those of the look-up and of connect(2).
    ///
    /// # Cancel safety
    ///
    /// Weak: it may have happened.
    pub async fn connect(&self, address: impl ToAddress) -> io::Result<()> {
        let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        let address = *resolve(address).await?.first().ok_or_else(none)?;
        let connected = self.0.connect(address.into()).await;
        connected.map_err(|error| {
            io::Error::new(error.kind(), format!("connecting to {address}: {error}"))
        })
    }

    /// Waits for a datagram and gives it in a buffer of the loop.
    ///
    /// # Errors
    ///
    /// Those of recvmsg(2): `ConnectionRefused` on a connected socket, see
    /// [`connect`](Self::connect).
    ///
    /// # Cancel safety
    ///
    /// Strict: dropping it loses no datagram.
    pub async fn recv(&mut self) -> io::Result<Datagram<SocketAddr>> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The same as a poll, for one task at a time.
    pub(crate) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<Datagram<SocketAddr>>> {
        let received = ready!(self.0.poll_recv(cx))?;
        let info = DatagramInfo {
            count: received.bytes.len(),
            length: received.length,
            from: sender(received.name)?,
            segment_size: received.segment,
        };
        Poll::Ready(Ok(Datagram { bytes: received.bytes, info }))
    }

    /// Waits for a datagram and puts it into a buffer of the caller's, which comes back in any case
    /// (`IORING_OP_RECVMSG`, 5.3).
    ///
    /// On a socket that never used [`recv`](Self::recv) the kernel writes straight into the buffer.
    /// On one that has, datagrams come through the loop's buffers, and are cut to their size.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// Weak: dropped in flight it is cancelled, but a datagram that arrives at that moment is lost.
    pub async fn recv_into<B: IoBufMut>(
        &mut self,
        buffer: B,
    ) -> (io::Result<DatagramInfo<SocketAddr>>, B) {
        let (filled, buffer) = self.0.recv_into(buffer).await;
        let info = filled.and_then(|Filled { count, length, name, segment }| {
            Ok(DatagramInfo { count, length, from: sender(name)?, segment_size: segment })
        });
        (info, buffer)
    }

    /// Sends a datagram to where the socket is [connected](Self::connect) (`IORING_OP_SEND`, 5.6).
    /// The buffer comes back.
    ///
    /// # Errors
    ///
    /// Those of send(2): EMSGSIZE for one that is too long.
    ///
    /// # Cancel safety
    ///
    /// Weak: it may have been sent.
    pub async fn send<B: IoBuf>(&self, buffer: B) -> (io::Result<()>, B) {
        self.0.send(buffer, None, None).await
    }

    /// Sends a datagram to an address (`IORING_OP_SENDMSG`, 5.3).
    ///
    /// # Errors
    ///
    /// Those of sendmsg(2); `InvalidInput` for a name: [`resolve`] it first.
    ///
    /// # Cancel safety
    ///
    /// Weak: it may have been sent.
    pub async fn send_to<B: IoBuf>(
        &self,
        buffer: B,
        address: impl ToAddress,
    ) -> (io::Result<()>, B) {
        send_to(&self.0, buffer, Some(numeric(address)), None).await
    }

    /// Sends a buffer as many datagrams of `size` bytes, the last one perhaps shorter, to where the
    /// socket is connected: the kernel or the network card cuts it up (`UDP_SEGMENT`, 4.18). That
    /// is one way through the network stack instead of many.
    ///
    /// # Errors
    ///
    /// Those of sendmsg(2): EMSGSIZE or EINVAL for more than 65 507 bytes, more than 64 datagrams
    /// (128 in newer kernels), or a size above the path's; EIO where the device cannot. Nothing was
    /// sent then. `InvalidInput` for a size of 0.
    ///
    /// # Cancel safety
    ///
    /// Weak: it may have been sent.
    #[doc(alias = "GSO")]
    pub async fn send_segmented<B: IoBuf>(&self, buffer: B, size: u16) -> (io::Result<()>, B) {
        send_to(&self.0, buffer, None, Some(size)).await
    }

    /// The same to an address.
    ///
    /// # Errors
    ///
    /// As [`send_segmented`](Self::send_segmented).
    ///
    /// # Cancel safety
    ///
    /// Weak: it may have been sent.
    #[doc(alias = "GSO")]
    pub async fn send_to_segmented<B: IoBuf>(
        &self,
        buffer: B,
        address: impl ToAddress,
        size: u16,
    ) -> (io::Result<()>, B) {
        send_to(&self.0, buffer, Some(numeric(address)), Some(size)).await
    }

    /// Lets the kernel join datagrams of one sender that arrive together (`UDP_GRO`, 5.0), or not
    /// (the default). [`Datagram::segments`] takes them apart. Joined ones have up to 64 KiB: give
    /// the loop [buffers](crate::Builder::buffers) of that size, or receive into buffers of your
    /// own; what has no room is lost.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2): `Unsupported` from a kernel without it.
    #[doc(alias = "GRO")]
    pub fn set_gro(&mut self, join: bool) -> io::Result<()> {
        if self.0.driver().is_simulated() {
            let text = "the simulated network joins no datagrams";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        set_gro(self.as_fd(), join)?;
        self.0.set_joined(join);
        Ok(())
    }

    /// Allows datagrams to broadcast addresses, or not (the default): such a send fails with
    /// `PermissionDenied` then (SO_BROADCAST, socket(7)).
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    #[doc(alias = "allow_broadcast")]
    #[doc(alias = "SO_BROADCAST")]
    pub fn set_broadcast(&self, allow: bool) -> io::Result<()> {
        self.socket().set_broadcast(allow)
    }

    /// A handle that sends through this socket while it is received from.
    pub fn sender(&self) -> UdpSender {
        UdpSender(self.0.clone())
    }

    /// The socket, for every other option: multicast, sizes of buffers.
    pub fn socket(&self) -> SockRef<'_> {
        SockRef::from(&*self.0)
    }

    /// The address of this socket.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.driver().local_name(self.as_fd()).and_then(inet)
    }

    /// The address that it is connected to.
    ///
    /// # Errors
    ///
    /// Those of getpeername(2): `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.driver().peer_name(self.as_fd()).and_then(inet)
    }
}

impl UdpSender {
    /// As [`UdpSocket::send`].
    ///
    /// # Errors
    ///
    /// As [`UdpSocket::send`].
    ///
    /// # Cancel safety
    ///
    /// Weak: it may have been sent.
    pub async fn send<B: IoBuf>(&self, buffer: B) -> (io::Result<()>, B) {
        self.0.send(buffer, None, None).await
    }

    /// As [`UdpSocket::send_to`].
    ///
    /// # Errors
    ///
    /// As [`UdpSocket::send_to`].
    ///
    /// # Cancel safety
    ///
    /// Weak: it may have been sent.
    pub async fn send_to<B: IoBuf>(
        &self,
        buffer: B,
        address: impl ToAddress,
    ) -> (io::Result<()>, B) {
        send_to(&self.0, buffer, Some(numeric(address)), None).await
    }

    /// As [`UdpSocket::send_segmented`].
    ///
    /// # Errors
    ///
    /// As [`UdpSocket::send_segmented`].
    ///
    /// # Cancel safety
    ///
    /// Weak: it may have been sent.
    pub async fn send_segmented<B: IoBuf>(&self, buffer: B, size: u16) -> (io::Result<()>, B) {
        send_to(&self.0, buffer, None, Some(size)).await
    }

    /// As [`UdpSocket::send_to_segmented`].
    ///
    /// # Errors
    ///
    /// As [`UdpSocket::send_segmented`].
    ///
    /// # Cancel safety
    ///
    /// Weak: it may have been sent.
    pub async fn send_to_segmented<B: IoBuf>(
        &self,
        buffer: B,
        address: impl ToAddress,
        size: u16,
    ) -> (io::Result<()>, B) {
        send_to(&self.0, buffer, Some(numeric(address)), Some(size)).await
    }
}

async fn send_to<B: IoBuf>(
    socket: &DatagramSocket,
    buffer: B,
    address: Option<io::Result<SocketAddr>>,
    segment: Option<u16>,
) -> (io::Result<()>, B) {
    if segment == Some(0) {
        let text = "datagrams of 0 bytes: give a size of at least 1";
        return (Err(io::Error::new(io::ErrorKind::InvalidInput, text)), buffer);
    }
    match address.transpose() {
        Ok(address) => socket.send(buffer, address.map(Into::into), segment).await,
        Err(error) => (Err(error), buffer),
    }
}

/// The kernel names the sender of every datagram.
fn sender(name: Option<socket2::SockAddr>) -> io::Result<SocketAddr> {
    let nobody = || io::Error::new(io::ErrorKind::InvalidData, "a datagram of nobody");
    name.ok_or_else(nobody).and_then(inet)
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for UdpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UdpSocket").field(&self.0).finish()
    }
}

impl fmt::Debug for UdpSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UdpSender").field(&self.0).finish()
    }
}
