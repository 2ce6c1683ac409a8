//! The two directions of a stream, apart.

use std::io;
use std::net::Shutdown;
use std::ops::Deref;

use super::connected::Stream;
use super::{Recv, WriteAll};
use crate::driver::buf::{IoBuf, IoBufMut};

/// The receiving direction of a [`TcpStream`](super::TcpStream) or
/// [`UnixStream`](super::UnixStream).
#[derive(Debug)]
pub struct RecvHalf<S>(pub(super) S);

/// The sending direction of a [`TcpStream`](super::TcpStream) or
/// [`UnixStream`](super::UnixStream).
#[derive(Debug)]
pub struct SendHalf<S>(pub(super) S);

impl<S: Deref<Target: Stream>> RecvHalf<S> {
    /// As [`TcpStream::recv`](super::TcpStream::recv).
    ///
    /// # Cancel safety
    ///
    /// Strict: dropping it loses no byte.
    pub fn recv(&mut self) -> Recv<'_> {
        self.0.connected().recv()
    }

    /// As [`TcpStream::read`](super::TcpStream::read).
    ///
    /// # Cancel safety
    ///
    /// Weak, as [`TcpStream::read`](super::TcpStream::read).
    pub async fn read<B: IoBufMut>(&mut self, buffer: B) -> (io::Result<usize>, B) {
        self.0.connected().read(buffer).await
    }
}

impl<S: Deref<Target: Stream>> SendHalf<S> {
    /// As [`TcpStream::write_all`](super::TcpStream::write_all).
    ///
    /// # Cancel safety
    ///
    /// Weak, as [`TcpStream::write_all`](super::TcpStream::write_all).
    pub fn write_all<B: IoBuf>(&mut self, buffer: B) -> WriteAll<'_, B> {
        self.0.connected().write_all(buffer)
    }

    /// As [`TcpStream::shutdown`](super::TcpStream::shutdown).
    ///
    /// # Cancel safety
    ///
    /// Weak: it may have happened.
    pub async fn shutdown(&mut self, how: Shutdown) -> io::Result<()> {
        self.0.connected().shutdown(how).await
    }
}
