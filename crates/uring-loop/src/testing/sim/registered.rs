//! Registered buffers and files, and FILES_UPDATE.

use std::io;

use super::descriptors::Object;
use super::handle::check;
use super::layout::Piece;
use super::world::World;
use super::{Errno, memory};
use crate::driver::ring::Sqe;

#[derive(Debug, Default)]
pub(super) struct Registered {
    buffers: Option<Vec<Option<Piece>>>,
    files: Option<Vec<Option<Object>>>,
}

impl Registered {
    pub(super) fn make_buffers(&mut self, places: u16) -> io::Result<()> {
        check(if self.buffers.is_some() { Err(libc::EBUSY) } else { Ok(()) })?;
        self.buffers = Some(vec![None; places.into()]);
        Ok(())
    }

    pub(super) fn set_buffer(&mut self, place: u16, address: u64, length: u32) -> io::Result<()> {
        let places = self.buffers.as_mut().ok_or(libc::ENXIO);
        let piece = Piece { address, length: length.into() };
        let found = places.and_then(|all| all.get_mut(usize::from(place)).ok_or(libc::EINVAL));
        *check(found)? = (address > 0).then_some(piece);
        Ok(())
    }

    pub(super) fn make_files(&mut self, places: u16) -> io::Result<()> {
        check(if self.files.is_some() { Err(libc::EBUSY) } else { Ok(()) })?;
        self.files = Some(vec![None; places.into()]);
        Ok(())
    }

    /// The file in a place.
    pub(super) fn file(&self, place: i32) -> Result<Object, Errno> {
        let files = self.files.as_deref().unwrap_or_default();
        let at = usize::try_from(place).map_err(|_| libc::EBADF)?;
        files.get(at).copied().flatten().ok_or(libc::EBADF)
    }

    /// Whether the memory of an entry is in the buffer that it names.
    pub(super) fn holds(&self, sqe: &Sqe) -> bool {
        let buffers = self.buffers.as_deref().unwrap_or_default();
        let buffer = buffers.get(usize::from(sqe.buf_index)).copied().flatten();
        buffer.is_some_and(|Piece { address, length }| {
            sqe.addr >= address && sqe.addr + u64::from(sqe.len) <= address + length
        })
    }

    /// All files, which are registered no more.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Object> + use<> {
        self.buffers = None;
        self.files.take().into_iter().flatten().flatten()
    }
}

impl World {
    /// Puts a file into a place, or nothing.
    pub(super) fn set_registered_file(
        &mut self,
        place: u64,
        object: Option<Object>,
    ) -> Result<(), Errno> {
        let files = self.registered.files.as_mut().ok_or(libc::ENXIO)?;
        let at = usize::try_from(place).map_err(|_| libc::EINVAL)?;
        let old = std::mem::replace(files.get_mut(at).ok_or(libc::EINVAL)?, object);
        if let Some(object) = object {
            self.descriptors.hold(object);
        }
        match old {
            Some(old) => self.release(old),
            None if object.is_none() => return Err(libc::EBADF),
            None => {}
        }
        Ok(())
    }

    /// FILES_UPDATE: descriptors from memory into the places from the offset on.
    pub(super) fn update_files(&mut self, sqe: &Sqe) -> Result<i32, Errno> {
        let bytes = memory::read(sqe.addr, sqe.len as usize * 4)?;
        for (place, fd) in (sqe.off..).zip(bytes.chunks_exact(4)) {
            let fd = i32::from_ne_bytes(fd.try_into().expect("four bytes"));
            let object = self.descriptors.resolve(fd)?;
            self.set_registered_file(place, Some(object))?;
        }
        Ok(sqe.len as i32)
    }
}
