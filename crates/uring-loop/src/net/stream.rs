//! A TCP connection.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;

use super::extras::Extras;
use super::limits::{Limits, Side};
use super::write_all::WriteAll;
use super::{RecvHalf, SendHalf, ToAddress, resolve};
use crate::context;
use crate::driver::Driver;
use crate::driver::buf::{IoBuf, IoBufMut, fill};
use crate::driver::connection::Connection;
use crate::driver::fd::Fd;
use crate::driver::recvbuf::RecvBuf;
use crate::ops;
use crate::ops::ring::PollAdd;

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
/// Dropping the stream cancels what is in flight and closes the socket.
pub struct TcpStream {
    connection: Connection<Extras>,
}

impl TcpStream {
    pub(super) fn new(fd: Fd) -> Self {
        TcpStream { connection: Connection::new(fd) }
    }

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

    /// Waits for bytes and gives them in a buffer of the loop; an empty one is the end of the
    /// stream (`IORING_OP_RECV`, multishot with provided buffers: 6.0).
    ///
    /// # Errors
    ///
    /// Those of recv(2); `TimedOut` after a read or idle timeout.
    ///
    /// # Cancel safety
    ///
    /// Strict: dropping it loses no byte.
    pub fn recv(&mut self) -> Recv<'_> {
        Recv { stream: self }
    }

    pub(super) fn recv_shared(&self) -> Recv<'_> {
        Recv { stream: self }
    }

    /// Fills a buffer of the caller's with what is there, from its start, and answers how many
    /// bytes that is; 0 is the end of the stream. The buffer comes back in any case.
    ///
    /// On a stream that never used [`recv`](Self::recv) the kernel writes straight into the buffer.
    ///
    /// # Errors
    ///
    /// Those of recv(2); `InvalidInput` for a buffer without room; `TimedOut`.
    ///
    /// # Cancel safety
    ///
    /// Weak: dropped in flight it is cancelled, but bytes that arrive at that moment are lost.
    /// Use [`recv`](Self::recv) where that matters.
    pub async fn read<B: IoBufMut>(&mut self, buffer: B) -> (io::Result<usize>, B) {
        self.read_shared(buffer).await
    }

    pub(super) async fn read_shared<B: IoBufMut>(&self, mut buffer: B) -> (io::Result<usize>, B) {
        let (_, room) = buffer.spare();
        if room == 0 {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "a read into no room at all");
            return (Err(error), buffer);
        }
        if self.connection.receiver.armed() || self.extras().is_some_and(Extras::has_rest) {
            return (self.recv_into(&mut buffer).await, buffer);
        }
        let op = ops::net::Recv { fd: self.raw(), buffer };
        let mut submitted = self.connection.shared_driver().submit(op);
        let polled = poll_fn(|cx| match Pin::new(&mut submitted).poll(cx) {
            Poll::Ready(result) => Poll::Ready(Ok(result)),
            Poll::Pending => self.waiting(Side::Read, cx).map(Err),
        })
        .await;
        match polled {
            Ok(done) => {
                self.moved(Side::Read);
                done
            }
            Err(error) => {
                let (result, buffer) = self.recall(submitted).await;
                (result.or(Err(error)), buffer)
            }
        }
    }

    /// Takes an operation back whose time is over: cancels it and waits for its buffer.
    async fn recall<T: crate::driver::Op>(&self, submitted: crate::driver::Submit<T>) -> T::Output {
        submitted.cancel();
        submitted.await
    }

    async fn recv_into<B: IoBufMut>(&self, buffer: &mut B) -> io::Result<usize> {
        let mut bytes = self.recv_shared().await?;
        let count = fill(buffer, &bytes);
        bytes.advance(count);
        if !bytes.is_empty() {
            self.connection.extra_or_default().unread(bytes);
        }
        Ok(count)
    }

    /// Sends a whole buffer (`IORING_OP_SEND`, 5.6) and gives it back.
    ///
    /// Anything that owns bytes will do: a `Vec`, a `&'static str`, the [`RecvBuf`] of a `recv`.
    ///
    /// # Errors
    ///
    /// Those of send(2); `TimedOut` after a write or idle timeout. Some bytes may have been sent.
    ///
    /// # Cancel safety
    ///
    /// Weak: dropped in flight it is cancelled, and some bytes may have been sent.
    pub fn write_all<B: IoBuf>(&mut self, buffer: B) -> WriteAll<'_, B> {
        WriteAll::new(self, buffer)
    }

    pub(super) fn write_all_shared<B: IoBuf>(&self, buffer: B) -> WriteAll<'_, B> {
        WriteAll::new(self, buffer)
    }

    /// Sends several buffers one behind the other (`IORING_OP_SENDMSG`, 5.3), as much of them as
    /// the kernel takes, and answers how many bytes that was.
    ///
    /// # Errors
    ///
    /// As [`write_all`](Self::write_all).
    ///
    /// # Cancel safety
    ///
    /// Weak, as [`write_all`](Self::write_all).
    pub async fn write_vectored<B: IoBuf>(
        &mut self,
        buffers: Vec<B>,
    ) -> (io::Result<usize>, Vec<B>) {
        self.limited(ops::net::SendVectored::new(self.raw(), buffers, 0)).await
    }

    /// Sends several buffers completely, one behind the other.
    ///
    /// # Errors
    ///
    /// As [`write_all`](Self::write_all).
    ///
    /// # Cancel safety
    ///
    /// Weak, as [`write_all`](Self::write_all).
    pub async fn write_all_vectored<B: IoBuf>(
        &mut self,
        mut buffers: Vec<B>,
    ) -> (io::Result<()>, Vec<B>) {
        let length: usize = buffers.iter().map(|buffer| buffer.bytes().len()).sum();
        let mut offset = 0;
        while offset < length {
            let op = ops::net::SendVectored::new(self.raw(), buffers, offset);
            let (result, back) = self.limited(op).await;
            buffers = back;
            match result {
                Ok(sent) => offset += sent,
                Err(error) => return (Err(error), buffers),
            }
        }
        (Ok(()), buffers)
    }

    /// Runs a send under the write and idle timeouts. On EAGAIN, which a socket in non-blocking
    /// mode or a kernel short of memory answers, it waits for room and reports nothing sent.
    async fn limited<T, B>(&self, op: T) -> (io::Result<usize>, B)
    where
        T: crate::driver::Op<Output = (io::Result<usize>, B)>,
    {
        let mut submitted = self.connection.shared_driver().submit(op);
        let polled = poll_fn(|cx| match Pin::new(&mut submitted).poll(cx) {
            Poll::Ready(result) => Poll::Ready(Ok(result)),
            Poll::Pending => self.waiting(Side::Write, cx).map(Err),
        })
        .await;
        let (result, buffer) = match polled {
            Ok(done) => done,
            Err(error) => {
                let (result, buffer) = self.recall(submitted).await;
                return (result.or(Err(error)), buffer);
            }
        };
        self.moved(Side::Write);
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => (
                self.connection
                    .shared_driver()
                    .submit(PollAdd::writable(self.raw()))
                    .await
                    .map(|()| 0),
                buffer,
            ),
            other => (other, buffer),
        }
    }

    /// Ends one or both directions (`IORING_OP_SHUTDOWN`, 5.11).
    ///
    /// # Errors
    ///
    /// Those of shutdown(2).
    ///
    /// # Cancel safety
    ///
    /// Weak: it may have happened.
    pub async fn shutdown(&mut self, how: Shutdown) -> io::Result<()> {
        self.shutdown_shared(how).await
    }

    pub(super) async fn shutdown_shared(&self, how: Shutdown) -> io::Result<()> {
        self.connection.shared_driver().submit(ops::net::Shutdown::new(self.raw(), how)).await
    }

    /// Two halves that one task, or two branches of a join, can use at the same time.
    pub fn split(&mut self) -> (RecvHalf<&TcpStream>, SendHalf<&TcpStream>) {
        (RecvHalf(self), SendHalf(self))
    }

    /// Two halves that two tasks can own. The socket closes when both are gone.
    pub fn into_split(
        self,
    ) -> (RecvHalf<std::rc::Rc<TcpStream>>, SendHalf<std::rc::Rc<TcpStream>>) {
        let stream = std::rc::Rc::new(self);
        (RecvHalf(stream.clone()), SendHalf(stream))
    }

    /// How long a receive may wait before it fails with `TimedOut`. The stream stays usable.
    pub fn set_read_timeout(&mut self, limit: Option<Duration>) {
        self.connection.extra_or_default().limits_or_off().set(Side::Read, limit);
    }

    /// How long a write may wait before it fails with `TimedOut`.
    pub fn set_write_timeout(&mut self, limit: Option<Duration>) {
        self.connection.extra_or_default().limits_or_off().set(Side::Write, limit);
    }

    /// How long no byte may move in either direction before what waits fails with `TimedOut`.
    pub fn set_idle_timeout(&mut self, limit: Option<Duration>) {
        self.connection.extra_or_default().limits_or_off().set_idle(limit);
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

    /// The socket, for every other option.
    pub fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.connection)
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.driver().local_address(self.as_fd())
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// Those of getpeername(2).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.driver().peer_address(self.as_fd())
    }

    pub(super) fn driver(&self) -> &Driver {
        self.connection.driver()
    }

    fn extras(&self) -> Option<&Extras> {
        self.connection.extra()
    }

    fn limits(&self) -> Option<Pin<&Limits>> {
        self.extras().and_then(Extras::limits)
    }

    pub(super) fn raw(&self) -> RawFd {
        self.connection.as_raw_fd()
    }

    pub(super) fn waiting(&self, side: Side, cx: &mut Context<'_>) -> Poll<io::Error> {
        match self.limits() {
            Some(limits) => limits.waiting(side, cx),
            None => Poll::Pending,
        }
    }

    /// The operation on this side is over or was dropped.
    pub(super) fn done(&self, side: Side) {
        if let Some(limits) = self.limits() {
            limits.done(side);
        }
    }

    pub(super) fn moved(&self, side: Side) {
        if let Some(limits) = self.limits() {
            limits.moved(side);
        }
    }

    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        if !context::take_budget() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let result = if let Some(rest) = self.extras().and_then(Extras::take_rest) {
            Ok(rest)
        } else {
            match self.connection.receiver.poll(self.driver(), self.raw(), cx) {
                Poll::Ready(result) => result,
                Poll::Pending => Err(ready!(self.waiting(Side::Read, cx))),
            }
        };
        self.moved(Side::Read);
        Poll::Ready(result)
    }
}

/// Future of [`TcpStream::recv`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Recv<'a> {
    stream: &'a TcpStream,
}

impl Future for Recv<'_> {
    type Output = io::Result<RecvBuf>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.stream.poll_recv(cx)
    }
}

impl Drop for Recv<'_> {
    fn drop(&mut self) {
        self.stream.done(Side::Read);
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

impl AsRawFd for TcpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.raw()
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TcpStream").field(&self.connection).finish()
    }
}
