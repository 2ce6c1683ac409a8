//! A part of a file, read piece by piece, for who sends it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::rc::Rc;

use crate::driver::Driver;
use crate::driver::fd::Fd;
use crate::ops::fs::{Read, Target};
use crate::ops::ring::PollAdd;

/// How much is read in one piece.
const PIECE: u64 = 256 << 10;

/// What is left of the part. It has a descriptor of its own: the caller's may be closed while an
/// entry waits to be taken in.
pub(crate) struct Part {
    file: Fd,
    driver: Rc<Driver>,
    offset: u64,
    left: u64,
}

impl Part {
    /// A part of a file, which need not reach so far.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub(crate) fn of(file: BorrowedFd<'_>, offset: u64, length: u64) -> io::Result<Self> {
        let driver = Driver::current();
        let file = Fd::new(driver.clone(), driver.duplicate(file)?);
        Ok(Part { file, driver, offset, left: length })
    }

    /// The next piece, in this memory, whose bytes are of no interest; none at the end.
    ///
    /// Dropped in flight, it has read nothing.
    pub(crate) async fn next(&mut self, mut memory: Vec<u8>) -> io::Result<Vec<u8>> {
        memory.clear();
        if self.left == 0 {
            return Ok(memory);
        }
        memory.reserve(self.left.min(PIECE) as usize);
        let file = Target::descriptor(self.file.as_raw_fd());
        loop {
            let read = Read { buffer: memory, offset: self.offset, file };
            let (count, mut piece) = self.driver.submit(read).await;
            match count {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => memory = piece,
                // Memory is short, or the file is a pipe in non-blocking mode.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.driver.submit(PollAdd::readable(self.file.as_raw_fd())).await?;
                    memory = piece;
                }
                Err(error) => return Err(error),
                Ok(_) => {
                    piece.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
                    self.left -= piece.len() as u64;
                    self.offset += piece.len() as u64;
                    return Ok(piece);
                }
            }
        }
    }
}
