//! Operations on pipes, and on whatever else is read and written where it stands.

use std::io;
use std::os::fd::RawFd;

use crate::driver::Op;
use crate::driver::buf::{IoBuf, IoBufMut};
use crate::driver::ring::{Cqe, Sqe, opcode};
use crate::driver::source::OWN_POSITION;
use crate::ops::owned;

/// `IORING_OP_READ` (5.6) into an owned buffer.
pub(crate) struct Read<B> {
    pub(crate) fd: RawFd,
    pub(crate) buffer: B,
}

// SAFETY: the entry points into the buffer that `self` owns (`IoBufMut`); the descriptor is the
// reader's, closed through the driver.
unsafe impl<B: IoBufMut> Op for Read<B> {
    type Output = (io::Result<usize>, B);
    const HOLDS_CLOCK: bool = false;

    fn prepare(&mut self, sqe: &mut Sqe) {
        owned::point_to_room(sqe, &mut self.buffer, 0);
        sqe.opcode = opcode::READ;
        sqe.fd = self.fd;
        sqe.off = OWN_POSITION;
    }

    fn complete(self, cqe: Cqe) -> (io::Result<usize>, B) {
        // SAFETY: the entry was pointed to the room of this buffer, from its start.
        unsafe { owned::filled(cqe, self.buffer, 0) }
    }
}

/// `IORING_OP_WRITE` (5.6) of what is left of a buffer, as much of it as the kernel takes.
pub(crate) struct Write<B> {
    pub(crate) fd: RawFd,
    pub(crate) offset: usize,
    pub(crate) buffer: B,
    /// `RWF_*`.
    pub(crate) flags: u32,
}

// SAFETY: the entry points into the buffer that `self` owns (`IoBuf`); the descriptor is the
// writer's, closed through the driver.
unsafe impl<B: IoBuf> Op for Write<B> {
    type Output = (io::Result<usize>, B);
    const HOLDS_CLOCK: bool = false;

    fn prepare(&mut self, sqe: &mut Sqe) {
        owned::point_to(sqe, &self.buffer.bytes()[self.offset..]);
        sqe.opcode = opcode::WRITE;
        sqe.fd = self.fd;
        sqe.off = OWN_POSITION;
        sqe.op_flags = self.flags;
    }

    fn complete(self, cqe: Cqe) -> (io::Result<usize>, B) {
        (cqe.into_result().map(|written| written as usize), self.buffer)
    }
}

/// `IORING_OP_WRITEV` (5.1): several buffers in one go, from `offset` on in their concatenation.
pub(crate) struct WriteVectored<B> {
    fd: RawFd,
    buffers: Vec<B>,
    offset: usize,
    flags: u32,
    slices: Vec<libc::iovec>,
}

impl<B: IoBuf> WriteVectored<B> {
    pub(crate) fn new(fd: RawFd, buffers: Vec<B>, offset: usize, flags: u32) -> Self {
        WriteVectored { fd, buffers, offset, flags, slices: Vec::new() }
    }
}

// SAFETY: the entry points to the iovecs on the heap, and those into the buffers, all of which
// `self` owns. The descriptor is the writer's.
unsafe impl<B: IoBuf> Op for WriteVectored<B> {
    type Output = (io::Result<usize>, Vec<B>);
    const HOLDS_CLOCK: bool = false;

    fn prepare(&mut self, sqe: &mut Sqe) {
        self.slices = owned::slices(&self.buffers, self.offset);
        sqe.opcode = opcode::WRITEV;
        sqe.fd = self.fd;
        sqe.off = OWN_POSITION;
        sqe.addr = self.slices.as_ptr() as u64;
        sqe.len = self.slices.len() as u32;
        sqe.op_flags = self.flags;
    }

    fn complete(self, cqe: Cqe) -> (io::Result<usize>, Vec<B>) {
        (cqe.into_result().map(|written| written as usize), self.buffers)
    }
}
