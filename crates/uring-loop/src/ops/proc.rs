//! Operations on processes: waiting for the end of a child.

use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, RawFd};
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;

use crate::driver::fd::Fd;
use crate::driver::ring::{Cqe, Sqe, opcode};
use crate::driver::{Driver, Op};
use crate::sys::process;

/// How long killed children are waited for, by blocking, when their loop ends first: a child dies
/// at once, if the kernel has not got it in hand. All children of a loop share this: they were
/// killed together, so what one was given the others have had too.
const DYING: Duration = Duration::from_millis(100);
/// What each has all the same: it may have been killed just now.
const LEAST: Duration = Duration::from_millis(1);

/// The patience with killed children that a loop has left at its end.
#[derive(Debug)]
pub(crate) struct LastWait(Cell<Duration>);

impl LastWait {
    pub(crate) const fn new() -> Self {
        LastWait(Cell::new(DYING))
    }

    /// Reaps a child whose loop is over. One that was killed is given the time to end, and uses the
    /// patience up if it does not.
    pub(crate) fn reap(&self, pidfd: RawFd, killed: bool) -> io::Result<Option<ExitStatus>> {
        if !killed {
            return process::try_wait(pidfd);
        }
        let patience = if mutant!("each-child-waited-for-anew") { DYING } else { self.0.get() };
        let status = process::reap(pidfd, patience.max(LEAST));
        if matches!(status, Ok(None)) {
            self.0.set(Duration::ZERO);
        }
        status
    }
}

/// `IORING_OP_WAITID` (6.7): waits for the end of a child and reaps it. Below that a poll of its
/// pidfd tells of the end (5.3), and waitid(2) reaps, which does not wait any more then.
///
/// The loop's end cancels it. Then the child is reaped if it has ended, and one that was killed is
/// given the time to; otherwise it stays.
pub(crate) struct ChildExit {
    pidfd: Rc<Fd>,
    killed: Rc<Cell<bool>>,
    by_poll: bool,
    info: MaybeUninit<libc::siginfo_t>,
}

impl ChildExit {
    pub(crate) fn new(driver: &Driver, pidfd: Rc<Fd>, killed: Rc<Cell<bool>>) -> Self {
        let by_poll = !driver.supports(opcode::WAITID);
        ChildExit { pidfd, killed, by_poll, info: MaybeUninit::zeroed() }
    }

    fn cut_short(self) -> io::Result<ExitStatus> {
        let last_wait = self.pidfd.driver().last_wait();
        let status = last_wait.reap(self.pidfd.as_raw_fd(), self.killed.get())?;
        status.ok_or_else(|| io::Error::from_raw_os_error(libc::ECANCELED))
    }
}

// SAFETY: the entry points to the siginfo in `self`, which the kernel may write until the end. The
// descriptor is closed through the driver, behind the entry.
unsafe impl Op for ChildExit {
    type Output = io::Result<ExitStatus>;
    /// Who waits for it holds the clock.
    const HOLDS_CLOCK: bool = false;

    fn prepare(&mut self, sqe: &mut Sqe) {
        sqe.fd = self.pidfd.as_raw_fd();
        if self.by_poll {
            sqe.opcode = opcode::POLL_ADD;
            sqe.op_flags = u32::from(libc::POLLIN as u16);
            return;
        }
        sqe.opcode = opcode::WAITID;
        sqe.len = libc::P_PIDFD;
        sqe.file_index = libc::WEXITED;
        sqe.off = self.info.as_mut_ptr().expose_provenance() as u64;
    }

    fn complete(self, cqe: Cqe) -> io::Result<ExitStatus> {
        if -cqe.result == libc::ECANCELED {
            return self.cut_short();
        }
        cqe.into_result()?;
        if self.by_poll {
            let status = process::try_wait(self.pidfd.as_raw_fd())?;
            // Told of something else than its end: to be asked again.
            return status.ok_or_else(|| io::Error::from_raw_os_error(libc::EAGAIN));
        }
        // SAFETY: all zeroes at first, which is valid; since then the kernel may have written it.
        let info = unsafe { self.info.assume_init() };
        Ok(process::status(&info))
    }
}
