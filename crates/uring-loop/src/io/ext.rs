//! The polls of a stream as futures.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{ByteStream, linger};
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
        Receiving { stream: self, waits: false }
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

    /// Closes the stream so that the peer gets everything: flushes, ends our direction, then takes
    /// what the peer still sends, and drops it, until it has ended its own.
    ///
    /// *Dropping* a stream closes it at once, which is right where the peer is not going to send
    /// any more, or has said all it had to. But a socket that is closed with bytes unread, or that
    /// bytes come to afterwards, resets the connection: what is still to be sent is thrown away,
    /// and the peer may find an error instead of the answer it was sent before. So a server that
    /// refuses a request without having read it closes in this way.
    ///
    /// # Errors
    ///
    /// Those of the stream; `TimedOut` if the peer has not ended its direction when `patience` is
    /// over, or has sent 64 MiB since. The stream is closed in any case, and then it is closed at
    /// once.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Cancel safety
    ///
    /// Weak: the stream goes, as if it were dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use uring_loop::io::{ByteStreamExt, duplex};
    ///
    /// uring_loop::run(async {
    ///     let (server, client) = duplex(4096);
    ///     let client = uring_loop::spawn(async move {
    ///         client.send("a long request".into()).await?;
    ///         client.recv().await.map(|answer| answer.to_vec())
    ///     });
    ///     server.send("no".into()).await?;
    ///     server.close(Duration::from_secs(1)).await?; // without having read a byte
    ///     assert_eq!(client.await??, b"no");
    ///     Ok::<(), std::io::Error>(())
    /// })?
    /// # ; Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "linger")]
    #[doc(alias = "lingering_close")]
    fn close(self, patience: Duration) -> impl Future<Output = io::Result<()>>
    where
        Self: Sized,
    {
        async move { linger::close(&self, patience).await }
    }
}

impl<S: ByteStream + ?Sized> ByteStreamExt for S {}

/// Future of [`ByteStreamExt::recv`].
struct Receiving<'a, S: ByteStream + ?Sized> {
    stream: &'a S,
    waits: bool,
}

impl<S: ByteStream + ?Sized> Future for Receiving<'_, S> {
    type Output = io::Result<RecvBuf>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.stream.poll_recv(cx);
        self.waits = polled.is_pending();
        polled
    }
}

impl<S: ByteStream + ?Sized> Drop for Receiving<'_, S> {
    fn drop(&mut self) {
        if self.waits {
            self.stream.give_up_recv();
        }
    }
}
