//! The process's memory as the simulated kernel sees it: by address. The only file of the
//! simulation with `unsafe`.
//!
//! **The promise.** Every address that comes in here was written into a submission entry by the
//! driver (or into memory such an entry points to), and belongs to a request in flight; or it lies
//! in a buffer ring handed to [`super::Sim::register_buffers`]. The driver promises, to the kernel
//! as to us, that what an entry points to stays valid, and is touched by nobody else, until the
//! entry's terminal completion; and that a buffer ring and its free buffers stay mapped until the
//! ring is closed. The other files keep our side: a request's entry is forgotten when its terminal
//! completion is posted, and no address is remembered anywhere else.
//!
//! A null page address is answered with `EFAULT`, as the kernel does. Any other wrong address is
//! a broken promise, and Miri, ASan or a segmentation fault will say so.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicU16, Ordering};

use super::Errno;

fn pointer(address: u64, length: usize) -> Result<*mut u8, Errno> {
    if address < 4096 && length > 0 {
        return Err(libc::EFAULT);
    }
    Ok(ptr::with_exposed_provenance_mut(address as usize))
}

/// Copies `length` bytes out of the process's memory.
pub(super) fn read(address: u64, length: usize) -> Result<Vec<u8>, Errno> {
    let source = pointer(address, length)?;
    let mut bytes = vec![0; length];
    if length > 0 {
        // SAFETY: by the promise `length` bytes at `source` are valid; `bytes` is new memory of
        // that length, so they do not overlap.
        unsafe { ptr::copy_nonoverlapping(source, bytes.as_mut_ptr(), length) };
    }
    Ok(bytes)
}

/// Copies `bytes` into the process's memory.
pub(super) fn write(address: u64, bytes: &[u8]) -> Result<(), Errno> {
    let target = pointer(address, bytes.len())?;
    if !bytes.is_empty() {
        // SAFETY: by the promise the target is valid for that many bytes and the kernel's to
        // write; our slice is private memory, so they do not overlap.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
    }
    Ok(())
}

/// Touches the first and the last byte, so that a checker finds memory that was freed. What is
/// there is of no interest and need not be initialised.
pub(super) fn touch(address: u64, length: usize) {
    let Ok(first) = pointer(address, length) else { return };
    for offset in [0, length.saturating_sub(1)].into_iter().filter(|_| length > 0) {
        // SAFETY: by the promise `length` bytes at `first` are valid, and `offset` is below that;
        // MaybeUninit asks nothing of the byte itself.
        unsafe { first.cast::<MaybeUninit<u8>>().add(offset).read_volatile() };
    }
}

/// Reads a path or another text that ends with a zero byte.
pub(super) fn read_text(address: u64) -> Result<Vec<u8>, Errno> {
    let text = pointer(address, 1)?;
    // SAFETY: by the promise this is a zero-terminated string, valid while the request lives.
    Ok(unsafe { CStr::from_ptr(text.cast()) }.to_bytes().to_vec())
}

/// The tail of a buffer ring, at byte 14 of its memory (`struct io_uring_buf_ring`).
pub(super) fn buffer_ring_tail(ring: u64) -> u16 {
    let tail = ptr::with_exposed_provenance_mut::<u16>(ring as usize + 14);
    // SAFETY: by the promise of `register_buffers` the ring is mapped and aligned to a page. The
    // driver stores the tail atomically (release), so the acquire load pairs with it and the
    // entries before it are visible.
    unsafe { AtomicU16::from_ptr(tail) }.load(Ordering::Acquire)
}

/// A descriptor of the real kernel that a request in flight names.
pub(super) fn borrow_descriptor<'a>(fd: RawFd) -> BorrowedFd<'a> {
    assert!(fd >= 0, "a descriptor of the real kernel is not negative");
    // SAFETY: the promise again: the driver keeps what an entry names open while the request is in
    // flight. Were it broken, the system call would answer EBADF or act on another file, which is
    // what the kernel's ring would do too; no memory is touched through the descriptor.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// A descriptor that a message brought a test.
#[cfg(test)]
pub(super) fn adopt_descriptor(fd: RawFd) -> std::os::fd::OwnedFd {
    use std::os::fd::FromRawFd;
    // SAFETY: the kernel, or the simulation in its place, has opened it for the message that the
    // test received, and nobody else knows it.
    unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) }
}

/// read(2) on a real descriptor into the memory of a request.
pub(super) fn read_descriptor(fd: RawFd, address: u64, length: usize) -> Result<usize, Errno> {
    let buffer = pointer(address, length)?;
    // SAFETY: by the promise the buffer is valid for writes of `length` bytes.
    let count = unsafe { libc::read(fd, buffer.cast(), length) };
    usize::try_from(count).map_err(|_| last_errno())
}

/// Bytes of a `siginfo_t`.
pub(super) const SIGINFO: usize = size_of::<libc::siginfo_t>();

/// waitid(2) of a child that has ended, by its descriptor, with the memory of a request for what it
/// tells. EAGAIN if it has not.
pub(super) fn reap(pidfd: RawFd, address: u64) -> Result<(), Errno> {
    let info = pointer(address, SIGINFO)?.cast::<libc::siginfo_t>();
    let options = libc::WEXITED | libc::WNOHANG;
    // SAFETY: by the promise there is room for a siginfo_t.
    if unsafe { libc::waitid(libc::P_PIDFD, pidfd as u32, info, options) } != 0 {
        return Err(last_errno());
    }
    // SAFETY: as above, and all of it is initialized by now; zero if there was nothing to tell.
    if unsafe { (*info).si_pid() } == 0 { Err(libc::EAGAIN) } else { Ok(()) }
}

fn last_errno() -> Errno {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// Registers memory that a test has leaked as a ring of provided buffers.
#[cfg(test)]
pub(super) fn register_leaked(
    ring: &mut crate::driver::ring::Ring,
    memory: &'static [std::sync::atomic::AtomicU64],
    group: u16,
) -> std::io::Result<()> {
    let address = memory.as_ptr().expose_provenance() as u64;
    assert!(address.is_multiple_of(4096), "a buffer ring begins at a page");
    let entries = u16::try_from(memory.len() / 2).expect("a small ring");
    // SAFETY: `memory` is aligned to a page, holds `entries` descriptors of two words, and being
    // 'static stays mapped; so do the buffers, which are leaked too.
    unsafe { ring.register_buffers(address, entries, group) }
}

/// Registers memory that a test has leaked as a buffer.
#[cfg(test)]
pub(super) fn set_leaked_buffer(
    ring: &mut crate::driver::ring::Ring,
    place: u16,
    memory: &'static [std::sync::atomic::AtomicU64],
) -> std::io::Result<()> {
    let address = memory.as_ptr().expose_provenance() as u64;
    let length = u32::try_from(size_of_val(memory)).expect("a small buffer");
    // SAFETY: being 'static the memory stays mapped.
    unsafe { ring.set_buffer(place, address, length) }
}

/// A fingerprint of bytes that must not change while the kernel may look at them (FNV-1a).
pub(super) fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
