//! The end of a pipe that is written.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use super::reader::{again, give_out, opening};
use crate::blocking::unblock;
use crate::driver::buf::IoBuf;
use crate::driver::fd::Fd;
use crate::driver::ring::opcode;
use crate::driver::{Driver, Op};
use crate::ops::pipe::{Write, WriteVectored};
use crate::ops::ring::PollAdd;
use crate::sys;
use crate::time::sleep;

/// The writing end of a pipe, or another descriptor that is written.
///
/// Once nobody has the other side open, writes fail with `BrokenPipe`. They raise no SIGPIPE: the
/// kernel is asked not to (`RWF_NOSIGNAL`, 6.18); on older ones it is up to the program, and Rust's
/// ignore the signal from the start.
///
/// # Cancel safety
///
/// Writing is weak: of a dropped write, some bytes may have been written, and nobody can say how
/// many.
///
/// Dropping the writer closes the descriptor, behind what was written.
///
/// # Terminals
///
/// One in blocking mode that was stopped (Ctrl+S) holds up the loop when it is written to.
///
/// # Examples
///
/// ```
/// use uring_loop::pipe::pipe;
///
/// uring_loop::run(async {
///     let (mut reader, mut writer) = pipe()?;
///     writer.write_all("hello").await.0?;
///     assert_eq!(&*reader.recv().await?, b"hello");
///     drop(reader);
///     writer.closed().await?; // nobody reads any more
///     let error = writer.write_all("hello?").await.0.unwrap_err();
///     assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "WriteTransport")]
pub struct PipeWriter {
    fd: Fd,
}

/// How long to wait before a named pipe without a reader is looked at again, at first and at most.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

impl PipeWriter {
    /// Of a descriptor as it is.
    pub(crate) fn new(fd: Fd) -> Self {
        PipeWriter { fd }
    }

    /// Of an open file that is ours alone.
    pub(crate) fn fresh(fd: Fd) -> Self {
        let (driver, raw) = (fd.driver(), fd.as_raw_fd());
        if !driver.supports(opcode::READ_MULTISHOT) && !driver.simulates(raw) {
            // Before 6.4 a worker of the kernel would wait in a write to a full pipe; like this the
            // write comes back, and a poll waits. If it cannot be set, that is how it is.
            let _ = sys::pipe::set_nonblocking(&fd, true);
        }
        Self::new(fd)
    }

    pub(super) fn shared_driver(&self) -> Rc<Driver> {
        self.fd.driver().clone()
    }

    /// The descriptor is somebody else's to close.
    pub(super) fn forget(self) {
        self.fd.forget();
    }

    /// Takes over a descriptor, on this thread's loop.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[doc(alias = "connect_write_pipe")]
    #[track_caller]
    pub fn from_fd(fd: impl Into<OwnedFd>) -> Self {
        Self::new(Fd::from_owned(Driver::current(), fd.into()))
    }

    /// Opens a named pipe (fifo(7)) for writing, and waits until somebody has it open for reading.
    ///
    /// The kernel does not tell when that is, so this looks again and again, up to 20 times a
    /// second.
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
    pub async fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let (mut pause, longest) = LOOK_AGAIN;
        loop {
            let path = path.as_ref().to_owned();
            let opened =
                unblock(move || sys::pipe::open_writer(&path).map_err(|e| opening(&path, &e)));
            if let Some(fd) = opened.await?? {
                return Ok(Self::new(Fd::from_owned(Driver::current(), fd)));
            }
            sleep(pause).await;
            pause = longest.min(pause * 2);
        }
    }

    /// Writes a whole buffer (`IORING_OP_WRITE`, 5.6) and gives it back.
    ///
    /// Anything that owns bytes will do: a `Vec`, a `&'static str`, the
    /// [`RecvBuf`](crate::buf::RecvBuf) of a `recv`.
    ///
    /// # Errors
    ///
    /// Those of write(2); `BrokenPipe` if nobody reads any more. Some bytes may have been written.
    ///
    /// # Cancel safety
    ///
    /// Weak: dropped in flight it is cancelled, and some bytes may have been written.
    pub async fn write_all<B: IoBuf>(&mut self, mut buffer: B) -> (io::Result<()>, B) {
        let mut offset = 0;
        while offset < buffer.bytes().len() {
            let flags = self.fd.driver().write_flags();
            let op = Write { fd: self.as_raw_fd(), offset, buffer, flags };
            let (result, back) = self.submit(op, flags).await;
            buffer = back;
            match result {
                Ok(count) => offset += count,
                Err(error) => return (Err(error), buffer),
            }
        }
        (Ok(()), buffer)
    }

    /// Writes several buffers one behind the other (`IORING_OP_WRITEV`, 5.1), as much of them as
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
        if buffers.iter().all(|buffer| buffer.bytes().is_empty()) {
            return (Ok(0), buffers);
        }
        self.write_some(buffers, 0).await
    }

    /// Writes several buffers completely, one behind the other.
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
            let (result, back) = self.write_some(buffers, offset).await;
            buffers = back;
            match result {
                Ok(count) => offset += count,
                Err(error) => return (Err(error), buffers),
            }
        }
        (Ok(()), buffers)
    }

    async fn write_some<B: IoBuf>(
        &mut self,
        mut buffers: Vec<B>,
        offset: usize,
    ) -> (io::Result<usize>, Vec<B>) {
        loop {
            let flags = self.fd.driver().write_flags();
            let op = WriteVectored::new(self.as_raw_fd(), buffers, offset, flags);
            match self.submit(op, flags).await {
                // There was no room yet.
                (Ok(0), back) => buffers = back,
                done => return done,
            }
        }
    }

    /// Runs a write of at least one byte. Where it has to be tried again it answers 0: the pipe is
    /// full, and has room now, or the kernel does not know the flags.
    async fn submit<T, B>(&self, op: T, flags: u32) -> (io::Result<usize>, B)
    where
        T: Op<Output = (io::Result<usize>, B)>,
    {
        let driver = self.fd.driver();
        let (result, buffer) = driver.submit(op).await;
        let result = match result {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Err(error) if again(&error) => {
                driver.submit(PollAdd::writable(self.as_raw_fd())).await.map(|()| 0)
            }
            Err(error) if driver.refused_flags(flags, &error) => Ok(0),
            result => result,
        };
        (result, buffer)
    }

    /// Waits until nobody has the other side open any more: what is written from then on fails.
    ///
    /// # Errors
    ///
    /// None that is to be expected.
    ///
    /// # Cancel safety
    ///
    /// Strict: it only looks.
    pub async fn closed(&self) -> io::Result<()> {
        self.fd.driver().submit(PollAdd::deserted(self.as_raw_fd())).await
    }

    /// Gives the descriptor out, in blocking mode: for a child, say.
    ///
    /// # Panics
    ///
    /// If the pipe is one of a simulated kernel.
    pub fn into_fd(self) -> OwnedFd {
        give_out(self.fd)
    }
}

impl AsFd for PipeWriter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for PipeWriter {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl fmt::Debug for PipeWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PipeWriter").field(&self.fd).finish()
    }
}
