//! Two pipes as one stream of bytes.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::watch::Watch;
use super::{PipeReader, PipeWriter};
use crate::driver::Driver;
use crate::driver::outgoing::{Medium, Outgoing};
use crate::driver::recvbuf::RecvBuf;
use crate::io::ByteStream;

/// A pipe that is read and one that is written, as one [`ByteStream`]: a child's output and input,
/// say, or stdin and stdout.
///
/// Its directions end apart from each other: [`poll_shutdown`](ByteStream::poll_shutdown) closes
/// the pipe that is written, behind what was handed over.
///
/// # Examples
///
/// ```
/// use uring_loop::io::ByteStreamExt;
/// use uring_loop::pipe::PipeStream;
/// use uring_loop::process::{Command, Stdio};
///
/// uring_loop::run(async {
///     let mut cat = Command::new("cat");
///     let mut cat = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
///     let stream = PipeStream::new(cat.stdout.take().unwrap(), cat.stdin.take().unwrap());
///     stream.send(b"there and back".to_vec()).await?;
///     assert_eq!(&*stream.recv().await?, b"there and back");
///     stream.write_eof().await?;
///     assert!(stream.recv().await?.is_empty(), "it has ended");
///     assert!(cat.wait().await?.success());
///     # Ok::<(), std::io::Error>(())
/// })?
/// # ;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct PipeStream {
    incoming: Incoming,
    /// None once our direction has ended, and where there is none.
    writer: Cell<Option<PipeWriter>>,
    outgoing: Outgoing,
}

/// The direction that is received from.
enum Incoming {
    Pipe {
        reader: PipeReader,
        /// There is no other direction.
        alone: bool,
    },
    /// Nothing comes but the end.
    Watch(Watch),
}

impl PipeStream {
    /// Reads from one and writes to the other.
    pub fn new(reader: PipeReader, writer: PipeWriter) -> Self {
        let incoming = Incoming::Pipe { reader, alone: false };
        PipeStream { incoming, writer: Cell::new(Some(writer)), outgoing: Outgoing::default() }
    }

    /// Only reads. Nothing can be sent, as if our direction had ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use uring_loop::pipe::PipeStream;
    /// use uring_loop::process::{Command, Stdio};
    /// use uring_loop::stream::wrap;
    ///
    /// uring_loop::run(async {
    ///     let mut seq = Command::new("seq").arg("2").stdout(Stdio::piped()).spawn()?;
    ///     let (mut lines, _) = wrap(PipeStream::read_only(seq.stdout.take().unwrap()));
    ///     assert_eq!(lines.read_line().await?, b"1\n");
    ///     assert_eq!(lines.read_line().await?, b"2\n");
    ///     assert!(lines.read_line().await?.is_empty(), "the end");
    ///     assert!(seq.wait().await?.success());
    ///     # Ok::<(), std::io::Error>(())
    /// })?
    /// # ;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_only(reader: PipeReader) -> Self {
        let outgoing = Outgoing::default();
        outgoing.mark_shut();
        let incoming = Incoming::Pipe { reader, alone: true };
        PipeStream { incoming, writer: Cell::new(None), outgoing }
    }

    /// Only writes. What is received is the end, and that comes when nobody has the other end open
    /// any more, or when our direction has ended.
    pub fn write_only(writer: PipeWriter) -> Self {
        let incoming = Incoming::Watch(Watch::new(writer.shared_driver()));
        PipeStream { incoming, writer: Cell::new(Some(writer)), outgoing: Outgoing::default() }
    }

    fn driver(&self) -> &Driver {
        match &self.incoming {
            Incoming::Pipe { reader, .. } => reader.driver(),
            Incoming::Watch(watch) => &watch.driver,
        }
    }

    fn shared_driver(&self) -> Rc<Driver> {
        match &self.incoming {
            Incoming::Pipe { reader, .. } => reader.shared_driver(),
            Incoming::Watch(watch) => watch.driver.clone(),
        }
    }

    /// The descriptor to write to; negative once our direction has ended.
    fn raw(&self) -> i32 {
        let writer = self.writer.take();
        let raw = writer.as_ref().map_or(-1, |writer| writer.as_raw_fd());
        self.writer.set(writer);
        raw
    }
}

impl ByteStream for PipeStream {
    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        match &self.incoming {
            Incoming::Pipe { reader, .. } => reader.poll_recv(cx),
            Incoming::Watch(watch) => watch.poll(self.raw(), cx),
        }
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = ready!(self.outgoing.poll_sent(self.driver(), cx));
        Poll::Ready(sent.and_then(|()| self.outgoing.check_open()))
    }

    fn start_send(&self, buffer: Vec<u8>) -> io::Result<()> {
        self.outgoing.start(self.driver(), self.raw(), Medium::Pipe, buffer)
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.poll_sent(self.driver(), cx)
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.outgoing.poll_sent(self.driver(), cx))?;
        self.outgoing.mark_shut();
        if let Incoming::Watch(watch) = &self.incoming {
            watch.end();
        }
        drop(self.writer.take());
        Poll::Ready(Ok(()))
    }

    fn abort(&self) {
        self.outgoing.abort(self.driver());
    }

    fn can_half_close(&self) -> bool {
        !matches!(self.incoming, Incoming::Pipe { alone: true, .. })
    }

    fn spare_buffer(&self) -> Vec<u8> {
        self.outgoing.spare()
    }

    /// That of the pipe that is read, if there is one.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.incoming {
            Incoming::Pipe { reader, .. } => Some(reader.as_fd()),
            Incoming::Watch(_) => None,
        }
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl Drop for PipeStream {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take()
            && self.outgoing.leave(&self.shared_driver(), &writer)
        {
            writer.forget();
        }
    }
}

impl fmt::Debug for PipeStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.incoming {
            Incoming::Pipe { reader, .. } => {
                write!(f, "PipeStream({}, {})", reader.as_raw_fd(), self.raw())
            }
            Incoming::Watch(_) => write!(f, "PipeStream(-, {})", self.raw()),
        }
    }
}
