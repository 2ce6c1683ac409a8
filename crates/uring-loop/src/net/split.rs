//! The two directions of a stream, apart.

use std::io;
use std::net::Shutdown;
use std::ops::Deref;
use std::os::fd::AsFd;

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

    /// As [`TcpStream::readable`](super::TcpStream::readable).
    ///
    /// # Errors
    ///
    /// As [`TcpStream::readable`](super::TcpStream::readable).
    ///
    /// # Cancel safety
    ///
    /// Strict: nothing is taken.
    pub async fn readable(&mut self) -> io::Result<()> {
        self.0.connected().readable().await
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

    /// As [`TcpStream::write_vectored`](super::TcpStream::write_vectored).
    ///
    /// # Errors
    ///
    /// As [`TcpStream::write_all`](super::TcpStream::write_all).
    ///
    /// # Cancel safety
    ///
    /// Weak, as [`TcpStream::write_all`](super::TcpStream::write_all).
    pub async fn write_vectored<B: IoBuf>(
        &mut self,
        buffers: Vec<B>,
    ) -> (io::Result<usize>, Vec<B>) {
        self.0.connected().write_vectored(buffers).await
    }

    /// As [`TcpStream::write_all_vectored`](super::TcpStream::write_all_vectored).
    ///
    /// # Errors
    ///
    /// As [`TcpStream::write_all`](super::TcpStream::write_all).
    ///
    /// # Cancel safety
    ///
    /// Weak, as [`TcpStream::write_all`](super::TcpStream::write_all).
    pub async fn write_all_vectored<B: IoBuf>(
        &mut self,
        buffers: Vec<B>,
    ) -> (io::Result<()>, Vec<B>) {
        self.0.connected().write_all_vectored(buffers, 0).await
    }

    /// As [`TcpStream::send_file`](super::TcpStream::send_file).
    ///
    /// # Errors
    ///
    /// As [`TcpStream::send_file`](super::TcpStream::send_file).
    ///
    /// # Cancel safety
    ///
    /// Weak: some bytes may have been sent.
    #[doc(alias = "sendfile")]
    pub async fn send_file(
        &mut self,
        file: impl AsFd,
        offset: u64,
        length: u64,
    ) -> io::Result<u64> {
        self.0.connected().send_file(file.as_fd(), offset, length).await
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
