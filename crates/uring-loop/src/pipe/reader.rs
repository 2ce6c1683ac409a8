//! The end of a pipe that is read.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::blocking::unblock;
use crate::context;
use crate::driver::Driver;
use crate::driver::buf::{IoBufMut, fill};
use crate::driver::connection::Connection;
use crate::driver::fd::Fd;
use crate::driver::recv::Receiver;
use crate::driver::recvbuf::RecvBuf;
use crate::driver::ring::opcode;
use crate::driver::source::File;
use crate::ops::pipe::Read;
use crate::ops::ring::PollAdd;
use crate::sys;

/// The reading end of a pipe, or another descriptor that is read.
///
/// # Receiving
///
/// [`recv`](Self::recv) gives bytes in a buffer that belongs to the loop: one multishot read with
/// provided buffers (6.7; before, a poll and a read) stays armed, and a pipe that waits holds no
/// buffer at all. It reads ahead of its user by a few buffers: who shares the open file with
/// others, as an inherited stdin, may take what they were to have. [`read`](Self::read) fills a
/// buffer of the caller's.
///
/// # Cancel safety
///
/// Receiving is strict: bytes that arrived for a dropped `recv` are there for the next.
///
/// Dropping the reader cancels what is in flight and closes the descriptor.
///
/// # Terminals
///
/// One in blocking mode, as stdin mostly is, is polled before each read; in raw mode with a minimum
/// of bytes (VMIN) above one, a read of fewer holds up the loop.
#[doc(alias = "ReadTransport")]
pub struct PipeReader {
    connection: Connection<Rest, File>,
}

/// What a reader of a small buffer had no room for.
#[derive(Default)]
struct Rest(Cell<Option<RecvBuf>>);

impl PipeReader {
    /// Of a pipe without a name.
    pub(crate) fn new(fd: Fd) -> Self {
        PipeReader { connection: Connection::new(fd) }
    }

    /// Takes over a descriptor, on this thread's loop.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use uring_loop::pipe::PipeReader;
    ///
    /// uring_loop::run(async {
    ///     let (reader, writer) = std::io::pipe()?;
    ///     std::thread::spawn(move || std::io::Write::write_all(&mut &writer, b"from a thread"));
    ///     let mut text = Vec::new();
    ///     PipeReader::from_fd(reader).read_to_end(&mut text).await?;
    ///     assert_eq!(text, b"from a thread");
    ///     # Ok::<(), std::io::Error>(())
    /// })?
    /// # ;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "connect_read_pipe")]
    #[track_caller]
    pub fn from_fd(fd: impl Into<OwnedFd>) -> Self {
        let fd = fd.into();
        let tried = sys::pipe::can_be_tried(&fd) || mutant!("multishot-on-a-terminal");
        let receiver = if tried { Receiver::new() } else { Receiver::polling() };
        let fd = Fd::from_owned(Driver::current(), fd);
        PipeReader { connection: Connection::with(fd, receiver) }
    }

    /// Opens a named pipe (fifo(7)) for reading. It does not wait for a writer; the first
    /// [`recv`](Self::recv) does.
    ///
    /// # Errors
    ///
    /// Those of open(2), with the path.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Cancel safety
    ///
    /// Strict: what is opened for a dropped call is closed.
    #[doc(alias = "mkfifo")]
    pub async fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref().to_owned();
        let opened = unblock(move || sys::pipe::open_reader(&path).map_err(|e| opening(&path, &e)));
        let fd = opened.await??;
        let fd = Fd::from_owned(Driver::current(), fd);
        // Before the first writer comes, a read would tell of the end.
        if mutant!("named-pipe-taken-for-ended") {
            return Ok(PipeReader::new(fd));
        }
        Ok(PipeReader { connection: Connection::with(fd, Receiver::polling_first()) })
    }

    /// Waits for bytes and gives them in a buffer of the loop; an empty one is the end: nobody has
    /// the other side open any more (`IORING_OP_READ_MULTISHOT` with provided buffers, 6.7).
    ///
    /// # Errors
    ///
    /// Those of read(2): EIO, for one, of a terminal whose other side is gone.
    ///
    /// # Cancel safety
    ///
    /// Strict: dropping it loses no byte.
    pub fn recv(&mut self) -> Recv<'_> {
        Recv { reader: self }
    }

    /// Fills a buffer of the caller's with what is there, from its start, and answers how many
    /// bytes that is; 0 is the end. The buffer comes back in any case.
    ///
    /// On a pipe that never used [`recv`](Self::recv) the kernel writes straight into the buffer.
    ///
    /// # Errors
    ///
    /// Those of read(2); `InvalidInput` for a buffer without room.
    ///
    /// # Cancel safety
    ///
    /// Weak: dropped in flight it is cancelled, but bytes that arrive at that moment are lost.
    /// Use [`recv`](Self::recv) where that matters.
    pub async fn read<B: IoBufMut>(&mut self, mut buffer: B) -> (io::Result<usize>, B) {
        let (_, room) = buffer.spare();
        if room == 0 {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "a read into no room at all");
            return (Err(error), buffer);
        }
        if self.connection.receiver.armed() || self.has_rest() {
            return (self.recv_into(&mut buffer).await, buffer);
        }
        let driver = self.connection.shared_driver();
        // Without a poll, an old kernel would keep one of its workers waiting in the read.
        let mut wait = !driver.supports(opcode::READ_MULTISHOT) || self.connection.receiver.polls();
        loop {
            if wait && let Err(error) = driver.submit(PollAdd::readable(self.as_raw_fd())).await {
                return (Err(error), buffer);
            }
            let (result, back) = driver.submit(Read { fd: self.as_raw_fd(), buffer }).await;
            match result {
                Err(error) if again(&error) => (buffer, wait) = (back, true),
                result => return (result, back),
            }
        }
    }

    /// Reads on to the end, behind what is in the buffer, and answers how many bytes that were.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// Strict: what was read so far is in the buffer.
    pub async fn read_to_end(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        let before = into.len();
        loop {
            let bytes = self.recv().await?;
            if bytes.is_empty() {
                return Ok(into.len() - before);
            }
            into.extend_from_slice(&bytes);
        }
    }

    /// Gives the descriptor out, in blocking mode: for a child, say.
    ///
    /// # Errors
    ///
    /// Gives the reader back if [`recv`](Self::recv) was used, so that it may have bytes that the
    /// descriptor no longer has.
    ///
    /// # Panics
    ///
    /// If the pipe is one of a simulated kernel.
    pub fn into_fd(self) -> Result<OwnedFd, PipeReader> {
        if !self.connection.receiver.idle() || self.has_rest() {
            return Err(self);
        }
        Ok(give_out(self.connection.into_fd()))
    }

    async fn recv_into<B: IoBufMut>(&mut self, buffer: &mut B) -> io::Result<usize> {
        let mut bytes = self.recv().await?;
        let count = fill(buffer, &bytes);
        bytes.advance(count);
        if !bytes.is_empty() {
            self.connection.extra_or_default().0.set(Some(bytes));
        }
        Ok(count)
    }

    fn has_rest(&self) -> bool {
        let Some(Rest(rest)) = self.connection.extra() else { return false };
        let bytes = rest.take();
        let any = bytes.is_some();
        rest.set(bytes);
        any
    }

    pub(super) fn driver(&self) -> &Driver {
        self.connection.driver()
    }

    pub(super) fn shared_driver(&self) -> Rc<Driver> {
        self.connection.shared_driver()
    }

    pub(super) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        if !context::take_budget() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(rest) = self.connection.extra().and_then(|rest| rest.0.take()) {
            return Poll::Ready(Ok(rest));
        }
        let connection = &self.connection;
        Poll::Ready(ready!(connection.receiver.poll(connection.driver(), self.as_raw_fd(), (), cx)))
    }
}

/// EAGAIN, of a descriptor in non-blocking mode, and EINTR.
pub(super) fn again(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

pub(super) fn opening(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("opening `{}`: {error}", path.display()))
}

/// Makes a descriptor of ours one as others expect it.
pub(super) fn give_out(fd: Fd) -> OwnedFd {
    assert!(
        !fd.driver().simulates(fd.as_raw_fd()),
        "a pipe of a simulated kernel has no descriptor outside of it: make one of \
         `std::io::pipe()` for a child"
    );
    let fd = fd.into_owned();
    if let Err(error) = sys::pipe::set_nonblocking(&fd, false) {
        tracing::warn!("a descriptor that is handed on stays in non-blocking mode: {error}");
    }
    fd
}

/// Future of [`PipeReader::recv`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Recv<'a> {
    reader: &'a PipeReader,
}

impl Future for Recv<'_> {
    type Output = io::Result<RecvBuf>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.reader.poll_recv(cx)
    }
}

impl AsFd for PipeReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

impl AsRawFd for PipeReader {
    fn as_raw_fd(&self) -> RawFd {
        self.connection.as_raw_fd()
    }
}

impl fmt::Debug for PipeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PipeReader").field(&self.connection).finish()
    }
}
