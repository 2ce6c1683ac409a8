//! Reading and writing from where the last call ended.

use std::io::{self, SeekFrom};

use super::File;
use super::error::invalid;
use crate::blocking::unblock;
use crate::driver::buf::{IoBuf, IoBufMut};

/// How much [`File::read_to_end`] asks for when nothing is known of a file's length.
const CHUNK: usize = 32 << 10;

impl File {
    /// Reads from the cursor on, as [`read_at`](Self::read_at), and moves it behind what was read.
    ///
    /// # Errors
    ///
    /// As [`read_at`](Self::read_at).
    ///
    /// # Cancel safety
    ///
    /// Strict for a file: the cursor has not moved. Weak for a pipe or terminal: bytes that arrive
    /// at that moment are lost.
    pub async fn read<B: IoBufMut>(&mut self, buffer: B) -> (io::Result<usize>, B) {
        let (result, buffer) = self.read_at(buffer, self.cursor).await;
        if let Ok(read) = result {
            self.cursor += read as u64;
        }
        (result, buffer)
    }

    /// Fills all the room of a buffer from the cursor on, and moves it behind that. If it fails,
    /// the cursor has not moved.
    ///
    /// # Errors
    ///
    /// As [`read_exact_at`](Self::read_exact_at).
    ///
    /// # Cancel safety
    ///
    /// Strict for a file, as [`read`](Self::read).
    pub async fn read_exact<B: IoBufMut>(&mut self, buffer: B) -> (io::Result<()>, B) {
        let (result, mut buffer) = self.read_exact_at(buffer, self.cursor).await;
        if result.is_ok() {
            self.cursor += buffer.spare().1 as u64;
        }
        (result, buffer)
    }

    /// Reads everything from the cursor to the end, and moves it there.
    ///
    /// # Errors
    ///
    /// As [`read_at`](Self::read_at).
    ///
    /// # Cancel safety
    ///
    /// Strict for a file, as [`read`](Self::read).
    pub async fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let bytes = self.rest_from(self.cursor).await?;
        self.cursor += bytes.len() as u64;
        Ok(bytes)
    }

    /// Everything from `offset` on.
    pub(super) async fn rest_from(&self, offset: u64) -> io::Result<Vec<u8>> {
        if self.alignment.is_some() {
            let text = "a direct file is read into aligned buffers: use read_at";
            return Err(self.failed("reading", invalid(text)));
        }
        // A file that grows meanwhile, or tells no length (those of /proc), is read to its end all
        // the same. The byte more than its length is for the read that finds the end.
        let length = self.metadata().await?.len().saturating_sub(offset);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let room = if length == 0 { CHUNK } else { length.saturating_add(1) };
        let mut bytes: Vec<u8> = Vec::new();
        bytes.try_reserve_exact(room).map_err(|error| self.failed("reading", error.into()))?;
        loop {
            if bytes.len() == bytes.capacity() {
                bytes.try_reserve(CHUNK).map_err(|error| self.failed("reading", error.into()))?;
            }
            let filled = bytes.len();
            let (read, back) = self.read_rest(bytes, filled, offset).await;
            bytes = back;
            if read? == 0 {
                return Ok(bytes);
            }
        }
    }

    /// Writes at the cursor, as [`write_at`](Self::write_at), and moves it behind what was written.
    /// A file that was opened to append is written at its end.
    ///
    /// # Errors
    ///
    /// As [`write_at`](Self::write_at).
    ///
    /// # Cancel safety
    ///
    /// Weak: dropped in flight, some or all of the bytes may have been written; the cursor has not
    /// moved, so writing them again puts them in the same place (unless the file is appended to).
    pub async fn write<B: IoBuf>(&mut self, buffer: B) -> (io::Result<usize>, B) {
        let (result, buffer) = self.write_at(buffer, self.cursor).await;
        if let Ok(written) = result {
            self.cursor += written as u64;
        }
        (result, buffer)
    }

    /// Writes a whole buffer at the cursor, and moves it behind what was written, also if it fails
    /// in the middle.
    ///
    /// # Errors
    ///
    /// As [`write_all_at`](Self::write_all_at).
    ///
    /// # Cancel safety
    ///
    /// Weak, as [`write`](Self::write).
    pub async fn write_all<B: IoBuf>(&mut self, buffer: B) -> (io::Result<()>, B) {
        let (written, result, buffer) = self.write_whole(buffer, self.cursor).await;
        let ahead = mutant!("cursor-ahead-of-what-was-written");
        self.cursor += if ahead { buffer.bytes().len() } else { written } as u64;
        (result, buffer)
    }

    /// Moves the cursor, and answers where it is. It may stand behind the end of the file. Only
    /// from the end has anybody to be asked: the kernel how long the file is (`IORING_OP_STATX`).
    ///
    /// # Errors
    ///
    /// Those of [`metadata`](Self::metadata); `InvalidInput` for a place before the start.
    ///
    /// # Cancel safety
    ///
    /// Strict: the cursor has not moved.
    pub async fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, by) = match to {
            SeekFrom::Start(offset) => (offset, 0),
            SeekFrom::Current(by) => (self.cursor, by),
            SeekFrom::End(by) => (self.length().await?, by),
        };
        let place = base.checked_add_signed(by).filter(|place| i64::try_from(*place).is_ok());
        let before = || self.failed("seeking in", invalid("before its start, or beyond all files"));
        self.cursor = place.ok_or_else(before)?;
        Ok(self.cursor)
    }

    /// Where the cursor is.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.cursor
    }

    /// Where the end is. The status of a block device says 0, so a helper thread seeks there.
    async fn length(&self) -> io::Result<u64> {
        let metadata = self.metadata().await?;
        if !metadata.file_type().is_block_device() {
            return Ok(metadata.len());
        }
        let mut device = self.duplicate()?;
        let end = unblock(move || io::Seek::seek(&mut device, SeekFrom::End(0))).await?;
        end.map_err(|error| self.failed("seeking in", error))
    }
}
