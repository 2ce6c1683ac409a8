//! Registered files and buffers. There is nothing to be gained by them here; they have to mean what
//! they mean to the kernel, which holds the files in its table open.

use std::os::fd::RawFd;

use super::super::{Sqe, opcode};
use super::Errno;

#[derive(Debug, Default)]
pub(super) struct Tables {
    /// Descriptors of our own.
    files: Option<Vec<Option<RawFd>>>,
    /// Address and length.
    buffers: Option<Vec<(u64, u32)>>,
}

impl Tables {
    pub(super) fn make_files(&mut self, places: u16) -> Result<(), Errno> {
        if self.files.is_some() {
            return Err(libc::EBUSY);
        }
        self.files = Some(vec![None; places.into()]);
        Ok(())
    }

    pub(super) fn make_buffers(&mut self, places: u16) -> Result<(), Errno> {
        if self.buffers.is_some() {
            return Err(libc::EBUSY);
        }
        self.buffers = Some(vec![(0, 0); places.into()]);
        Ok(())
    }

    pub(super) fn set_buffer(
        &mut self,
        place: u16,
        address: u64,
        length: u32,
    ) -> Result<(), Errno> {
        let buffers = self.buffers.as_mut().ok_or(libc::ENXIO)?;
        let buffer = buffers.get_mut(usize::from(place)).ok_or(libc::EINVAL)?;
        *buffer = (address, length);
        Ok(())
    }

    /// Whether the memory of an entry lies in the registered buffer that it names.
    pub(super) fn holds(&self, sqe: &Sqe) -> bool {
        if !matches!(sqe.opcode, opcode::READ_FIXED | opcode::WRITE_FIXED) {
            return true;
        }
        let buffers = self.buffers.as_deref().unwrap_or_default();
        let Some((start, length)) = buffers.get(usize::from(sqe.buf_index)) else {
            return false;
        };
        let end = sqe.addr.checked_add(sqe.len.into());
        sqe.addr >= *start && end.is_some_and(|end| end <= start + u64::from(*length))
    }

    /// The descriptor in a place.
    pub(super) fn file(&self, place: i32) -> Result<RawFd, Errno> {
        let files = self.files.as_deref().unwrap_or_default();
        let place = usize::try_from(place).ok().and_then(|place| files.get(place));
        place.copied().flatten().ok_or(libc::EBADF)
    }

    /// Puts another in its place, and answers what was there.
    pub(super) fn set_file(
        &mut self,
        place: u64,
        fd: Option<RawFd>,
    ) -> Result<Option<RawFd>, Errno> {
        let files = self.files.as_mut().ok_or(libc::ENXIO)?;
        let place = usize::try_from(place).ok().and_then(|place| files.get_mut(place));
        Ok(std::mem::replace(place.ok_or(libc::EINVAL)?, fd))
    }

    /// The descriptors, which are the caller's to close.
    pub(super) fn take_files(&mut self) -> impl Iterator<Item = RawFd> {
        self.files.take().into_iter().flatten().flatten()
    }
}
