//! The polls of a stream as futures.

use std::future::{Future, poll_fn};
use std::io;

use super::ByteStream;
use crate::driver::recvbuf::RecvBuf;

/// What a [`ByteStream`] does, as futures.
///
/// # Examples
///
/// ```
/// use uring_loop::io::{ByteStreamExt, duplex};
///
/// uring_loop::run(async {
///     let (one, other) = duplex(4096);
///     one.send("hello".into()).await?;
///     one.write_eof().await?;
///     assert_eq!(&*other.recv().await?, b"hello");
///     assert!(other.recv().await?.is_empty(), "the end");
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub trait ByteStreamExt: ByteStream {
    /// The next bytes; none at the end.
    ///
    /// # Errors
    ///
    /// As [`ByteStream::poll_recv`].
    ///
    /// # Cancel safety
    ///
    /// Strict: dropping it loses no byte.
    fn recv(&self) -> impl Future<Output = io::Result<RecvBuf>> {
        poll_fn(|cx| self.poll_recv(cx))
    }

    /// Waits until a buffer may be handed over, and does so. It does not wait for what becomes of
    /// it: see [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// As [`ByteStream::poll_ready`].
    ///
    /// # Cancel safety
    ///
    /// Weak: dropped while it waits, it takes its buffer along, and nothing of it was sent.
    fn send(&self, buffer: Vec<u8>) -> impl Future<Output = io::Result<()>> {
        async move {
            poll_fn(|cx| self.poll_ready(cx)).await?;
            self.start_send(buffer)
        }
    }

    /// Waits until the kernel has everything that was handed over.
    ///
    /// # Errors
    ///
    /// As [`ByteStream::poll_flush`].
    ///
    /// # Cancel safety
    ///
    /// Strict: what was handed over is sent all the same.
    fn flush(&self) -> impl Future<Output = io::Result<()>> {
        poll_fn(|cx| self.poll_flush(cx))
    }

    /// Flushes, then ends our direction.
    ///
    /// # Errors
    ///
    /// As [`ByteStream::poll_shutdown`].
    ///
    /// # Cancel safety
    ///
    /// Weak: it may have happened. Asking again is fine.
    #[doc(alias = "shutdown")]
    fn write_eof(&self) -> impl Future<Output = io::Result<()>> {
        poll_fn(|cx| self.poll_shutdown(cx))
    }
}

impl<S: ByteStream + ?Sized> ByteStreamExt for S {}
