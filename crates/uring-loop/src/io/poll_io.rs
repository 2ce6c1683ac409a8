//! A stream in the shape that other crates ask for: reads into and writes from borrowed slices.

use std::fmt;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use super::ByteStream;
use crate::driver::recvbuf::RecvBuf;

/// The most that one write takes over: it is copied.
const MOST: usize = 256 << 10;

/// A [`ByteStream`] with futures-io's and tokio's traits (`AsyncRead`, `AsyncBufRead`,
/// `AsyncWrite`), under the features `futures-io` and `tokio-io`. The same methods are here, for
/// adapters to yet other traits.
///
/// Nothing is lost when somebody stops waiting, as in a `select`: bytes that were received stay
/// here, and bytes that a write has taken are on their way. They reach the kernel without a flush;
/// a flush waits until it has them.
///
/// # The end and a flush
///
/// If the peer reads an answer and closes at once, the end of the stream and the completion of our
/// send come together. Who looks at the reading side first, as HTTP libraries do, would take the
/// end for that of a message he is still sending. So while somebody waits for a flush, the end is
/// held back once, until that had its turn.
///
/// # Read timeouts
///
/// These traits cannot say that somebody stops waiting. So a read timeout of a socket runs on from
/// the first read that had to wait, through pauses in which nobody reads, until bytes come: call
/// [`ByteStream::give_up_recv`] on [`get_ref`](Self::get_ref) where a pause is not to count.
///
/// # Examples
///
/// ```
/// use futures_util::io::{AsyncBufReadExt, AsyncWriteExt};
/// use uring_loop::io::{PollIo, duplex};
///
/// uring_loop::run(async {
///     let (one, other) = duplex(4096);
///     let (mut one, mut other) = (PollIo::new(one), PollIo::new(other));
///     // Methods of futures-util, over any stream of this crate.
///     one.write_all(b"hello\nworld\n").await?;
///     one.close().await?;
///     let mut line = String::new();
///     other.read_line(&mut line).await?;
///     assert_eq!(line, "hello\n");
///     // What it has received and nobody has read is not lost.
///     let (_stream, rest) = other.into_parts();
///     assert_eq!(&*rest.unwrap(), b"world\n");
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub struct PollIo<S> {
    stream: S,
    chunk: Option<RecvBuf>,
    end: End,
    /// The last flush or shutdown was told to wait.
    flushing: bool,
}

/// What is known of the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    NotYet,
    /// It has come, and whoever waits for a flush is looked after first.
    HeldBack,
    Told,
}

impl<S> PollIo<S> {
    /// Wraps a stream.
    pub fn new(stream: S) -> Self {
        PollIo { stream, chunk: None, end: End::NotYet, flushing: false }
    }

    /// The stream.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream, and what was received and not read.
    pub fn into_parts(self) -> (S, Option<RecvBuf>) {
        (self.stream, self.chunk)
    }
}

impl<S: ByteStream> PollIo<S> {
    /// Waits for bytes and shows them; none at the end. They are taken by
    /// [`consume`](Self::consume).
    ///
    /// # Errors
    ///
    /// As [`ByteStream::poll_recv`].
    pub fn poll_fill_buf(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        if self.chunk.as_ref().is_none_or(|chunk| chunk.is_empty()) {
            self.chunk = None;
            if self.end == End::NotYet {
                let received = ready!(self.stream.poll_recv(cx))?;
                if !received.is_empty() {
                    self.chunk = Some(received);
                } else if self.flushing && !mutant!("end-overtakes-a-flush") {
                    self.end = End::HeldBack;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                } else {
                    self.end = End::Told;
                }
            } else {
                self.end = End::Told;
            }
        }
        Poll::Ready(Ok(self.chunk.as_deref().unwrap_or_default()))
    }

    /// Takes bytes that [`poll_fill_buf`](Self::poll_fill_buf) has shown.
    ///
    /// # Panics
    ///
    /// If there are fewer.
    pub fn consume(&mut self, count: usize) {
        match &mut self.chunk {
            Some(chunk) => chunk.advance(count),
            None => assert!(count == 0, "consume takes what was shown, no more"),
        }
    }

    /// Copies bytes to the start of `buffer`, as soon as there are any, and answers how many; 0 is
    /// the end, or no room.
    ///
    /// # Errors
    ///
    /// As [`ByteStream::poll_recv`].
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let bytes = ready!(self.poll_fill_buf(cx))?;
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        Poll::Ready(Ok(count))
    }

    /// Takes bytes over and submits them; answers how many. It waits for the send before.
    ///
    /// # Errors
    ///
    /// As [`ByteStream::poll_ready`].
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    /// The same with several pieces, which go out in one send.
    ///
    /// # Errors
    ///
    /// As [`ByteStream::poll_ready`].
    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if pieces.iter().all(|piece| piece.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        ready!(self.stream.poll_ready(cx))?;
        let mut buffer = self.stream.spare_buffer();
        let whole: usize = pieces.iter().map(|piece| piece.len()).sum();
        buffer.reserve(whole.min(MOST));
        for piece in pieces {
            let room = MOST - buffer.len();
            buffer.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        let count = buffer.len();
        Poll::Ready(self.stream.start_send(buffer).map(|()| count))
    }

    /// Waits until the kernel has everything that was taken over.
    ///
    /// # Errors
    ///
    /// As [`ByteStream::poll_flush`].
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.stream.poll_flush(cx);
        self.flushing = flushed.is_pending();
        flushed
    }

    /// Flushes, then ends our direction.
    ///
    /// # Errors
    ///
    /// As [`ByteStream::poll_shutdown`].
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = self.stream.poll_shutdown(cx);
        self.flushing = shut.is_pending();
        shut
    }
}

impl<S> fmt::Debug for PollIo<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollIo")
            .field("unread", &self.chunk.as_ref().map_or(0, |chunk| chunk.len()))
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

// Nothing is pinned in it.
impl<S> Unpin for PollIo<S> {}

/// What the two crates' traits have under the same names, for an `impl` of theirs: only the sorts
/// of trait differ.
#[cfg(any(feature = "futures-io", feature = "tokio-io"))]
macro_rules! buf_read_methods {
    () => {
        fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
            PollIo::poll_fill_buf(self.get_mut(), cx)
        }

        fn consume(self: Pin<&mut Self>, count: usize) {
            PollIo::consume(self.get_mut(), count);
        }
    };
}

#[cfg(any(feature = "futures-io", feature = "tokio-io"))]
macro_rules! write_methods {
    () => {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            PollIo::poll_write(self.get_mut(), cx, bytes)
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            pieces: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            PollIo::poll_write_vectored(self.get_mut(), cx, pieces)
        }

        fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            PollIo::poll_flush(self.get_mut(), cx)
        }
    };
}

#[cfg(feature = "futures-io")]
mod futures {
    use std::io::{self, IoSlice};
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};

    use super::{ByteStream, PollIo};

    impl<S: ByteStream> AsyncRead for PollIo<S> {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            PollIo::poll_read(self.get_mut(), cx, buffer)
        }
    }

    impl<S: ByteStream> AsyncBufRead for PollIo<S> {
        buf_read_methods!();
    }

    impl<S: ByteStream> AsyncWrite for PollIo<S> {
        write_methods!();

        fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.get_mut().poll_shutdown(cx)
        }
    }
}

#[cfg(feature = "tokio-io")]
mod with_tokio {
    use std::io::{self, IoSlice};
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};

    use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

    use super::{ByteStream, PollIo};

    impl<S: ByteStream> AsyncRead for PollIo<S> {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let this = self.get_mut();
            let bytes = ready!(this.poll_fill_buf(cx))?;
            let count = bytes.len().min(buffer.remaining());
            buffer.put_slice(&bytes[..count]);
            this.consume(count);
            Poll::Ready(Ok(()))
        }
    }

    impl<S: ByteStream> AsyncBufRead for PollIo<S> {
        buf_read_methods!();
    }

    impl<S: ByteStream> AsyncWrite for PollIo<S> {
        write_methods!();

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            PollIo::poll_shutdown(self.get_mut(), cx)
        }
    }
}
