//! The calls that the soft ring makes in the place of a kernel that takes entries.
//!
//! They answer as a completion does: what is not negative, or minus an errno. Addresses are numbers
//! here, as in an entry; what they must point to is said once, at [`Address`].

use std::ffi::{c_int, c_long, c_uint, c_void};
use std::io;
use std::os::fd::RawFd;
use std::ptr;

/// An address out of an entry.
///
/// # Safety
///
/// All functions here that take one are unsafe, and ask the same: it points to what the call reads
/// or writes there (its manual page says what), of the length given, and nobody else touches that
/// during the call. Null where the call allows it.
pub(crate) type Address = u64;

fn at<T>(address: Address) -> *mut T {
    ptr::with_exposed_provenance_mut(address as usize)
}

/// As the kernel would put it into a completion.
fn answer(result: isize) -> i32 {
    if result < 0 { -errno() } else { result as i32 }
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// Two halves of an offset, as preadv2(2) takes it.
fn halves(offset: u64) -> (c_long, c_long) {
    (offset as c_long, (offset >> 32) as c_long)
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// Reads into, or writes from, pieces of memory (preadv2(2), pwritev2(2), 4.6). The offset of all
/// ones is the file's own position; what has none, as a pipe, does not mind another.
///
/// # Safety
///
/// See [`Address`]: the pieces, and what they name.
pub(crate) unsafe fn transfer(
    direction: Direction,
    fd: RawFd,
    pieces: &[libc::iovec],
    offset: u64,
    flags: u32,
) -> i32 {
    let (low, high) = halves(offset);
    let number = match direction {
        Direction::Read => libc::SYS_preadv2,
        Direction::Write => libc::SYS_pwritev2,
    };
    // SAFETY: the caller's promise.
    let result =
        unsafe { libc::syscall(number, fd, pieces.as_ptr(), pieces.len(), low, high, flags) };
    match answer(result as isize) {
        errno if errno == -libc::ESPIPE && offset != u64::MAX => {
            // SAFETY: handed on.
            unsafe { transfer(direction, fd, pieces, u64::MAX, flags) }
        }
        result => result,
    }
}

/// A piece of memory.
pub(crate) fn piece(address: Address, length: usize) -> libc::iovec {
    libc::iovec { iov_base: at(address), iov_len: length }
}

/// The pieces of an array of them.
///
/// # Safety
///
/// See [`Address`].
pub(crate) unsafe fn pieces<'a>(address: Address, count: usize) -> &'a [libc::iovec] {
    if count == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(at(address), count) }
}

/// The header of a message, by value.
///
/// # Safety
///
/// See [`Address`].
pub(crate) unsafe fn header(address: Address) -> libc::msghdr {
    // SAFETY: the caller's promise.
    unsafe { *at::<libc::msghdr>(address) }
}

/// # Safety
///
/// See [`Address`].
pub(crate) unsafe fn receive(fd: RawFd, address: Address, length: usize, flags: c_int) -> i32 {
    // SAFETY: the caller's promise.
    answer(unsafe { libc::recv(fd, at(address), length, flags) })
}

/// # Safety
///
/// See [`Address`].
pub(crate) unsafe fn send(fd: RawFd, address: Address, length: usize, flags: c_int) -> i32 {
    // SAFETY: the caller's promise.
    answer(unsafe { libc::send(fd, at(address), length, flags) })
}

/// # Safety
///
/// See [`Address`]: what the header names.
pub(crate) unsafe fn receive_message(fd: RawFd, header: &mut libc::msghdr, flags: c_int) -> i32 {
    // SAFETY: the caller's promise.
    answer(unsafe { libc::recvmsg(fd, header, flags) })
}

/// The same with a header of somebody else's, which is written to.
///
/// # Safety
///
/// See [`Address`]: a header, and what it names.
pub(crate) unsafe fn receive_message_at(fd: RawFd, header: Address, flags: c_int) -> i32 {
    // SAFETY: the caller's promise.
    answer(unsafe { libc::recvmsg(fd, at(header), flags) })
}

/// # Safety
///
/// See [`Address`]: what the header names.
pub(crate) unsafe fn send_message(fd: RawFd, header: &libc::msghdr, flags: c_int) -> i32 {
    // SAFETY: the caller's promise.
    answer(unsafe { libc::sendmsg(fd, header, flags) })
}

/// # Safety
///
/// See [`Address`]: room for a name, and how much of it there is.
pub(crate) unsafe fn accept(fd: RawFd, name: Address, length: Address, flags: c_int) -> i32 {
    // SAFETY: the caller's promise.
    answer(unsafe { libc::accept4(fd, at(name), at(length), flags) } as isize)
}

/// Connects without waiting for it: EINPROGRESS says that it is under way now, and EALREADY that it
/// still is. The descriptor is in non-blocking mode for the length of the call.
///
/// # Safety
///
/// See [`Address`].
pub(crate) unsafe fn connect(fd: RawFd, name: Address, length: u32) -> i32 {
    let before = flags(fd);
    if before < 0 {
        return before;
    }
    set_flags(fd, before | libc::O_NONBLOCK);
    // SAFETY: the caller's promise.
    let result = answer(unsafe { libc::connect(fd, at(name), length) } as isize);
    set_flags(fd, before);
    result
}

/// An option of a socket that is a number.
pub(crate) fn option(fd: RawFd, option: c_int) -> Result<c_int, i32> {
    let mut value: c_int = 0;
    let mut length = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: there is room for a number, as `length` says.
    let result = unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, option, (&raw mut value).cast(), &raw mut length)
    };
    if result < 0 { Err(errno()) } else { Ok(value) }
}

fn flags(fd: RawFd) -> i32 {
    // SAFETY: takes numbers.
    answer(unsafe { libc::fcntl(fd, libc::F_GETFL) } as isize)
}

/// Whether a transfer waits for the disk even if it is told not to wait: past the page cache
/// (O_DIRECT), or until it is written (O_SYNC, O_DSYNC).
pub(crate) fn waits_for_disk(fd: RawFd) -> bool {
    let flags = flags(fd);
    flags >= 0 && flags & (libc::O_DIRECT | libc::O_SYNC | libc::O_DSYNC) != 0
}

fn set_flags(fd: RawFd, flags: c_int) {
    // SAFETY: takes numbers. The descriptor has just answered, and these flags are ones it has.
    unsafe { libc::fcntl(fd, libc::F_SETFL, flags) };
}

/// Puts the open file into non-blocking mode.
pub(crate) fn unblock(fd: RawFd) -> i32 {
    let before = flags(fd);
    if before >= 0 && before & libc::O_NONBLOCK == 0 {
        set_flags(fd, before | libc::O_NONBLOCK);
    }
    before.min(0)
}

/// What a descriptor is ready for now, of `events`; POLLNVAL is EBADF.
pub(crate) fn poll(fd: RawFd, events: u32) -> i32 {
    let mut poll = libc::pollfd { fd, events: events as i16, revents: 0 };
    // SAFETY: one entry.
    let result = unsafe { libc::poll(&raw mut poll, 1, 0) };
    match answer(result as isize) {
        errno @ ..0 => errno,
        _ if poll.revents & libc::POLLNVAL != 0 => -libc::EBADF,
        _ => i32::from(poll.revents as u16),
    }
}

/// The end of the process that a descriptor names, if it has ended; EAGAIN if not.
///
/// # Safety
///
/// See [`Address`]: room for a `siginfo_t`.
pub(crate) unsafe fn wait_for(pidfd: RawFd, info: Address, options: c_int) -> i32 {
    // SAFETY: all zeroes are a valid siginfo_t.
    let mut told: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: there is room for what is written.
    let result = unsafe {
        libc::waitid(libc::P_PIDFD, pidfd as libc::id_t, &raw mut told, options | libc::WNOHANG)
    };
    if result < 0 {
        return -errno();
    }
    // SAFETY: zero if there was nothing to tell, otherwise what `waitid` fills in.
    if unsafe { told.si_pid() } == 0 {
        return -libc::EAGAIN;
    }
    if info != 0 {
        // SAFETY: the caller's promise.
        unsafe { *at::<libc::siginfo_t>(info) = told };
    }
    0
}

pub(crate) fn socket(domain: c_int, kind: c_int, protocol: c_int) -> i32 {
    // SAFETY: takes numbers.
    answer(unsafe { libc::socket(domain, kind, protocol) } as isize)
}

pub(crate) fn shutdown(fd: RawFd, how: c_int) -> i32 {
    // SAFETY: takes numbers.
    answer(unsafe { libc::shutdown(fd, how) } as isize)
}

/// close(2). The caller owns the descriptor.
pub(crate) fn close(fd: RawFd) -> i32 {
    // SAFETY: takes a number, which its owner forgets.
    answer(unsafe { libc::close(fd) } as isize)
}

/// Another descriptor of the same open file, close-on-exec.
pub(crate) fn duplicate(fd: RawFd) -> i32 {
    // SAFETY: takes numbers.
    answer(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) } as isize)
}

/// A number out of memory.
///
/// # Safety
///
/// See [`Address`]: an array of numbers with more than `index`.
pub(crate) unsafe fn number(array: Address, index: usize) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { at::<i32>(array).add(index).read() }
}

/// Seconds and nanoseconds out of a `struct __kernel_timespec`.
///
/// # Safety
///
/// See [`Address`].
pub(crate) unsafe fn time(address: Address) -> [i64; 2] {
    // SAFETY: the caller's promise.
    unsafe { at::<[i64; 2]>(address).read() }
}

pub(crate) fn sync(fd: RawFd, data: bool) -> i32 {
    // SAFETY: takes a number.
    answer(unsafe { if data { libc::fdatasync(fd) } else { libc::fsync(fd) } } as isize)
}

pub(crate) fn allocate(fd: RawFd, mode: c_int, offset: u64, length: u64) -> i32 {
    // SAFETY: takes numbers.
    let result = unsafe { libc::fallocate64(fd, mode, offset as i64, length as i64) };
    answer(result as isize)
}

pub(crate) fn truncate(fd: RawFd, length: u64) -> i32 {
    // SAFETY: takes numbers.
    answer(unsafe { libc::ftruncate64(fd, length as i64) } as isize)
}

/// # Safety
///
/// See [`Address`].
pub(crate) unsafe fn open(folder: RawFd, path: Address, flags: c_int, mode: u32) -> i32 {
    // SAFETY: the caller's promise.
    answer(unsafe { libc::openat64(folder, at(path), flags, mode) } as isize)
}

/// # Safety
///
/// See [`Address`]: a path, and room for a `struct statx`.
pub(crate) unsafe fn statx(
    folder: RawFd,
    path: Address,
    flags: c_int,
    mask: c_uint,
    to: Address,
) -> i32 {
    // SAFETY: the caller's promise.
    answer(unsafe { libc::statx(folder, at(path), flags, mask, at(to)) } as isize)
}

/// # Safety
///
/// See [`Address`].
pub(crate) unsafe fn rename(from: (RawFd, Address), to: (RawFd, Address), flags: u32) -> i32 {
    let number = libc::SYS_renameat2;
    let (old, new) = (at::<c_void>(from.1), at::<c_void>(to.1));
    // SAFETY: the caller's promise.
    answer(unsafe { libc::syscall(number, from.0, old, to.0, new, flags) } as isize)
}

/// # Safety
///
/// See [`Address`].
pub(crate) unsafe fn link(from: (RawFd, Address), to: (RawFd, Address), flags: c_int) -> i32 {
    // SAFETY: the caller's promise.
    answer(unsafe { libc::linkat(from.0, at(from.1), to.0, at(to.1), flags) } as isize)
}

/// # Safety
///
/// See [`Address`].
pub(crate) unsafe fn symlink(target: Address, folder: RawFd, path: Address) -> i32 {
    // SAFETY: the caller's promise.
    answer(unsafe { libc::symlinkat(at(target), folder, at(path)) } as isize)
}

/// # Safety
///
/// See [`Address`].
pub(crate) unsafe fn unlink(folder: RawFd, path: Address, flags: c_int) -> i32 {
    // SAFETY: the caller's promise.
    answer(unsafe { libc::unlinkat(folder, at(path), flags) } as isize)
}

/// # Safety
///
/// See [`Address`].
pub(crate) unsafe fn make_folder(folder: RawFd, path: Address, mode: u32) -> i32 {
    // SAFETY: the caller's promise.
    answer(unsafe { libc::mkdirat(folder, at(path), mode) } as isize)
}

/// The entry of a ring of provided buffers: address, length, id; and the ring's tail, which lies
/// in the last field of the first entry (`struct io_uring_buf_ring`).
///
/// # Safety
///
/// See [`Address`]: such a ring, with more than `index` entries, changed by this thread alone.
pub(crate) unsafe fn provided(ring: Address, index: u16) -> (Address, u32, u16) {
    let entry = at::<u8>(ring + u64::from(index) * 16);
    // SAFETY: the caller's promise; entries are 16 bytes, aligned as their fields.
    unsafe {
        (entry.cast::<u64>().read(), entry.add(8).cast::<u32>().read(), {
            entry.add(12).cast::<u16>().read()
        })
    }
}

/// # Safety
///
/// As [`provided`].
pub(crate) unsafe fn provided_tail(ring: Address) -> u16 {
    // SAFETY: the caller's promise.
    unsafe { at::<u16>(ring + 14).read_volatile() }
}

/// Writes numbers.
///
/// # Safety
///
/// See [`Address`]: room for so many.
pub(crate) unsafe fn put_numbers(address: Address, numbers: [u32; 4]) {
    // SAFETY: the caller's promise. Nothing is said about its alignment.
    unsafe { at::<[u32; 4]>(address).write_unaligned(numbers) };
}
