//! What is asked of the kernel past the loop: descriptors from a parent, shared memory
//! (`memory.rs`) and sleeping on it (`futex.rs`).

pub(crate) mod futex;
pub(crate) mod memory;

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Takes over a descriptor that this process was started with, by its number.
///
/// # Errors
///
/// `NotFound` if it was not.
pub(crate) fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    std::fs::symlink_metadata(format!("/proc/self/fd/{fd}")).map_err(|error| {
        io::Error::new(error.kind(), format!("inheriting descriptor {fd}: {error}"))
    })?;
    // SAFETY: it is open, and was so since before `main`: a protocol with our parent (ours, or
    // systemd's) says that it is for us, and this process reads that once, so nobody has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
