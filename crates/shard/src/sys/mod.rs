//! What is asked of the kernel past the loop: operations of io_uring that it does not have,
//! descriptors from a parent, shared memory (`memory.rs`) and sleeping on it (`futex.rs`).

pub(crate) mod futex;
pub(crate) mod memory;

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::poll::PollFlags;
use uring_loop::op::{Cqe, Driver, Op, Sqe, opcode};

/// `IORING_OP_POLL_ADD` (5.1): waits until a descriptor has something to read, or to accept.
struct Readable<K> {
    fd: RawFd,
    /// Keeps the descriptor open.
    _keep: K,
}

// SAFETY: the entry has no pointer. The descriptor is that of `_keep`, which lives as long as the
// operation and does not close it before; who lends a descriptor that it closes itself does so
// through the same driver, in order behind the entry.
unsafe impl<K: 'static> Op for Readable<K> {
    type Output = io::Result<()>;
    /// A peer may be silent for ever.
    const HOLDS_CLOCK: bool = false;

    fn prepare(&mut self, sqe: &mut Sqe) {
        sqe.opcode = opcode::POLL_ADD;
        sqe.fd = self.fd;
        sqe.op_flags = u32::from(PollFlags::POLLIN.bits().cast_unsigned());
    }

    fn complete(self, cqe: Cqe) -> io::Result<()> {
        cqe.into_result().map(drop)
    }
}

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

/// Waits until there is something to read from, or to accept on, what `keep` keeps open. It may
/// be gone again when somebody else shares the descriptor.
pub(crate) async fn readable<K: AsFd + 'static>(keep: K) -> io::Result<()> {
    let fd = keep.as_fd().as_raw_fd();
    Driver::current().submit(Readable { fd, _keep: keep }).await
}

/// The same of a connection of the loop, which closes its descriptor through the driver.
pub(crate) async fn readable_stream(stream: &uring_loop::net::TcpStream) -> io::Result<()> {
    let fd = stream.as_raw_fd();
    Driver::current().submit(Readable { fd, _keep: () }).await
}
