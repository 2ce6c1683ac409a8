//! The loop as its users see it: making one, running it, looking into it, its end.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use crate::builder::Builder;
use crate::cancel::Cancelled;
use crate::context;
use crate::driver::ring::Ring;
use crate::driver::{InFlight, bufpool};
use crate::handle::Handle;
use crate::spin::Spin;
use crate::statistics::Statistics;
use crate::task::{JoinError, Task, TaskInfo};
use crate::time::clock::Clock;
use crate::turn::Core;

/// A completion-based, single-threaded event loop.
///
/// It owns an io_uring, the tasks spawned on it and their timers, and runs while
/// [`run_until_complete`](EventLoop::run_until_complete) does. It may run again afterwards; tasks
/// that were not complete go on then.
///
/// *Dropping* it drops every task, cancels every operation in flight and waits until the kernel
/// has let go of the last of them, at most as long as
/// [`shutdown_patience`](Builder::shutdown_patience) says; what is left then is leaked, never
/// freed, and logged.
///
/// # Examples
///
/// ```
/// let mut event_loop = uring_loop::EventLoop::new()?;
/// let answer = event_loop.run_until_complete(async { 6 * 7 }).unwrap();
/// assert_eq!(answer, 42);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct EventLoop {
    core: Rc<Core>,
    patience: Duration,
}

impl EventLoop {
    /// A loop with the default options.
    ///
    /// # Errors
    ///
    /// If the kernel refuses the ring; the error names the likely cause and the fix and carries a
    /// [`Refused`](crate::Refused). A bad `URING_LOOP_RING` is `InvalidInput`.
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// Options for a loop.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn assemble(
        ring: Ring,
        buffers: bufpool::Shape,
        clock: Clock,
        spin: Spin,
        patience: Duration,
    ) -> io::Result<Self> {
        let core = Core::new(ring, buffers, clock, spin)?;
        Ok(EventLoop { core: Rc::new(core), patience })
    }

    /// Runs `future` as the main task until it is complete, and everything else meanwhile.
    ///
    /// A panic of the main task goes on here, once its future is dropped.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if the main task was cancelled and nobody in it caught that.
    ///
    /// # Panics
    ///
    /// If a loop already runs on this thread, or if this process is a forked child of the one that
    /// made the loop.
    #[track_caller]
    pub fn run_until_complete<F: Future>(&mut self, future: F) -> Result<F::Output, Cancelled> {
        let location = Location::caller();
        let _entered = context::enter(&self.core);
        // SAFETY: the future may borrow from our caller. Before we return or unwind the task is
        // complete, hence its future dropped (`AbortOnDrop`), and its output taken or dropped
        // with the handle.
        let header = unsafe { self.core.tasks.spawn(future, location) };
        // SAFETY: fresh from `spawn`, with this output.
        let main = AbortOnDrop(unsafe { Task::<F::Output>::from_raw(header) });
        while !main.0.is_done() {
            self.core.turn(|| main.0.is_done());
        }
        match main.0.take_output() {
            Ok(output) => Ok(output),
            Err(JoinError::Cancelled) => Err(Cancelled::of_task()),
            Err(JoinError::Panicked(panic)) => std::panic::resume_unwind(panic),
        }
    }

    /// A handle for other threads.
    pub fn handle(&self) -> Handle {
        Handle::new(self.core.gate.clone())
    }

    /// What the loop has counted so far.
    pub fn statistics(&self) -> Statistics {
        Statistics::of(&self.core)
    }

    /// The operations the kernel has not finished with.
    pub fn in_flight(&self) -> Vec<InFlight> {
        self.core.driver.in_flight_table()
    }

    /// The tasks that are not complete, youngest first.
    pub fn tasks(&self) -> Vec<TaskInfo> {
        self.core.task_infos()
    }
}

/// Completes the main task on every way out.
struct AbortOnDrop<T>(Task<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        self.core.shut_down(self.patience);
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("id", &self.core.id)
            .field("driver", &self.core.driver)
            .field("tasks", &self.core.tasks.alive())
            .field("timers", &self.core.timers)
            .finish()
    }
}

/// Makes a loop, runs `future` on it, and shuts the loop down.
///
/// # Errors
///
/// If the kernel refuses the ring (see [`EventLoop::new`]), or, as `Interrupted`, if the main task
/// was cancelled.
///
/// # Panics
///
/// If a loop already runs on this thread; and with the panic of `future`.
///
/// # Examples
///
/// ```
/// let sum = uring_loop::run(async {
///     let task = uring_loop::spawn(async { 1 + 1 });
///     task.await.unwrap() + 1
/// })?;
/// assert_eq!(sum, 3);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "asyncio.run")]
#[doc(alias = "block_on")]
#[track_caller]
pub fn run<F: Future>(future: F) -> io::Result<F::Output> {
    Ok(EventLoop::new()?.run_until_complete(future)?)
}
