//! What is asked of the kernel past the loop: operations of io_uring that it does not have,
//! descriptors from a parent, shared memory (`memory.rs`) and sleeping on it (`futex.rs`).

pub(crate) mod futex;
pub(crate) mod memory;

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::poll::PollFlags;
use uring_loop::net::TcpStream;
use uring_loop::op::{Cqe, Driver, Op, Sqe, opcode};

/// `IORING_OP_POLL_ADD` (5.1): waits until a connection of the loop has something to read.
struct Readable {
    fd: RawFd,
}

// SAFETY: the entry has no pointer. Who lends the descriptor closes it through the same driver, in
// order behind the entry.
unsafe impl Op for Readable {
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

/// Waits until there is something to read from a connection, of which nothing is received ahead.
/// (What is not of the loop can be waited for by `uring_loop::io::wait_readable`.)
pub(crate) async fn readable_stream(stream: &TcpStream) -> io::Result<()> {
    Driver::current().submit(Readable { fd: stream.as_raw_fd() }).await
}
