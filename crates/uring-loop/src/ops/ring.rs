//! Operations on the ring itself and on any descriptor: nothing, and waiting for readiness.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

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

/// `IORING_OP_LINK_TIMEOUT` (5.5): limits the time of the operation before it in a
/// [chain](crate::op::Driver::chain). When the time is over, that operation is cancelled.
///
/// The time runs in the kernel, from the start of the watched operation, on the real clock (a
/// virtual clock waits for it).
///
/// Its output is whether the time was over first. If it was, the kernel reports the watched
/// operation as `ECANCELED`; the rest of the chain too.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use uring_loop::op::{Driver, LinkTimeout, Nop};
///
/// uring_loop::run(async {
///     let limit = LinkTimeout::after(Duration::from_secs(1));
///     let (nop, expired) = Driver::current().chain((Nop, limit)).await;
///     assert!(nop.is_ok() && !expired.unwrap());
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct LinkTimeout(Timespec);

/// `struct __kernel_timespec`.
#[derive(Debug)]
#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

impl LinkTimeout {
    /// The operation before it may take so long.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        LinkTimeout(Timespec {
            seconds: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: i64::from(limit.subsec_nanos()),
        })
    }
}

// SAFETY: the entry points into `self`, which the kernel reads while it takes the entry in.
unsafe impl Op for LinkTimeout {
    type Output = io::Result<bool>;

    fn prepare(&mut self, sqe: &mut Sqe) {
        sqe.opcode = opcode::LINK_TIMEOUT;
        sqe.fd = -1;
        sqe.addr = (&raw const self.0).expose_provenance() as u64;
        sqe.len = 1;
    }

    fn complete(self, cqe: Cqe) -> io::Result<bool> {
        match -cqe.result {
            // EALREADY: over, but the operation was past the point where it can be stopped.
            libc::ETIME | libc::EALREADY => Ok(true),
            // ENOENT: it completed while the time ran out.
            libc::ECANCELED | libc::ENOENT => Ok(false),
            _ => cqe.into_result().map(|_| false),
        }
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

    /// Waits until nobody is at the other end any more.
    pub(crate) fn deserted(fd: RawFd) -> Self {
        // POLLERR and POLLHUP are told without being asked for.
        PollAdd { fd, events: 0 }
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

/// The same on a descriptor of somebody else's, which it keeps open.
#[derive(Debug)]
pub(crate) struct PollKept<F> {
    poll: PollAdd,
    _kept: F,
}

impl<F: AsFd> PollKept<F> {
    pub(crate) fn readable(kept: F) -> Self {
        PollKept { poll: PollAdd::readable(kept.as_fd().as_raw_fd()), _kept: kept }
    }

    pub(crate) fn writable(kept: F) -> Self {
        PollKept { poll: PollAdd::writable(kept.as_fd().as_raw_fd()), _kept: kept }
    }
}

// SAFETY: the entry has no pointer. What lends the descriptor lives as long as the operation, and
// has lent it for as long as it lives and nobody has it mutably (`AsFd`).
unsafe impl<F: 'static> Op for PollKept<F> {
    type Output = io::Result<()>;
    const HOLDS_CLOCK: bool = false;

    fn prepare(&mut self, sqe: &mut Sqe) {
        self.poll.prepare(sqe);
    }

    fn complete(self, cqe: Cqe) -> io::Result<()> {
        self.poll.complete(cqe)
    }
}
