//! What direct access (`O_DIRECT`) asks of memory, offsets and lengths.

use std::io;

use super::File;
use super::error::invalid;
use crate::driver::aligned::AlignedBuf;
use crate::ops::paths::Statx;

/// What a file that was opened for direct access asks for, in bytes; both are powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alignment {
    /// Of the address of a buffer.
    pub memory: usize,
    /// Of offset and length.
    pub offset: usize,
}

impl Alignment {
    /// What every disk takes, for kernels that don't tell.
    const SAFE: Alignment = Alignment { memory: 4096, offset: 4096 };

    /// Whether a transfer is as the file asks.
    pub(super) fn check(self, address: usize, length: usize, offset: u64) -> io::Result<()> {
        let refuse = |what: &str, is: &dyn std::fmt::Display, asked: usize| {
            let text = format!(
                "direct access asks for {what} that is a multiple of {asked}, and {is} is not \
                 (File::alignment tells, AlignedBuf is made for it)"
            );
            Err(invalid(text))
        };
        if !offset.is_multiple_of(self.offset as u64) {
            return refuse("an offset", &offset, self.offset);
        }
        if !length.is_multiple_of(self.offset) {
            return refuse("a length", &length, self.offset);
        }
        if !address.is_multiple_of(self.memory) {
            return refuse("memory at an address", &format_args!("{address:#x}"), self.memory);
        }
        Ok(())
    }
}

impl File {
    /// What this file asks of memory, offsets and lengths; `None` unless it was opened with
    /// [`OpenOptions::direct`](super::OpenOptions::direct).
    ///
    /// It is what the kernel says (`STATX_DIOALIGN`, 6.1), or 4096 bytes where that says nothing.
    #[must_use]
    pub fn alignment(&self) -> Option<Alignment> {
        self.alignment
    }

    /// An empty buffer for direct access to this file, with room for at least so many bytes.
    ///
    /// # Panics
    ///
    /// As [`AlignedBuf::with_alignment`].
    #[must_use]
    pub fn aligned_buffer(&self, bytes: usize) -> AlignedBuf {
        let Alignment { memory, offset } = self.alignment.unwrap_or(Alignment::SAFE);
        AlignedBuf::with_alignment(bytes.next_multiple_of(offset), memory)
    }

    /// Asks the kernel.
    pub(super) async fn find_alignment(&mut self) -> io::Result<()> {
        let status = self.driver().submit(Statx::file(self.fd.clone())).await?;
        self.alignment = Some(match status.direct {
            // Of a file that cannot do it; opening it so has failed, but for odd file systems.
            None | Some((0, _) | (_, 0)) => Alignment::SAFE,
            Some((memory, offset)) => {
                Alignment { memory: memory as usize, offset: offset as usize }
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mistake_is_named() {
        let asked = Alignment { memory: 4, offset: 512 };
        assert!(asked.check(0x1004, 1024, 512).is_ok());
        for (address, length, offset, word) in [
            (0x1004, 512, 7, "an offset"),
            (0x1004, 100, 0, "a length"),
            (0x1002, 512, 0, "memory"),
        ] {
            let error = asked.check(address, length, offset).expect_err(word);
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
