//! What every connected stream socket has in common, of whatever family: receiving, sending,
//! ending, timeouts. [`TcpStream`](super::TcpStream) and [`UnixStream`](super::UnixStream) are thin
//! types around it; what users see of it is in `methods.rs`.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::WriteAll;
use super::extras::{Extras, ZERO_COPY_FROM};
use super::limits::{Limits, Side};
use crate::combine::join;
use crate::context;
use crate::driver::buf::{IoBuf, IoBufMut, fill};
use crate::driver::connection::Connection;
use crate::driver::fd::Fd;
use crate::driver::outgoing::Outgoing;
use crate::driver::recvbuf::RecvBuf;
use crate::driver::{Driver, Op};
use crate::fs::Part;
use crate::ops;
use crate::ops::ring::PollAdd;

/// A connected socket. Dropping it cancels what is in flight and closes it; bytes that were handed
/// over (`byte_stream.rs`) are sent before it closes.
pub struct Connected {
    connection: Connection<Extras>,
}

/// A stream of either family.
#[doc(hidden)]
pub trait Stream {
    fn connected(&self) -> &Connected;
}

impl Connected {
    pub(super) fn new(fd: Fd) -> Self {
        Connected { connection: Connection::new(fd) }
    }

    pub(super) fn recv(&self) -> Recv<'_> {
        Recv { stream: self }
    }

    /// Waits until there is something to receive, or the end, and takes nothing.
    pub(super) async fn readable(&self) -> io::Result<()> {
        if !self.has_received() {
            let (ready, late) = self.run(Side::Read, PollAdd::readable(self.raw())).await;
            return late.map_or(ready, Err);
        }
        // What the loop receives ahead, no poll would tell of.
        let bytes = self.recv().await?;
        if !bytes.is_empty() {
            self.connection.extra_or_default().unread(bytes);
        }
        Ok(())
    }

    pub(super) async fn read<B: IoBufMut>(&self, mut buffer: B) -> (io::Result<usize>, B) {
        let (_, room) = buffer.spare();
        if room == 0 {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "a read into no room at all");
            return (Err(error), buffer);
        }
        if self.has_received() {
            return (self.recv_into(&mut buffer).await, buffer);
        }
        loop {
            let op = ops::net::Recv { fd: self.raw(), buffer };
            let (result, back) = self.timed(Side::Read, op).await;
            if !self.comes_again(&result).await {
                return (result, back);
            }
            buffer = back;
        }
    }

    /// Whether a receive that came back so is to be repeated: on EAGAIN, which a socket in
    /// non-blocking mode answers, it waits for bytes. What else goes wrong the next attempt tells.
    pub(super) async fn comes_again<R>(&self, result: &io::Result<R>) -> bool {
        let again = result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        again && self.run(Side::Read, PollAdd::readable(self.raw())).await.1.is_none()
    }

    /// Whether bytes may wait here that the loop has received, so that a read must not go past
    /// them.
    pub(super) fn has_received(&self) -> bool {
        self.connection.receiver.armed() || self.extras().is_some_and(Extras::has_rest)
    }

    /// Whether bytes have come that nobody has received, here or in the kernel.
    pub(super) fn has_unread(&self) -> bool {
        let receiver = &self.connection.receiver;
        self.extras().is_some_and(Extras::has_rest)
            || receiver.holds(self.driver())
            || (!receiver.has_ended() && self.driver().has_unread(self.as_fd()))
    }

    async fn recv_into<B: IoBufMut>(&self, buffer: &mut B) -> io::Result<usize> {
        let mut bytes = self.recv().await?;
        let count = fill(buffer, &bytes);
        bytes.advance(count);
        if !bytes.is_empty() {
            self.connection.extra_or_default().unread(bytes);
        }
        Ok(count)
    }

    pub(super) fn write_all<B: IoBuf>(&self, buffer: B) -> WriteAll<'_, B> {
        WriteAll::new(self, buffer)
    }

    pub(super) async fn write_vectored<B: IoBuf>(
        &self,
        buffers: Vec<B>,
    ) -> (io::Result<usize>, Vec<B>) {
        if let Err(error) = self.sent_ahead().await {
            return (Err(error), buffers);
        }
        self.send(ops::net::SendVectored::new(self.raw(), buffers, 0)).await
    }

    pub(super) async fn write_all_vectored<B: IoBuf>(
        &self,
        mut buffers: Vec<B>,
        mut offset: usize,
    ) -> (io::Result<()>, Vec<B>) {
        let length: usize = buffers.iter().map(|buffer| buffer.bytes().len()).sum();
        if let Err(error) = self.sent_ahead().await {
            return (Err(error), buffers);
        }
        while offset < length {
            let op = ops::net::SendVectored::new(self.raw(), buffers, offset);
            let (result, back) = self.send(op).await;
            buffers = back;
            match result {
                Ok(sent) => offset += sent,
                Err(error) => return (Err(error), buffers),
            }
        }
        (Ok(()), buffers)
    }

    /// Runs a send under the timeouts. On EAGAIN, which a socket in non-blocking mode or a kernel
    /// short of memory answers, it waits for room and reports nothing sent.
    pub(super) async fn send<K, T>(&self, op: T) -> (io::Result<usize>, K)
    where
        T: Op<Output = (io::Result<usize>, K)>,
    {
        match self.timed(Side::Write, op).await {
            (Err(error), kept) if error.kind() == io::ErrorKind::WouldBlock => {
                let (room, late) = self.run(Side::Write, PollAdd::writable(self.raw())).await;
                (late.map_or(room, Err).map(|()| 0), kept)
            }
            other => other,
        }
    }

    /// Runs an operation that gives something back under the timeouts of its side.
    pub(super) async fn timed<R, K, T>(&self, side: Side, op: T) -> (io::Result<R>, K)
    where
        T: Op<Output = (io::Result<R>, K)>,
    {
        match self.run(side, op).await {
            // What moved before the cancel struck is not lost.
            ((Err(_), kept), Some(late)) => (Err(late), kept),
            (done, _) => done,
        }
    }

    /// Runs an operation under the timeouts of its side. One whose time is over is cancelled and
    /// waited for, since it has the caller's buffer; the error says that it was late.
    async fn run<T: Op>(&self, side: Side, op: T) -> (T::Output, Option<io::Error>) {
        let mut submitted = self.connection.shared_driver().submit(op);
        let _waiting = Waiting(self, side);
        let polled = poll_fn(|cx| match Pin::new(&mut submitted).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => self.waiting(side, cx).map(Err),
        });
        match polled.await {
            Ok(output) => {
                self.moved(side);
                (output, None)
            }
            Err(late) => {
                submitted.cancel();
                (submitted.await, Some(late))
            }
        }
    }

    /// Waits until what was handed over is sent: nothing may overtake it.
    pub(super) async fn sent_ahead(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_outgoing(cx)).await
    }

    pub(super) fn poll_outgoing(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.extras() {
            Some(extras) if extras.outgoing.busy() => extras.outgoing.poll_sent(self.driver(), cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// What was handed over.
    pub(super) fn outgoing(&self) -> &Outgoing {
        &self.connection.extra_or_default().outgoing
    }

    pub(super) async fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Read {
            self.sent_ahead().await?;
            if let Some(extras) = self.extras() {
                extras.outgoing.mark_shut();
            }
        }
        let op = ops::net::Shutdown::new(self.raw(), how, self.outgoing().lease());
        self.connection.shared_driver().submit(op).await
    }

    /// Whether to send so many bytes without a copy. Not under a write timeout: the buffer could
    /// not be had back in time from a peer that is silent.
    pub(super) fn sends_without_copy(&self, length: usize) -> bool {
        match self.extras() {
            None => length >= ZERO_COPY_FROM,
            Some(extras) => {
                let limited = extras.limits().is_some_and(|limits| limits.limits_writes());
                length >= extras.zero_copy_from.get() && !limited
            }
        }
    }

    pub(super) fn set_zero_copy_from(&self, bytes: usize) {
        self.connection.extra_or_default().zero_copy_from.set(bytes);
    }

    /// Sends a part of a file, and answers how many bytes that was.
    ///
    /// The next piece is read while one is sent. Neither needs a thread: the kernel copies what it
    /// has in its cache while it takes the entry in, and waits for room in the socket by itself. A
    /// splice would save a copy, but `IORING_OP_SPLICE` always goes to a worker thread, which then
    /// waits for a slow peer: as many of those as there are workers would hold up everybody else's
    /// files. (`splice_to_socket` asks the socket, not the call, whether it may wait.)
    pub(super) async fn send_file(
        &self,
        file: BorrowedFd<'_>,
        offset: u64,
        length: u64,
    ) -> io::Result<u64> {
        let mut part = Part::of(file, offset, length)?;
        let (mut done, mut spare) = (0, Vec::new());
        let mut piece = part.next(Vec::new()).await?;
        while !piece.is_empty() {
            let count = piece.len() as u64;
            let (sent, next) = join((self.write_all(piece), part.next(spare))).await;
            sent.0?;
            (piece, spare) = (next?, sent.1);
            done += count;
        }
        Ok(done)
    }

    pub(super) fn set_timeout(&self, side: Side, limit: Option<Duration>) {
        self.connection.extra_or_default().limits_or_off().set(side, limit);
    }

    pub(super) fn set_idle_timeout(&self, limit: Option<Duration>) {
        self.connection.extra_or_default().limits_or_off().set_idle(limit);
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

    pub(super) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        if !context::take_budget() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let result = if let Some(rest) = self.extras().and_then(Extras::take_rest) {
            Ok(rest)
        } else {
            match self.connection.receiver.poll(self.driver(), self.raw(), (), cx) {
                Poll::Ready(result) => result,
                Poll::Pending => Err(ready!(self.waiting(Side::Read, cx))),
            }
        };
        self.moved(Side::Read);
        Poll::Ready(result)
    }
}

/// While an operation waits. Dropped with it, so that the next wait on this side begins anew.
struct Waiting<'a>(&'a Connected, Side);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !mutant!("given-up-reads-use-up-the-limit") {
            self.0.done(self.1);
        }
    }
}

/// Future of [`TcpStream::recv`](super::TcpStream::recv) and
/// [`UnixStream::recv`](super::UnixStream::recv).
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Recv<'a> {
    stream: &'a Connected,
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

impl Drop for Connected {
    fn drop(&mut self) {
        let driver = || self.connection.shared_driver();
        let leave = |extras: &Extras| extras.outgoing.leave(&driver(), &self.connection);
        if self.extras().is_some_and(leave) {
            self.connection.disown();
        }
    }
}

impl AsFd for Connected {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

impl fmt::Debug for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.connection.fmt(f)
    }
}
