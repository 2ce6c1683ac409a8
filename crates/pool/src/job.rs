//! `Job`: the handle of work given to a pool, the same for threads and processes.
//!
//! What backs it is a `Backing`: for a thread pool the cell that holds the closure and then its
//! result (`thread/call.rs`), for a process pool the cell of a job on its way through a worker
//! process (`process/cell.rs`).

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::error::JobError;
use crate::watch::{self, Watcher};

/// What a job ended with.
pub(crate) type Outcome<R> = Result<R, JobError>;

/// The other side of a [`Job`]. One handle, so one taker: `poll` and `wait` give the outcome once.
pub(crate) trait Backing<R>: Send + Sync {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Outcome<R>>;
    /// `None` when the deadline passed first.
    fn wait(&self, deadline: Option<Instant>) -> Option<Outcome<R>>;
    fn cancel(&self) -> bool;
    /// `cancel`, and ends the worker that runs the job. `false` if that is not possible.
    fn kill(&self) -> bool;
    fn state(&self) -> JobState;
    /// Whether it ended with an error other than `Cancelled` that is known without its result.
    fn failed(&self) -> bool;
    /// Has the watcher told when the job ends; gives it back if the job has ended.
    fn watch(&self, watcher: Watcher) -> Option<Watcher>;
    /// On a worker of the job's own pool, runs it here if it is pending. Returns whether it did.
    fn help(&self) -> bool;
    /// Panics if this thread may not block for the job: see `process/telling.rs`.
    fn refuse_to_wait_if_told(&self) {}
}

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// No worker has started it; it can be cancelled.
    Pending,
    /// A worker has started it. Unlike in Python's pools this is never said of a job that only
    /// waits in a worker's queue.
    Running,
    /// It has ended: with a result, or with an error other than `Cancelled`.
    Done,
    /// It was cancelled before it started.
    Cancelled,
}

/// A piece of work given to a pool: wait for it with [`wait`](Job::wait), or `.await` it under any
/// executor.
///
/// Dropping a job does not cancel it: the work is done all the same and its result dropped. (Unless
/// [`cancel_on_drop`](Job::cancel_on_drop) or [`kill_on_drop`](Job::kill_on_drop) was called.)
///
/// # Cancel safety
///
/// Awaiting is Strict: dropping the job stops the waiting, never the work, and `&mut job` can be
/// awaited in a `select` over and over without losing the result. To stop work that has not
/// started, call [`cancel`](Job::cancel).
///
/// # Panics
///
/// Polled again after it gave its result, as other futures; so does [`wait_timeout`] after that.
///
/// [`wait_timeout`]: Job::wait_timeout
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use pool::{JobError, ThreadPool};
///
/// let pool = ThreadPool::new();
/// let mut slow = pool.spawn(|| {
///     std::thread::sleep(Duration::from_millis(50));
///     "done"
/// });
/// // For a while, and then to the end; in async code: `slow.await`.
/// let early = slow.wait_timeout(Duration::from_millis(1));
/// assert_eq!(early.unwrap_or_else(|| slow.wait()), Ok("done"));
///
/// let broken = pool.spawn(|| -> u32 { panic!("no tea") });
/// assert!(matches!(broken.wait(), Err(JobError::Panicked(panic)) if panic.message == "no tea"));
/// ```
#[must_use = "a dropped job still runs, but its result and its error are lost"]
pub struct Job<R> {
    backing: Arc<dyn Backing<R>>,
    on_drop: OnDrop,
}

/// What dropping the handle does to the job.
#[derive(Clone, Copy, Debug)]
enum OnDrop {
    Nothing,
    Cancel,
    Kill,
}

impl<R> Job<R> {
    pub(crate) fn new(backing: Arc<dyn Backing<R>>) -> Job<R> {
        Job { backing, on_drop: OnDrop::Nothing }
    }

    pub(crate) fn share_backing(&self) -> Arc<dyn Backing<R>> {
        Arc::clone(&self.backing)
    }

    pub(crate) fn backing(&self) -> &dyn Backing<R> {
        &*self.backing
    }

    /// Waits until the job has ended, and gives its result.
    ///
    /// On a worker of the thread pool the job was given to, a job that no worker has started yet
    /// is run here and now: jobs that wait for jobs of their own pool never lock it up, however
    /// few workers it has. (So does a poll on such a thread.)
    ///
    /// On an event loop's thread use `.await`: this blocks.
    ///
    /// # Errors
    ///
    /// The job's own fate, see [`JobError`].
    ///
    /// # Panics
    ///
    /// In a function given to [`on_done`](Self::on_done), for another job of the same process pool
    /// that has not ended.
    pub fn wait(self) -> Result<R, JobError> {
        self.backing.wait(None).expect("a wait without deadline ends with the job")
    }

    /// Waits until the job has ended, at most for `limit`; `None` if it has not by then. The job
    /// goes on, and can be waited for again.
    ///
    /// Unlike [`wait`](Job::wait) it does not run a pending job itself, for that could take longer
    /// than the limit.
    pub fn wait_timeout(&mut self, limit: Duration) -> Option<Result<R, JobError>> {
        match Instant::now().checked_add(limit) {
            Some(deadline) => self.backing.wait(Some(deadline)),
            // Longer than the clock can say is for ever.
            None => self.backing.wait(None),
        }
    }

    /// Cancels the job if no worker has started it: then it never runs, and ends as
    /// [`JobError::Cancelled`]. Returns whether the job is cancelled; `false` means it runs or has
    /// ended, and nothing was changed.
    pub fn cancel(&self) -> bool {
        self.backing.cancel()
    }

    /// Ends the job even if it runs: the worker process that runs it is killed (`SIGKILL`, with the
    /// processes it started that are still in its group), and a new one is started. Other jobs are
    /// not touched: those in that worker's queue go to others. The job ends as
    /// [`JobError::Killed`] when the process is gone; if it finished just before, with its result.
    ///
    /// A job that has not started is cancelled. Returns whether the job is cancelled or its worker
    /// is being killed; `false` if it has ended, and for a running job of a thread pool: a thread
    /// cannot be killed.
    #[doc(alias = "terminate_workers")]
    pub fn kill(&self) -> bool {
        self.backing.kill()
    }

    /// Calls `f` when the job has ended, on the thread that learns of it; at once, here, if it has
    /// ended already. Functions given one after the other are called in that order. `f` should be
    /// short: for a process pool other results wait meanwhile. A panic in it is printed and
    /// dropped.
    ///
    /// `f` may submit jobs, kill them, and drop the pool (which then ends by itself, later). It
    /// cannot wait for another job of the same process pool: its own thread may be the one that
    /// would bring the result, so such a wait panics.
    ///
    /// The state says whether it was cancelled; the result stays in the job.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use pool::{JobState, ThreadPool};
    ///
    /// let pool = ThreadPool::new();
    /// let (ended, wait) = mpsc::channel();
    /// let job = pool.spawn(|| 6 * 7);
    /// job.on_done(move |state| ended.send(state).unwrap());
    /// assert_eq!(wait.recv(), Ok(JobState::Done));
    /// assert_eq!(job.wait(), Ok(42));
    /// ```
    #[doc(alias = "add_done_callback")]
    pub fn on_done(&self, f: impl FnOnce(JobState) + Send + 'static) {
        if let Some(watcher) = self.backing.watch(Box::new(f)) {
            watch::call(watcher, self.state());
        }
    }

    /// From now on, dropping the job [cancels](Job::cancel) it: what is not awaited to its end and
    /// has not started is not done.
    pub fn cancel_on_drop(mut self) -> Self {
        self.on_drop = OnDrop::Cancel;
        self
    }

    /// From now on, dropping the job [kills](Job::kill) it. In a thread pool this is
    /// [`cancel_on_drop`](Job::cancel_on_drop).
    pub fn kill_on_drop(mut self) -> Self {
        self.on_drop = OnDrop::Kill;
        self
    }

    /// Where the job is in its life. Of use for display: it may have moved on when you look.
    pub fn state(&self) -> JobState {
        self.backing.state()
    }
}

impl<R> Future for Job<R> {
    type Output = Result<R, JobError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.backing.poll(cx)
    }
}

impl<R> Drop for Job<R> {
    fn drop(&mut self) {
        match self.on_drop {
            OnDrop::Nothing => {}
            OnDrop::Cancel => drop(self.backing.cancel()),
            OnDrop::Kill => drop(self.backing.kill()),
        }
    }
}

impl<R> fmt::Debug for Job<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("state", &self.state()).finish()
    }
}

/// Notes in a job's slot whom to wake, unless that is noted already. What it gives is somebody
/// else's code: it is dropped when the slot's lock is released.
#[must_use = "it is dropped under the lock"]
#[inline]
pub(crate) fn note_waker(place: &mut Option<Waker>, cx: &Context<'_>) -> Option<Waker> {
    match place {
        Some(waker) if waker.will_wake(cx.waker()) => None,
        other => other.replace(cx.waker().clone()),
    }
}

/// The sentence for a job asked for its result twice.
pub(crate) const TAKEN: &str = "job was polled or waited for after it gave its result";
