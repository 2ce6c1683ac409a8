//! L0: the only folder that makes system calls.
//!
//! Everything here is a thin, typed wrapper that turns `errno` into [`std::io::Error`]. What the
//! `io-uring` crate (0.7.15) and `nix` (0.31) do not offer stands here in `libc`'s words:
//! `io_uring_enter` on a registered ring descriptor, and a few registrations.

pub(crate) mod calls;
pub(crate) mod clock;
pub(crate) mod epoll;
pub(crate) mod eventfd;
pub(crate) mod file;
pub(crate) mod fork;
pub(crate) mod memory;
pub(crate) mod older;
pub mod opcode;
pub(crate) mod path;
pub(crate) mod pipe;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod signal;
pub(crate) mod socket;

pub(crate) mod uring;

use std::io;

/// Turns the return value of a raw system call into a result.
pub(crate) fn check(result: libc::c_long) -> io::Result<u32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as u32) }
}

/// Closes a descriptor now, for when no ring is left to close it.
///
/// The error is dropped: after `close` Linux has released the descriptor whatever it answers
/// (close(2), "Dealing with error returns").
pub(crate) fn close(fd: std::os::fd::RawFd) {
    // SAFETY: close(2) has no memory requirements; the caller owns `fd` and forgets it.
    unsafe { libc::close(fd) };
}
