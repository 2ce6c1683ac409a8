//! `ProcessPool`: an executor whose workers are processes.
//!
//! Parent's side: `hub` (queue, replies), `dispatch` (who gets what), `link` (one worker's
//! line), `receive` (what it answers), `call` and `cell` (one job), `reapers` (who collects),
//! `lead` and `kick` (how), `telling` (who hears of it), `doorbell`, `supervisor` and `upkeep`
//! (who comes and goes), `spawn`, `statistics`. Worker's side: `init`, `worker`, `line`,
//! `limits`. Both: `ship` and `image` (functions), `codec` and `wire` (bytes), `claim`,
//! `diary`, `ring` and `page` (shared memory), `futex`, `sys`. `raw` takes calls as bytes.

mod builder;
mod call;
mod cell;
mod claim;
pub(crate) mod codec;
mod diary;
mod dispatch;
mod doorbell;
mod futex;
#[cfg(any(test, fuzz))]
pub mod fuzzing;
mod hub;
mod image;
mod init;
mod kick;
mod lead;
mod limits;
mod line;
mod link;
mod page;
pub(crate) mod raw;
mod reapers;
mod receive;
mod ring;
mod shared;
mod ship;
mod spawn;
mod statistics;
mod supervisor;
mod sys;
mod telling;
mod upkeep;
mod wire;
mod worker;

use std::any::type_name;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub use builder::ProcessPoolBuilder;
use call::{Answer, Call};
use cell::Remote;
pub use doorbell::Doorbell;
use hub::Hub;
pub use init::init;
pub use shared::{SharedBuf, SharedBufMut};
pub use statistics::{PoolState, Statistics, WorkerState, WorkerStatistics};
pub(crate) use telling::is_telling_some;

use crate::error::JobError;
use crate::executor::{Executor, Task, Wire};
use crate::job::{Job, Outcome};
use crate::map::{Chunk, Chunking, Map};
use crate::options::JobOptions;

/// Runs jobs in worker processes: this very program, started again. The pool for work that may
/// crash, that must not share memory, or that calls libraries which cannot bear threads.
///
/// A worker that dies (a segmentation fault, `abort`, the kernel out of memory) costs the job it
/// was running, which ends as [`JobError::WorkerDied`] with the process id and the signal or exit
/// code. Jobs that waited in its queue go to others, and a new worker is started. A panic is
/// caught, as [`JobError::Panicked`], and the worker goes on.
///
/// [`init`] must be the first call in `main`. Functions are `fn` items or closures that capture
/// nothing; arguments and results are whatever serde can write and read. Workers start on demand,
/// with the environment and working directory the parent has then, but with none of its memory:
/// what the parent's globals hold they do not see. Handing over a job costs some microseconds, and
/// waking a sleeping worker more, so let a job take longer, or use [`map`](ProcessPool::map), which
/// sends items in chunks. Bytes by the megabyte go in a [`SharedBuf`]: they are not encoded.
///
/// Dropping the pool is `shutdown(true, false)`: it waits for the jobs that were submitted. (While
/// a panic unwinds it cancels those no worker has started.) Workers do not outlive the parent,
/// however that ends.
///
/// A program that forks itself, into the background say, makes its pools afterwards: a pool's
/// threads and workers stay with the process that made it.
///
/// # Examples
///
/// ```
/// use pool::{Exit, JobError, ProcessPool};
///
/// fn main() -> std::io::Result<()> {
///     pool::init();
///     let pool = ProcessPool::new()?;
///     let sum = pool.submit(|a: u64, b: u64| a + b, (2, 3));
///     let crash = pool.submit(|| std::process::abort(), ());
///     assert_eq!(sum.wait(), Ok(5));
///     let error: Result<(), JobError> = crash.wait();
///     assert!(matches!(error, Err(JobError::WorkerDied(death)) if death.exit == Exit::Signal(6)));
///     Ok(())
/// }
/// ```
#[doc(alias = "ProcessPoolExecutor")]
#[doc(alias = "multiprocessing")]
pub struct ProcessPool {
    hub: Arc<Hub>,
}

impl ProcessPool {
    /// A pool with a worker for each core this process may use
    /// ([`std::thread::available_parallelism`]).
    ///
    /// # Errors
    ///
    /// If [`init`] was not called, and as [`ProcessPoolBuilder::build`].
    pub fn new() -> io::Result<ProcessPool> {
        Self::builder().build()
    }

    /// A pool with settings of your own.
    pub fn builder() -> ProcessPoolBuilder {
        ProcessPoolBuilder::new()
    }

    /// Gives the call `f(args...)` to the pool; never blocks for a worker.
    ///
    /// `f` must capture nothing, or it does not compile: what it captured would stay behind.
    /// Arguments that cannot be encoded end this job as [`JobError::Encode`]. A pool that takes no
    /// more jobs answers with a job that has ended with the reason ([`JobError::PoolShutdown`] or
    /// [`JobError::Broken`]).
    ///
    /// ```compile_fail
    /// # fn main() -> std::io::Result<()> {
    /// # pool::init();
    /// # let pool = pool::ProcessPool::new()?;
    /// let factor: u64 = std::env::args().count() as u64;
    /// drop(pool.submit(move |n: u64| n * factor, (2,))); // captures: pass it as an argument
    /// # Ok(())
    /// # }
    /// ```
    pub fn submit<F, A, R>(&self, f: F, args: A) -> Job<R>
    where
        F: Task<A, Output = R>,
        A: Wire,
        R: Wire,
    {
        self.submit_with(JobOptions::new(), f, args)
    }

    /// [`submit`](Self::submit) with a timeout, a deadline, retries, a name or a priority.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use pool::{JobError, JobOptions, ProcessPool};
    ///
    /// fn main() -> std::io::Result<()> {
    ///     pool::init();
    ///     let pool = ProcessPool::new()?;
    ///     let options = JobOptions::new().timeout(Duration::from_millis(50));
    ///     let stuck = pool.submit_with(options, || std::thread::sleep(Duration::MAX), ());
    ///     let error: JobError = stuck.wait().unwrap_err();
    ///     assert!(matches!(error, JobError::TimedOut(_)));
    ///     assert_eq!(pool.submit(|| 1, ()).wait(), Ok(1)); // the pool goes on
    ///     Ok(())
    /// }
    /// ```
    pub fn submit_with<F, A, R>(&self, options: JobOptions, f: F, args: A) -> Job<R>
    where
        F: Task<A, Output = R>,
        A: Wire,
        R: Wire,
    {
        let task = type_name::<F>();
        let mut arguments = Vec::new();
        let call = ship::single(f).and_then(|entry| {
            let (encoded, memory) = shared::sending(|| codec::append(&args, &mut arguments));
            encoded.map_err(|why| codec::error_of(task, codec::Tag::Unsent, why.as_bytes()))?;
            let before = Answer::default();
            Ok(Call { entry, arguments, memory, chunk: false, timed: false, before })
        });
        send(&self.hub, task, options, call, codec::result::<R>)
    }

    /// Applies `f` to every item, on all workers at once; results come in the order of the items.
    /// See [`Map`] for what it reads ahead and what an error does.
    ///
    /// # Examples
    ///
    /// ```
    /// fn main() -> std::io::Result<()> {
    ///     pool::init();
    ///     let pool = pool::ProcessPool::new()?;
    ///     let squares: Result<Vec<u64>, _> = pool.map(|n: u64| n * n, 1..=4).collect();
    ///     assert_eq!(squares.unwrap(), [1, 4, 9, 16]);
    ///     Ok(())
    /// }
    /// ```
    pub fn map<F, T, R, I>(&self, f: F, items: I) -> Map<I::IntoIter, R>
    where
        F: Task<(T,), Output = R>,
        I: IntoIterator<Item = T>,
        T: Wire,
        R: Wire,
    {
        let task = type_name::<F>();
        let hub = Arc::clone(&self.hub);
        let submit = move |options: JobOptions, chunk: Vec<T>| -> (Job<Chunk<R>>, usize) {
            let timed = options.timeout.is_some();
            let items: Vec<(T,)> = chunk.into_iter().map(|item| (item,)).collect();
            let call = ship::chunked::<F, (T,), R>(f).and_then(|entry| {
                let (arguments, memory) = shared::sending(|| codec::chunk_of_items(&items));
                let arguments = arguments.map_err(|why| JobError::encode(task, why))?;
                let before = Answer::default();
                Ok(Call { entry, arguments, memory, chunk: true, timed, before })
            });
            let buffers = call.as_ref().map_or(0, |call| call.memory.len());
            let most = (items.len() * shared::MOST).checked_div(buffers);
            let job = send(&hub, task, options, call, codec::chunk_of_results::<R>);
            // So many items like these can go together; less, for they may differ.
            (job, most.map_or(usize::MAX, |most| (most / 2).max(1)))
        };
        Map::new(items.into_iter(), self.hub.limit, Chunking::ItemsAreApart, submit)
    }

    /// Takes no more jobs. Those submitted before still run, unless `cancel_pending`: then the
    /// ones no worker has started end as [`JobError::Cancelled`]. With `wait` it returns when all
    /// jobs have ended and the worker processes are gone, else at once.
    pub fn shutdown(&self, wait: bool, cancel_pending: bool) {
        self.hub.shutdown(wait, cancel_pending);
    }

    /// [`shutdown`](Self::shutdown) that waits, but not for ever: jobs that have not ended after
    /// `limit` are cancelled, or killed with their workers if they run. Returns whether all ended
    /// by themselves. With a `limit` of zero it ends everything at once.
    #[doc(alias = "kill_workers")]
    #[doc(alias = "terminate_workers")]
    pub fn shutdown_within(&self, limit: Duration, cancel_pending: bool) -> bool {
        self.hub.shutdown_within(limit, cancel_pending)
    }

    /// What the pool is doing, worker by worker.
    ///
    /// # Examples
    ///
    /// ```
    /// fn main() -> std::io::Result<()> {
    ///     pool::init();
    ///     let pool = pool::ProcessPool::new()?;
    ///     pool.submit(|| 1, ()).wait().unwrap();
    ///     for worker in pool.statistics().workers {
    ///         println!("{}: {:?} for {:?}", worker.pid, worker.state, worker.since);
    ///     }
    ///     assert_eq!(pool.statistics().done, 1);
    ///     Ok(())
    /// }
    /// ```
    pub fn statistics(&self) -> Statistics {
        let mut statistics = self.hub.lock().statistics();
        for worker in &mut statistics.workers {
            worker.memory = statistics::resident(worker.pid);
        }
        statistics
    }

    /// How many worker processes there are when all are needed.
    pub fn workers(&self) -> usize {
        self.hub.limit
    }

    /// Lets an event loop collect the results, in place of a thread of the pool's. See
    /// [`Doorbell`] for the contract.
    pub fn doorbell(&self) -> Doorbell {
        Doorbell::new(Arc::clone(&self.hub))
    }
}

fn send<R: 'static>(
    hub: &Arc<Hub>,
    task: &'static str,
    options: JobOptions,
    call: Result<Call, JobError>,
    decode: fn(&str, &[u8]) -> Outcome<R>,
) -> Job<R> {
    let cell = hub.submit(task, options, call);
    Job::new(Arc::new(Remote { cell, decode }))
}

impl Executor for ProcessPool {
    fn submit_with<F, A, R>(&self, options: JobOptions, f: F, args: A) -> Job<R>
    where
        F: Task<A, Output = R>,
        A: Wire,
        R: Wire,
    {
        ProcessPool::submit_with(self, options, f, args)
    }

    fn map<F, T, R, I>(&self, f: F, items: I) -> Map<I::IntoIter, R>
    where
        F: Task<(T,), Output = R>,
        I: IntoIterator<Item = T>,
        T: Wire,
        R: Wire,
    {
        ProcessPool::map(self, f, items)
    }

    fn shutdown(&self, wait: bool, cancel_pending: bool) {
        ProcessPool::shutdown(self, wait, cancel_pending);
    }

    fn workers(&self) -> usize {
        ProcessPool::workers(self)
    }
}

impl Drop for ProcessPool {
    fn drop(&mut self) {
        self.shutdown(true, std::thread::panicking());
    }
}

impl fmt::Debug for ProcessPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.hub.lock();
        let pids: Vec<u32> = state.workers.iter().map(|worker| worker.pid).collect();
        f.debug_struct("ProcessPool")
            .field("id", &self.hub.id)
            .field("limit", &self.hub.limit)
            .field("pids", &pids)
            .field("backlog", &state.backlog.len())
            .field("at_workers", &state.unanswered())
            .field("broken", &state.broken)
            .finish_non_exhaustive()
    }
}
