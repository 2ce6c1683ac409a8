//! `Doorbell`: lets an event loop collect a process pool's results, in place of a thread.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;

use super::hub::Hub;

/// A descriptor that is readable when a process pool has results to collect; made by
/// [`ProcessPool::doorbell`](crate::ProcessPool::doorbell).
///
/// # Contract
///
/// While a doorbell exists its owner collects: whenever the descriptor is readable (`POLLIN`) call
/// [`reap`](Doorbell::reap), on any thread. It never blocks; it ends jobs and wakes their wakers on
/// the calling thread. Readiness is level-triggered: the descriptor stays readable until all is
/// reaped, so nothing is lost if it is polled late or by several. Never read from it.
///
/// Without a doorbell the pool starts a thread of its own for jobs that are awaited; with one it
/// does not, so jobs make no progress while the owner does not reap. Threads in
/// [`Job::wait`](crate::Job::wait) collect for themselves either way. Dropping the doorbell gives
/// the work back to the pool.
///
/// # Examples
///
/// ```
/// use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
/// use std::os::fd::AsFd;
/// use pool::{JobState, ProcessPool};
///
/// fn main() -> std::io::Result<()> {
///     pool::init();
///     let pool = ProcessPool::new()?;
///     let bell = pool.doorbell();
///     let job = pool.submit(|n: u64| n * n, (12,));
///     while job.state() != JobState::Done {
///         poll(&mut [PollFd::new(bell.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
///         bell.reap();
///     }
///     assert_eq!(job.wait(), Ok(144));
///     Ok(())
/// }
/// ```
///
/// On an event loop a task does that, here on uring-loop's:
///
/// ```
/// use std::sync::Arc;
/// use pool::ProcessPool;
/// use uring_loop::io::wait_readable;
///
/// fn main() -> std::io::Result<()> {
///     pool::init();
///     let pool = ProcessPool::new()?;
///     let bell = Arc::new(pool.doorbell());
///     uring_loop::run(async {
///         let collector = uring_loop::spawn(async move {
///             while wait_readable(bell.clone()).await.is_ok() {
///                 bell.reap();
///             }
///         });
///         assert_eq!(pool.submit(|n: u64| n * n, (12,)).await, Ok(144));
///         collector.cancel();
///     })
/// }
/// ```
pub struct Doorbell {
    hub: Arc<Hub>,
}

impl Doorbell {
    pub(super) fn new(hub: Arc<Hub>) -> Doorbell {
        if hub.reapers.attach() {
            hub.kick.kick();
        }
        Doorbell { hub }
    }

    /// Collects what has come, without blocking, and wakes those who wait for it. Returns how many
    /// jobs have ended.
    pub fn reap(&self) -> usize {
        self.hub.reap(false)
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.hub.bell()
    }
}

impl AsRawFd for Doorbell {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        if self.hub.reapers.detach() {
            self.hub.start_collector();
        }
    }
}

impl fmt::Debug for Doorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doorbell").field("fd", &self.as_raw_fd()).finish()
    }
}
