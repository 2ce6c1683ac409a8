//! The two directions of any stream, apart.

use std::fmt;
use std::io;
use std::rc::Rc;

use super::{ByteStream, ByteStreamExt};
use crate::driver::recvbuf::RecvBuf;

/// Splits a stream in two halves that two tasks can own. It closes when both are gone.
///
/// # Examples
///
/// ```
/// use uring_loop::io::{duplex, split};
///
/// uring_loop::run(async {
///     let (here, there) = duplex(64);
///     let (mut receiving, mut sending) = split(here);
///     let sender = uring_loop::spawn(async move {
///         for _ in 0..100 {
///             sending.send(vec![7; 100]).await?; // waits for room, while the other half receives
///         }
///         sending.write_eof().await
///     });
///     let (mut back, mut forth) = split(there);
///     let echo = uring_loop::spawn(async move {
///         loop {
///             let bytes = back.recv().await?;
///             if bytes.is_empty() {
///                 return forth.write_eof().await;
///             }
///             forth.send(bytes.to_vec()).await?;
///         }
///     });
///     let mut count = 0;
///     loop {
///         let bytes = receiving.recv().await?;
///         if bytes.is_empty() {
///             break;
///         }
///         count += bytes.len();
///     }
///     sender.await??;
///     echo.await??;
///     assert_eq!(count, 10_000);
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub fn split<S: ByteStream>(stream: S) -> (ReadHalf<S>, WriteHalf<S>) {
    let stream = Rc::new(stream);
    (ReadHalf(stream.clone()), WriteHalf(stream))
}

/// The receiving direction of a stream.
pub struct ReadHalf<S: ?Sized>(Rc<S>);

/// The sending direction of a stream.
pub struct WriteHalf<S: ?Sized>(Rc<S>);

impl<S: ByteStream + ?Sized> ReadHalf<S> {
    /// As [`ByteStreamExt::recv`].
    ///
    /// # Errors
    ///
    /// As [`ByteStream::poll_recv`].
    ///
    /// # Cancel safety
    ///
    /// Strict: dropping it loses no byte.
    pub async fn recv(&mut self) -> io::Result<RecvBuf> {
        self.0.recv().await
    }

    /// The stream.
    pub fn stream(&self) -> &S {
        &self.0
    }
}

impl<S: ByteStream + ?Sized> WriteHalf<S> {
    /// As [`ByteStreamExt::send`].
    ///
    /// # Errors
    ///
    /// As [`ByteStream::poll_ready`].
    ///
    /// # Cancel safety
    ///
    /// Weak, as [`ByteStreamExt::send`].
    pub async fn send(&mut self, buffer: Vec<u8>) -> io::Result<()> {
        self.0.send(buffer).await
    }

    /// As [`ByteStreamExt::flush`].
    ///
    /// # Errors
    ///
    /// As [`ByteStream::poll_flush`].
    ///
    /// # Cancel safety
    ///
    /// Strict: what was handed over is sent all the same.
    pub async fn flush(&mut self) -> io::Result<()> {
        self.0.flush().await
    }

    /// As [`ByteStreamExt::write_eof`].
    ///
    /// # Errors
    ///
    /// As [`ByteStream::poll_shutdown`].
    ///
    /// # Cancel safety
    ///
    /// Weak: it may have happened. Asking again is fine.
    pub async fn write_eof(&mut self) -> io::Result<()> {
        self.0.write_eof().await
    }

    /// The stream.
    pub fn stream(&self) -> &S {
        &self.0
    }
}

impl<S: ?Sized> fmt::Debug for ReadHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadHalf")
    }
}

impl<S: ?Sized> fmt::Debug for WriteHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WriteHalf")
    }
}
