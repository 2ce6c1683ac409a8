//! Operations on open files: reading, writing, and keeping their bytes on the disk.
//!
//! Each offset is explicit: the position that the kernel keeps with a file is never used, so that
//! operations in flight on one file do not disturb each other.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

use crate::driver::Op;
use crate::driver::buf::{IoBuf, IoBufMut};
use crate::driver::fd::Fd;
use crate::driver::ring::{Cqe, Sqe, opcode, sqe_flags};
use crate::ops::owned::{self, IOV_MAX};

/// An offset that means none: of a pipe or a terminal, or the position that the kernel keeps with
/// the open file (io_uring_enter(2)).
pub(crate) const NO_OFFSET: u64 = u64::MAX;

/// How an entry names an open file, and the memory that moves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// A descriptor, or a place among the registered files.
    number: i32,
    registered: bool,
    /// The buffer's place among the registered ones.
    buffer: u16,
}

/// No registered buffer: the tables are smaller.
const PLAIN: u16 = u16::MAX;

impl Target {
    pub(crate) fn descriptor(fd: RawFd) -> Self {
        Target { number: fd, registered: false, buffer: PLAIN }
    }

    /// A place among the registered files.
    pub(crate) fn registered(place: u16) -> Self {
        Target { number: place.into(), registered: true, buffer: PLAIN }
    }

    /// With a buffer that may be registered.
    pub(crate) fn with_buffer(self, place: Option<u16>) -> Self {
        Target { buffer: place.unwrap_or(PLAIN), ..self }
    }

    fn put(self, sqe: &mut Sqe) {
        sqe.fd = self.number;
        if self.registered {
            sqe.flags |= sqe_flags::FIXED_FILE;
        }
    }

    /// The same, and which of two operations it is.
    fn put_with_buffer(self, sqe: &mut Sqe, plain: u8, fixed: u8) {
        self.put(sqe);
        if self.buffer == PLAIN {
            sqe.opcode = plain;
        } else {
            (sqe.opcode, sqe.buf_index) = (fixed, self.buffer);
        }
    }
}

/// `IORING_OP_READ` (5.6), or `_READ_FIXED` (5.1), into the room of a buffer.
// With a buffer of 16 bytes it fits into its slot.
pub(crate) struct Read<B> {
    pub(crate) buffer: B,
    pub(crate) offset: u64,
    pub(crate) file: Target,
}

/// Fills in a read into the room of `buffer` behind its first `skip` bytes.
fn prepare_read(sqe: &mut Sqe, file: Target, buffer: &mut impl IoBufMut, skip: usize, offset: u64) {
    owned::point_to_room(sqe, buffer, skip);
    file.put_with_buffer(sqe, opcode::READ, opcode::READ_FIXED);
    sqe.off = offset;
}

// SAFETY: the entry points into the buffer that `self` owns (`IoBufMut`); the descriptor is the
// file's, closed through the driver.
unsafe impl<B: IoBufMut> Op for Read<B> {
    type Output = (io::Result<usize>, B);

    fn prepare(&mut self, sqe: &mut Sqe) {
        prepare_read(sqe, self.file, &mut self.buffer, 0, self.offset);
    }

    fn complete(self, cqe: Cqe) -> Self::Output {
        // SAFETY: the entry was pointed to the room of this buffer, from its start.
        unsafe { owned::filled(cqe, self.buffer, 0) }
    }
}

/// The same behind the first `skip` bytes, which were filled before.
pub(crate) struct ReadRest<B> {
    pub(crate) read: Read<B>,
    pub(crate) skip: usize,
}

// SAFETY: as for `Read`.
unsafe impl<B: IoBufMut> Op for ReadRest<B> {
    type Output = (io::Result<usize>, B);

    fn prepare(&mut self, sqe: &mut Sqe) {
        let Read { buffer, offset, file } = &mut self.read;
        prepare_read(sqe, *file, buffer, self.skip, *offset);
    }

    fn complete(self, cqe: Cqe) -> Self::Output {
        // SAFETY: the entry was pointed to the room of this buffer behind the first `skip` bytes;
        // whoever made this op has had those filled before.
        unsafe { owned::filled(cqe, self.read.buffer, self.skip) }
    }
}

/// `IORING_OP_WRITE` (5.6), or `_WRITE_FIXED` (5.1), of a buffer, as much as the kernel takes.
pub(crate) struct Write<B> {
    pub(crate) buffer: B,
    pub(crate) offset: u64,
    pub(crate) file: Target,
}

fn prepare_write(sqe: &mut Sqe, file: Target, bytes: &[u8], offset: u64) {
    file.put_with_buffer(sqe, opcode::WRITE, opcode::WRITE_FIXED);
    owned::point_to(sqe, bytes);
    sqe.off = offset;
}

// SAFETY: the entry points into the buffer that `self` owns (`IoBuf`); the descriptor is the
// file's, closed through the driver.
unsafe impl<B: IoBuf> Op for Write<B> {
    type Output = (io::Result<usize>, B);

    fn prepare(&mut self, sqe: &mut Sqe) {
        prepare_write(sqe, self.file, self.buffer.bytes(), self.offset);
    }

    fn complete(self, cqe: Cqe) -> Self::Output {
        (cqe.into_result().map(|written| written as usize), self.buffer)
    }
}

/// The same of what comes behind the first `skip` bytes.
pub(crate) struct WriteRest<B> {
    pub(crate) write: Write<B>,
    pub(crate) skip: usize,
}

// SAFETY: as for `Write`.
unsafe impl<B: IoBuf> Op for WriteRest<B> {
    type Output = (io::Result<usize>, B);

    fn prepare(&mut self, sqe: &mut Sqe) {
        let Write { buffer, offset, file } = &self.write;
        prepare_write(sqe, *file, &buffer.bytes()[self.skip..], *offset);
    }

    fn complete(self, cqe: Cqe) -> Self::Output {
        self.write.complete(cqe)
    }
}

/// `IORING_OP_READV` (5.1): the bytes from `offset` on, into one buffer after the other.
pub(crate) struct ReadVectored<B> {
    file: Target,
    offset: u64,
    slices: Vec<libc::iovec>,
    buffers: Vec<B>,
}

impl<B: IoBufMut> ReadVectored<B> {
    pub(crate) fn new(file: Target, buffers: Vec<B>, offset: u64) -> Self {
        ReadVectored { file, offset, slices: Vec::new(), buffers }
    }
}

// SAFETY: the entry points to the iovecs on the heap, those into the buffers, and `self` owns both;
// the list of buffers is not touched meanwhile. The descriptor is the file's.
unsafe impl<B: IoBufMut> Op for ReadVectored<B> {
    type Output = (io::Result<usize>, Vec<B>);

    fn prepare(&mut self, sqe: &mut Sqe) {
        let slices = self.buffers.iter_mut().take(IOV_MAX).map(|buffer| {
            let (start, room) = buffer.spare();
            libc::iovec { iov_base: start.cast(), iov_len: room }
        });
        self.slices.extend(slices);
        prepare_vectored(sqe, opcode::READV, self.file, &self.slices, self.offset);
    }

    fn complete(mut self, cqe: Cqe) -> Self::Output {
        let read = cqe.into_result().map(|read| read as usize);
        if let Ok(mut left) = read {
            for (buffer, slice) in self.buffers.iter_mut().zip(&self.slices) {
                let filled = left.min(slice.iov_len);
                // SAFETY: the kernel fills one slice after the other, and these are the rooms
                // that `spare` offered.
                unsafe { buffer.set_filled(filled) };
                left -= filled;
            }
        }
        (read, self.buffers)
    }
}

/// `IORING_OP_WRITEV` (5.1): several buffers one behind the other, from `skip` on in their
/// concatenation.
pub(crate) struct WriteVectored<B> {
    file: Target,
    offset: u64,
    skip: usize,
    slices: Vec<libc::iovec>,
    buffers: Vec<B>,
}

impl<B: IoBuf> WriteVectored<B> {
    pub(crate) fn new(file: Target, buffers: Vec<B>, skip: usize, offset: u64) -> Self {
        WriteVectored { file, offset, skip, slices: Vec::new(), buffers }
    }
}

// SAFETY: as for `ReadVectored`; the kernel only reads.
unsafe impl<B: IoBuf> Op for WriteVectored<B> {
    type Output = (io::Result<usize>, Vec<B>);

    fn prepare(&mut self, sqe: &mut Sqe) {
        self.slices = owned::slices(&self.buffers, self.skip);
        prepare_vectored(sqe, opcode::WRITEV, self.file, &self.slices, self.offset);
    }

    fn complete(self, cqe: Cqe) -> Self::Output {
        (cqe.into_result().map(|written| written as usize), self.buffers)
    }
}

fn prepare_vectored(sqe: &mut Sqe, opcode: u8, file: Target, slices: &[libc::iovec], offset: u64) {
    file.put(sqe);
    sqe.opcode = opcode;
    sqe.addr = slices.as_ptr() as u64;
    sqe.len = slices.len() as u32;
    sqe.off = offset;
}

/// Any operation on a file that has no buffer and answers nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Plain {
    /// `IORING_OP_FSYNC` (5.1); `data` alone, or what is known about the file too.
    Sync { data: bool },
    /// `IORING_OP_FALLOCATE` (5.6): room on the disk for a range; the file grows to hold it.
    Allocate { offset: u64, length: u64 },
    /// `IORING_OP_FTRUNCATE` (6.9).
    Truncate { length: u64 },
}

/// [`Plain`] on a file.
///
/// The kernel hands all of these to a worker at once (`REQ_F_FORCE_ASYNC` in their `prep`
/// functions), and a worker looks the descriptor up only when it begins (`io_wq_submit_work`). By
/// then a close that was pushed behind is done and the number may belong to another file, which
/// would be truncated in this one's place: on 6.18 that happened in 759 of 2000 attempts. So the op
/// keeps its file open.
pub(crate) struct OnFile {
    pub(crate) file: Rc<Fd>,
    pub(crate) what: Plain,
}

// SAFETY: the entry has no pointer; the descriptor stays open as long as `self` lives.
unsafe impl Op for OnFile {
    type Output = io::Result<()>;

    fn prepare(&mut self, sqe: &mut Sqe) {
        const DATASYNC: u32 = 1;
        sqe.fd = self.file.as_raw_fd();
        match self.what {
            Plain::Sync { data } => {
                sqe.opcode = opcode::FSYNC;
                sqe.op_flags = if data { DATASYNC } else { 0 };
            }
            Plain::Allocate { offset, length } => {
                sqe.opcode = opcode::FALLOCATE;
                sqe.off = offset;
                // The length has the place of the address, the mode (0) that of the length.
                sqe.addr = length;
            }
            Plain::Truncate { length } => {
                sqe.opcode = opcode::FTRUNCATE;
                sqe.off = length;
            }
        }
    }

    fn complete(self, cqe: Cqe) -> io::Result<()> {
        cqe.into_result().map(drop)
    }
}

/// `IORING_OP_CLOSE` (5.6) that somebody waits for.
pub(crate) struct Close(pub(crate) Fd);

// SAFETY: the entry has no pointer; the descriptor is ours to close.
unsafe impl Op for Close {
    type Output = io::Result<()>;

    fn prepare(&mut self, sqe: &mut Sqe) {
        sqe.opcode = opcode::CLOSE;
        sqe.fd = self.0.as_raw_fd();
    }

    fn complete(self, cqe: Cqe) -> io::Result<()> {
        // Only a close that never began is cancelled: then the descriptor is closed by its drop.
        // After every other error it is gone (close(2)).
        if cqe.result != -libc::ECANCELED {
            self.0.forget();
        }
        cqe.into_result().map(drop)
    }
}

/// A read or write of a terminal or a pipe: it may wait for ever, so no virtual clock waits for it.
pub(crate) struct Patient<T> {
    pub(crate) op: T,
    /// Hand it to a worker of the kernel's at once (`IOSQE_ASYNC`, 5.6).
    pub(crate) worker: bool,
}

// SAFETY: the inner op's. With a worker the descriptor is looked up later than the entry is taken
// in; it is one of the standard descriptors, which are never closed here.
unsafe impl<T: Op> Op for Patient<T> {
    type Output = T::Output;
    const HOLDS_CLOCK: bool = false;

    fn prepare(&mut self, sqe: &mut Sqe) {
        self.op.prepare(sqe);
        if self.worker {
            sqe.flags |= sqe_flags::ASYNC;
        }
    }

    fn complete(self, cqe: Cqe) -> T::Output {
        self.op.complete(cqe)
    }
}
