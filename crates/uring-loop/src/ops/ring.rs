//! Operations on the ring itself and on any descriptor: nothing, and waiting for readiness.

use std::io;
use std::os::fd::RawFd;

use crate::driver::Op;
use crate::driver::ring::{Cqe, Sqe, opcode};

/// `IORING_OP_NOP` (5.1): a round trip through the ring.
#[derive(Debug)]
pub struct Nop;

// SAFETY: the entry has no pointer and no descriptor.
unsafe impl Op for Nop {
    type Output = io::Result<()>;

    fn prepare(&mut self, sqe: &mut Sqe) {
        sqe.opcode = opcode::NOP;
    }

    fn complete(self, cqe: Cqe) -> io::Result<()> {
        cqe.into_result().map(drop)
    }
}

/// `IORING_OP_POLL_ADD` (5.1): waits until a descriptor is ready.
#[derive(Debug)]
pub(crate) struct PollAdd {
    fd: RawFd,
    /// `POLLIN`, `POLLOUT` …
    events: i16,
}

impl PollAdd {
    /// Waits until the descriptor has bytes, or has ended.
    pub(crate) fn readable(fd: RawFd) -> Self {
        PollAdd { fd, events: libc::POLLIN }
    }

    /// Waits until the descriptor takes bytes.
    pub(crate) fn writable(fd: RawFd) -> Self {
        PollAdd { fd, events: libc::POLLOUT }
    }
}

// SAFETY: the entry has no pointer; the descriptor belongs to a type that closes it through the
// driver.
unsafe impl Op for PollAdd {
    type Output = io::Result<()>;
    const HOLDS_CLOCK: bool = false;

    fn prepare(&mut self, sqe: &mut Sqe) {
        sqe.opcode = opcode::POLL_ADD;
        sqe.fd = self.fd;
        sqe.op_flags = u32::from(self.events as u16);
    }

    fn complete(self, cqe: Cqe) -> io::Result<()> {
        cqe.into_result().map(drop)
    }
}
