//! For executors of other crates, such as one whose workers are on other machines: jobs that are
//! run elsewhere, and calls that come as bytes.
//!
//! An [`Executor`](crate::Executor) hands out [`Job`]s. One that runs them itself keeps the other
//! end, a [`ForeignJob`], and ends it when it knows the result. What is to run arguments that came
//! from elsewhere gives them to a [`ProcessPool`] with [`submit`]: they are decoded in a worker
//! process, where whatever is wrong with them costs that job only.
//!
//! # Examples
//!
//! ```
//! use pool::foreign::{self, Arguments, Function};
//! use pool::{JobOptions, ProcessPool};
//!
//! fn double(n: u64) -> u64 {
//!     2 * n
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     pool::init();
//!     let pool = ProcessPool::new()?;
//!     let arguments = foreign::encode("double", &(21u64,))?;
//!     let function = Function::of(double)?;
//!     let job = foreign::submit(&pool, JobOptions::new(), function, Arguments::One(arguments));
//!     assert_eq!(job.wait()?, [42]);
//!     Ok(())
//! }
//! ```

mod job;

use std::time::Duration;

pub use self::job::{ForeignJob, Line};
use crate::error::{JobError, Limit, Lost, Refused, TimedOut, WorkerDeath};
use crate::executor::Wire;
use crate::job::Job;
pub use crate::map::Chunk;
use crate::map::{Chunking, Map};
use crate::options::JobOptions;
pub use crate::process::raw::{Arguments, Function};
use crate::process::{ProcessPool, codec};

/// Gives a call that came as bytes to a process pool. The job's result is bytes again: of a value,
/// or of the results of items.
pub fn submit(
    pool: &ProcessPool,
    options: JobOptions,
    function: Function,
    arguments: Arguments,
) -> Job<Vec<u8>> {
    pool.submit_bytes(options, function, arguments)
}

/// The arguments of one call (a tuple) as bytes.
///
/// # Errors
///
/// [`JobError::Encode`], with what `Serialize` said.
pub fn encode<A: Wire>(task: &str, args: &A) -> Result<Vec<u8>, JobError> {
    let mut bytes = Vec::new();
    match codec::append(args, &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(why) => Err(codec::error_of(task, codec::Tag::Unsent, why.as_bytes())),
    }
}

/// The items of a chunk as bytes. An item that cannot be encoded costs itself only.
///
/// # Errors
///
/// [`JobError::Encode`] if they are too large together.
pub fn encode_items<T: Wire>(task: &str, items: Vec<T>) -> Result<Vec<u8>, JobError> {
    let items: Vec<(T,)> = items.into_iter().map(|item| (item,)).collect();
    codec::chunk_of_items(&items).map_err(|why| JobError::encode(task, why))
}

/// A map whose chunks `submit` runs; it also says how many items may be in the next chunk. Chunks
/// are sized to take about `target` each: long against what handing one over costs. Limits of time
/// are given to each item, as [`JobOptions::timeout`] of the chunk's options.
pub fn map<I: Iterator, R>(
    items: I,
    workers: usize,
    target: Duration,
    submit: impl FnMut(JobOptions, Vec<I::Item>) -> (Job<Chunk<R>>, usize) + Send + 'static,
) -> Map<I, R> {
    Map::new(items, workers, Chunking::ItemsAreApart, submit).towards(target)
}

/// [`JobError::Encode`] for a job of that name.
pub fn unsendable(task: &str, message: impl Into<String>) -> JobError {
    JobError::encode(task, message)
}

/// [`JobError::Refused`] for a job of that name.
pub fn refused(task: &str, reason: impl Into<String>) -> JobError {
    JobError::Refused(Box::new(Refused { task: task.to_owned(), reason: reason.into() }))
}

/// [`JobError::Lost`] for a job of that name.
pub fn lost(task: &str, reason: impl Into<String>) -> JobError {
    JobError::Lost(Box::new(Lost { task: task.to_owned(), reason: reason.into() }))
}

/// [`JobError::Broken`].
pub fn broken(reason: &str) -> JobError {
    JobError::broken(reason)
}

/// [`JobError::WorkerDied`] for one death, [`JobError::Poisoned`] for several.
pub fn died(task: &str, deaths: Vec<WorkerDeath>) -> JobError {
    JobError::deaths(task, deaths)
}

/// [`JobError::TimedOut`]; `note` says what is known of the reason.
pub fn late(task: &str, limit: Limit, started: bool, note: Option<String>) -> JobError {
    let task = task.to_owned();
    JobError::TimedOut(Box::new(TimedOut { task, limit, started, note }))
}
