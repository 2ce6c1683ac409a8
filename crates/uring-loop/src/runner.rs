//! Running a program: a loop, its main future, and an orderly end of all the others.

use std::cell::RefCell;
use std::future::IntoFuture;
use std::io;

use crate::EventLoop;
use crate::locals::{Lent, Locals};

/// Makes a loop, runs `future` on it, brings the tasks that are left to an end, and shuts the loop
/// down.
///
/// The end is that of [`Runner`]: whatever task is left is cancelled and waited for.
///
/// # Errors
///
/// If the kernel refuses the ring (see [`EventLoop::new`]), or, as `Interrupted`, if the main task
/// was cancelled or Ctrl+C pressed.
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
pub fn run<F: IntoFuture>(future: F) -> io::Result<F::Output> {
    Runner::new()?.run(future)
}

/// Runs futures one after the other on one loop, and brings what is left to an orderly end.
///
/// When it is dropped, or by [`close`](Runner::close), every task that is left is cancelled
/// ([`Task::cancel`](crate::Task::cancel)) and the loop runs until all have ended, at most for
/// [`shutdown_patience`](crate::Builder::shutdown_patience); those that have not are dropped where
/// they wait and reported. Callbacks go on meanwhile, and what is due at the end still runs, as
/// [`EventLoop::finish`] says. Then the loop is dropped.
///
/// # Examples
///
/// ```
/// use uring_loop::{Runner, catch_cancel, spawn};
///
/// let mut runner = Runner::new()?;
/// runner.run(async {
///     drop(spawn(async {
///         let cancelled = catch_cancel(std::future::pending::<()>()).await;
///         println!("the run is over: {cancelled:?}");
///     }));
///     uring_loop::yield_now().await;
/// })?;
/// assert_eq!(runner.run(async { "the same loop again" })?, "the same loop again");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "asyncio.Runner")]
pub struct Runner {
    event_loop: EventLoop,
    /// What main tasks leave to the next.
    locals: RefCell<Locals>,
}

impl Runner {
    /// One with a new loop.
    ///
    /// # Errors
    ///
    /// Those of [`EventLoop::new`].
    pub fn new() -> io::Result<Self> {
        Ok(Runner::with(EventLoop::new()?))
    }

    /// One with this loop.
    pub fn with(event_loop: EventLoop) -> Self {
        Runner { event_loop, locals: RefCell::default() }
    }

    /// Runs `future` until it is complete.
    ///
    /// The task-locals that it sets are there in the next run, too.
    ///
    /// On the thread of `main`, unless somebody else has taken SIGINT, the first Ctrl+C cancels the
    /// main task, which may clean up; the second ends the run at once, and what is left is dropped.
    /// If the loop stands still and has not seen the first, the second ends the process, as it
    /// would without a handler. See [`Builder::ctrl_c`](crate::Builder::ctrl_c).
    ///
    /// # Errors
    ///
    /// [`RunError`](crate::RunError), as an `io::Error`: `Interrupted` if the main task was
    /// cancelled or Ctrl+C pressed, `Other` if the loop was stopped before.
    ///
    /// # Panics
    ///
    /// If a loop already runs on this thread; and with the panic of `future`.
    #[track_caller]
    pub fn run<F: IntoFuture>(&mut self, future: F) -> io::Result<F::Output> {
        let ctrl_c = self.event_loop.ctrl_c();
        let locals = &self.locals;
        let main = async move {
            let _lent = Lent::new(locals);
            future.await
        };
        Ok(self.event_loop.run_main(main, ctrl_c)?)
    }

    /// The loop.
    pub fn event_loop(&mut self) -> &mut EventLoop {
        &mut self.event_loop
    }

    /// Brings the tasks to their end and closes the loop. Dropping the runner does the same.
    pub fn close(self) {}
}

impl Drop for Runner {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Other tasks are not run in the middle of a panic; they are dropped with the loop.
            return;
        }
        self.event_loop.finish();
    }
}
