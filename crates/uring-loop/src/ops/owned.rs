//! What operations on owned buffers have in common, whatever they are on: how an entry is pointed
//! to the memory, and what a completion says of it.

use std::io;

use crate::driver::buf::{IoBuf, IoBufMut};
use crate::driver::ring::{Cqe, Sqe};

/// The most that one entry moves: the kernel's `MAX_RW_COUNT`. (Its length is 32 bits.)
pub(crate) const MOST: usize = 0x7fff_f000;
/// The most pieces of one vectored entry (`UIO_MAXIOV`).
pub(crate) const IOV_MAX: usize = 1024;

/// Points an entry to bytes that are to be sent or written.
pub(crate) fn point_to(sqe: &mut Sqe, bytes: &[u8]) {
    sqe.addr = bytes.as_ptr() as u64;
    sqe.len = bytes.len().min(MOST) as u32;
}

/// Points an entry to the room of a buffer, behind its first `skip` bytes.
pub(crate) fn point_to_room(sqe: &mut Sqe, buffer: &mut impl IoBufMut, skip: usize) {
    let (start, room) = buffer.spare();
    let skip = skip.min(room);
    sqe.addr = start.wrapping_add(skip) as u64;
    sqe.len = (room - skip).min(MOST) as u32;
}

/// How much came, and the buffer filled so far.
///
/// # Safety
///
/// The kernel has carried out an entry that [`point_to_room`] has pointed to the room of this very
/// buffer, with the same `skip`, and `cqe` is what it says; the first `skip` bytes were filled
/// before.
pub(crate) unsafe fn filled<B: IoBufMut>(
    cqe: Cqe,
    mut buffer: B,
    skip: usize,
) -> (io::Result<usize>, B) {
    let count = cqe.into_result().map(|count| count as usize);
    if let Ok(count) = count {
        // SAFETY: the kernel wrote so many bytes, at most what `spare` offered behind `skip`; the
        // rest is the caller's promise.
        unsafe { buffer.set_filled(skip + count) };
    }
    (count, buffer)
}

/// The pieces of several buffers, from `skip` on in their concatenation, for the kernel to read:
/// as many as one entry takes.
pub(crate) fn slices<B: IoBuf>(buffers: &[B], mut skip: usize) -> Vec<libc::iovec> {
    let mut slices = Vec::new();
    for bytes in buffers.iter().map(IoBuf::bytes) {
        let skipped = skip.min(bytes.len());
        skip -= skipped;
        if skipped < bytes.len() && slices.len() < IOV_MAX {
            slices.push(libc::iovec {
                iov_base: bytes[skipped..].as_ptr().cast_mut().cast(),
                iov_len: bytes.len() - skipped,
            });
        }
    }
    slices
}
