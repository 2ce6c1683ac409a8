//! `RemotePool`: an executor whose workers are on other machines.
//!
//! `book` decides (pure; `entry` is one job of it), `hub` is what handle, jobs and thread share,
//! `bridge` is the thread that talks to the server, `builder` connects, `statistics` tells.

mod book;
mod bridge;
mod builder;
mod entry;
mod hub;
mod statistics;

use std::any::type_name;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use builder::RemotePoolBuilder;
use hub::Hub;
use pool::foreign;
use pool::{Executor, Job, JobOptions, Map, Task, Wire};
pub use statistics::{AgentStatistics, RemoteStatistics};

use crate::functions::Functions;
use crate::queue::Queue;

/// What a chunk of a map should take: long against the way to another machine and back.
const CHUNK: Duration = Duration::from_millis(10);
/// A map reads ahead as if there were at least so many workers: it may begin before any agent has
/// been heard of.
const FEW: usize = 4;

/// Runs jobs on other machines: in the process pools of the [agents](crate::Agent) that take jobs
/// from the same [`Queue`]. Written against [`Executor`], code runs on threads, on processes and on
/// machines.
///
/// Jobs are futures like those of the other pools. What is different:
///
/// * Functions are called by name, so they are to be among the [`Functions`] the pool was made
///   with. Others end as [`JobError::Encode`](pool::JobError::Encode).
/// * A job that was [added](Functions::add) plainly runs once or not at all: if its agent is lost
///   it ends as [`JobError::Lost`](pool::JobError::Lost). One that is
///   [idempotent](Functions::add_idempotent) is run by another agent then, and has one result
///   however often it ran.
/// * [`JobError::Refused`](pool::JobError::Refused) says that an agent would not run it: it has no
///   function of that name, or one of another shape.
/// * If a worker dies under a job, that is known at once, and [`JobOptions::retries`] says how
///   often the job is put back into the queue, for whoever takes it next.
/// * [`JobOptions::deadline`] is kept here, also while the server is away.
///   [`JobOptions::timeout`] is kept by the agent, and counts from the start.
/// * [`JobOptions::priority`] puts jobs in order among those that one agent has in hand.
/// * [`Job::state`] and [`Job::cancel`] go by what is known here, half a second ago: a job may be
///   cancelled as it starts, and is killed then. One that runs once and was granted to an agent is
///   not cancelled any more. A cancelled job that no agent has taken leaves no trace in the queue.
/// * [`SharedBuf`](pool::SharedBuf)s do not leave their machine.
///
/// Dropping the pool is `shutdown(true, false)`: it waits for the jobs that were submitted. (While
/// a panic unwinds it cancels those not known to run.)
///
/// # Examples
///
/// ```no_run
/// use pool::Executor;
/// use pool_nats::{Functions, Queue, RemotePool};
///
/// fn is_prime(n: u64) -> bool {
///     n > 1 && (2..=n.isqrt()).all(|divisor| n % divisor != 0)
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     pool::init();
///     let functions = Functions::new().add_idempotent("is_prime", is_prime);
///     let queue = Queue::new("nats://queue.example.org", "primes");
///     let pool = RemotePool::connect(queue, functions)?;
///     println!("97 is prime: {}", pool.submit(is_prime, (97,)).wait()?);
///     let count = pool.map(is_prime, 1..1_000_000).filter(|prime| *prime == Ok(true)).count();
///     println!("{count} primes below a million");
///     Ok(())
/// }
/// ```
pub struct RemotePool {
    hub: Arc<Hub>,
}

impl RemotePool {
    /// Connects with the settings there are: no deadline, 10 s of silence, 3 losses. See
    /// [`RemotePoolBuilder::connect`].
    ///
    /// # Errors
    ///
    /// As [`RemotePoolBuilder::connect`].
    pub fn connect(queue: Queue, functions: Functions) -> std::io::Result<RemotePool> {
        Self::builder(queue, functions).connect()
    }

    /// A pool with settings of your own.
    pub fn builder(queue: Queue, functions: Functions) -> RemotePoolBuilder {
        RemotePoolBuilder::new(queue, functions)
    }

    /// Waits until agents with so many workers in all have been heard of, at most for `limit`.
    /// Returns whether there are. Nothing needs it: jobs may be submitted before.
    pub fn wait_for_workers(&self, count: usize, limit: Duration) -> bool {
        self.hub.wait_for_workers(count, limit)
    }

    /// [`shutdown`](Executor::shutdown) that waits, but not for ever: jobs that have not ended
    /// after `limit` are cancelled, or, if they run, killed, and end as
    /// [`JobError::Lost`](pool::JobError::Lost). Returns whether all ended by themselves. For a
    /// program that is to end even if no agent answers.
    pub fn shutdown_within(&self, limit: Duration, cancel_pending: bool) -> bool {
        self.hub.shutdown_within(limit, cancel_pending)
    }

    /// What the pool is doing, and which agents there are.
    pub fn statistics(&self) -> RemoteStatistics {
        self.hub.lock().statistics()
    }
}

impl Executor for RemotePool {
    fn submit_with<F, A, R>(&self, options: JobOptions, _: F, args: A) -> Job<R>
    where
        F: Task<A, Output = R>,
        A: Wire,
        R: Wire,
    {
        let task = type_name::<F>();
        let found = self.hub.functions.find::<F>();
        let arguments = foreign::encode(task, &args);
        self.hub.submit(task, &options, found, arguments, false).handle()
    }

    fn map<F, T, R, I>(&self, _: F, items: I) -> Map<I::IntoIter, R>
    where
        F: Task<(T,), Output = R>,
        I: IntoIterator<Item = T>,
        T: Wire,
        R: Wire,
    {
        let task = type_name::<F>();
        let hub = Arc::clone(&self.hub);
        let submit = move |options: JobOptions, chunk: Vec<T>| {
            let count = chunk.len();
            let found = hub.functions.find::<F>();
            let items = foreign::encode_items(task, chunk);
            let each = items.as_ref().map_or(0, Vec::len) / count.max(1) + 1;
            let job = hub.submit(task, &options, found, items, true);
            // A quarter of a message, for items may differ.
            let most = hub.lock().most / 4 / each;
            (job.handle_of_items(), most.max(1))
        };
        foreign::map(items.into_iter(), self.workers().max(FEW), CHUNK, submit)
    }

    /// Takes no more jobs. Those submitted before still run, unless `cancel_pending`: then those
    /// not known to run end as [`Cancelled`](pool::JobError::Cancelled). With `wait` it returns
    /// when all jobs have ended and the connection is closed, else at once. The agents stay.
    fn shutdown(&self, wait: bool, cancel_pending: bool) {
        self.hub.shutdown(wait, cancel_pending);
    }

    /// How many workers the agents have that have been heard of; 0 before any was.
    fn workers(&self) -> usize {
        self.hub.lock().book.workers()
    }
}

impl Drop for RemotePool {
    fn drop(&mut self) {
        self.shutdown(true, std::thread::panicking());
    }
}

impl fmt::Debug for RemotePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemotePool")
            .field("name", &self.hub.pool)
            .field("statistics", &self.statistics())
            .finish_non_exhaustive()
    }
}
