//! `ProcessPoolBuilder`: how many workers, their name, and what they do first.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::hub::Hub;
use super::{ProcessPool, init, ship, supervisor};
use crate::error::JobError;
use crate::panics;

/// Pools inside workers of pools inside workers: somewhere that is a mistake.
const DEEPEST: u32 = 4;

/// Settings for a [`ProcessPool`]; made by [`ProcessPool::builder`].
///
/// # Examples
///
/// ```
/// use pool::ProcessPool;
///
/// fn main() -> std::io::Result<()> {
///     pool::init();
///     let pool = ProcessPool::builder().workers(2).name("render").build()?;
///     assert_eq!(pool.workers(), 2);
///     Ok(())
/// }
/// ```
pub struct ProcessPoolBuilder {
    workers: Option<usize>,
    name: Option<String>,
    initializer: Option<Result<u64, JobError>>,
}

impl ProcessPoolBuilder {
    pub(super) fn new() -> ProcessPoolBuilder {
        ProcessPoolBuilder { workers: None, name: None, initializer: None }
    }

    /// How many worker processes there are when all are needed. Unless set, one for each core
    /// ([`std::thread::available_parallelism`]); a single one in a pool inside a worker.
    #[doc(alias = "max_workers")]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// The workers are named `name.1`, `name.2`, ...; `pool-1.1` and so on unless set. (`ps` and
    /// `top` show the first 15 bytes as the command.)
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Each worker calls `f` before its first job. If it panics the pool is broken: pending and
    /// later jobs end as [`Broken`](JobError::Broken) with the panic's message. Like the function
    /// of a job, `f` must capture nothing.
    pub fn initializer<F: Fn() + Copy + Send + Sync + 'static>(mut self, f: F) -> Self {
        self.initializer = Some(ship::initializer(f));
        self
    }

    /// Makes the pool. Workers are started when jobs need them.
    ///
    /// # Errors
    ///
    /// If [`init`](crate::init) was not called (`Unsupported`: the program could not serve as a
    /// worker); `InvalidInput` for 0 workers, a name with a NUL byte, an initialiser that lies in a
    /// shared library, or a pool nested too deeply; and what kept the pool from making its
    /// descriptors and its thread.
    pub fn build(self) -> io::Result<ProcessPool> {
        static POOLS: AtomicU64 = AtomicU64::new(1);
        let invalid = |what: String| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("building a process pool: {what}"))
        };
        if !init::is_done() {
            let text = "building a process pool: pool::init() has not been called; make it the \
                        first call in main, for the pool starts this program again as its workers";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        if init::depth() >= DEEPEST {
            return Err(invalid(format!("it is inside {DEEPEST} pools already")));
        }
        let workers = match self.workers {
            Some(0) => return Err(invalid("it needs at least one worker".to_owned())),
            Some(workers) => workers,
            None if init::depth() > 0 => 1,
            None => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        };
        // Relaxed: the number only has to be unique.
        let id = POOLS.fetch_add(1, Ordering::Relaxed);
        let name = self.name.unwrap_or_else(|| format!("pool-{id}"));
        if name.contains('\0') {
            return Err(invalid("its name contains a NUL byte".to_owned()));
        }
        let initializer = self.initializer.transpose().map_err(|e| invalid(e.to_string()))?;
        let intent =
            |e: io::Error| io::Error::new(e.kind(), format!("building a process pool: {e}"));
        panics::install_hook();
        let hub = Arc::new(Hub::new(id, workers, name, initializer).map_err(intent)?);
        let own = Arc::clone(&hub);
        hub.start_thread("supervise", move || supervisor::run(own)).map_err(intent)?;
        Ok(ProcessPool { hub })
    }
}

impl fmt::Debug for ProcessPoolBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessPoolBuilder")
            .field("workers", &self.workers)
            .field("name", &self.name)
            .field("initializer", &self.initializer.is_some())
            .finish()
    }
}
