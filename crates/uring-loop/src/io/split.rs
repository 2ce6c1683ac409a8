//! The two directions of any stream, apart.

use std::fmt;
use std::io;
use std::rc::Rc;

use super::{ByteStream, ByteStreamExt};
use crate::driver::recvbuf::RecvBuf;

/// Splits a stream in two halves that two tasks can own. It closes when both are gone.
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
