//! Reading and writing with several buffers in one operation.

use std::io;

use super::File;
use super::file::none_taken;
use crate::driver::buf::{IoBuf, IoBufMut};
use crate::ops::fs::{ReadVectored, WriteVectored};
use crate::ops::ring::PollAdd;

impl File {
    /// Reads from `offset` on into several buffers, one after the other (`IORING_OP_READV`, 5.1;
    /// at most 1024 of them), and answers how many bytes that were.
    ///
    /// # Errors
    ///
    /// As [`read_at`](Self::read_at).
    ///
    /// # Cancel safety
    ///
    /// Strict, as [`read_at`](Self::read_at).
    pub async fn read_vectored_at<B: IoBufMut>(
        &self,
        mut buffers: Vec<B>,
        offset: u64,
    ) -> (io::Result<usize>, Vec<B>) {
        let pieces = buffers.iter_mut().map(IoBufMut::spare);
        let pieces: Vec<_> = pieces.map(|(start, room)| (start.addr(), room)).collect();
        if let Err(error) = self.check_all(pieces, offset) {
            return (Err(self.failed("reading", error)), buffers);
        }
        let file = self.target();
        let read = |buffers| ReadVectored::new(file, buffers, offset);
        let (result, buffers) = self.moved(buffers, read, PollAdd::readable).await;
        (result.map_err(|error| self.failed("reading", error)), buffers)
    }

    /// Writes several buffers one behind the other at `offset` (`IORING_OP_WRITEV`, 5.1; at most
    /// 1024 of them), as much of them as the kernel takes, and answers how many bytes that were.
    ///
    /// # Errors
    ///
    /// As [`write_at`](Self::write_at).
    ///
    /// # Cancel safety
    ///
    /// Weak, as [`write_at`](Self::write_at).
    pub async fn write_vectored_at<B: IoBuf>(
        &self,
        buffers: Vec<B>,
        offset: u64,
    ) -> (io::Result<usize>, Vec<B>) {
        if let Err(error) = self.check_all(pieces(&buffers), offset) {
            return (Err(self.failed("writing", error)), buffers);
        }
        let (result, buffers) = self.write_pieces(buffers, 0, offset).await;
        (result.map_err(|error| self.failed("writing", error)), buffers)
    }

    /// Writes several buffers completely, one behind the other, at `offset`.
    ///
    /// # Errors
    ///
    /// As [`write_all_at`](Self::write_all_at).
    ///
    /// # Cancel safety
    ///
    /// Weak, as [`write_at`](Self::write_at).
    pub async fn write_all_vectored_at<B: IoBuf>(
        &self,
        mut buffers: Vec<B>,
        offset: u64,
    ) -> (io::Result<()>, Vec<B>) {
        if let Err(error) = self.check_all(pieces(&buffers), offset) {
            return (Err(self.failed("writing", error)), buffers);
        }
        let length: usize = buffers.iter().map(|buffer| buffer.bytes().len()).sum();
        let mut written = 0;
        while written < length {
            let (result, back) = self.write_pieces(buffers, written, offset).await;
            buffers = back;
            match result {
                Ok(0) => return (Err(self.failed("writing", none_taken())), buffers),
                Ok(count) => written += count,
                Err(error) => return (Err(self.failed("writing", error)), buffers),
            }
        }
        (Ok(()), buffers)
    }

    /// Writes what is behind the first `written` bytes of the buffers that start at `offset`.
    async fn write_pieces<B: IoBuf>(
        &self,
        buffers: Vec<B>,
        written: usize,
        offset: u64,
    ) -> (io::Result<usize>, Vec<B>) {
        let (file, offset) = (self.target(), offset + written as u64);
        let write = |buffers| WriteVectored::new(file, buffers, written, offset);
        self.moved(buffers, write, PollAdd::writable).await
    }

    fn check_all(
        &self,
        pieces: impl IntoIterator<Item = (usize, usize)>,
        offset: u64,
    ) -> io::Result<()> {
        pieces.into_iter().try_for_each(|(address, length)| self.check(address, length, offset))
    }
}

fn pieces<B: IoBuf>(buffers: &[B]) -> Vec<(usize, usize)> {
    let pieces = buffers.iter().map(IoBuf::bytes);
    pieces.map(|bytes| (bytes.as_ptr().addr(), bytes.len())).collect()
}
