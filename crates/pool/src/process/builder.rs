//! `ProcessPoolBuilder`: how many workers, their name, and what they do first.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::hub::{Hub, Life};
use super::{ProcessPool, init, ship, supervisor};
use crate::cores;
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
    life: Life,
    avoid_cores: Vec<usize>,
}

impl ProcessPoolBuilder {
    pub(super) fn new() -> ProcessPoolBuilder {
        ProcessPoolBuilder {
            workers: None,
            name: None,
            initializer: None,
            life: Life::default(),
            avoid_cores: Vec::new(),
        }
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

    /// A worker that has answered so many jobs ends, and another takes its place: for functions
    /// that leak. A chunk of a map counts as one.
    ///
    /// # Panics
    ///
    /// If `jobs` is 0.
    #[doc(alias = "max_tasks_per_child")]
    pub fn max_tasks_per_worker(mut self, jobs: u64) -> Self {
        assert!(jobs > 0, "a worker that may do nothing is of no use");
        self.life.max_tasks = Some(jobs);
        self
    }

    /// A worker whose resident memory has grown beyond `bytes` ends, and another takes its place:
    /// for functions that leak a little. The pool looks every 10 ms while there is work; a worker
    /// found too large is given no more jobs, those that wait in its queue go to others, and it
    /// ends when it has finished the one it runs. For what is to be an error see
    /// [`memory_limit`](Self::memory_limit).
    ///
    /// Choose it well above what a worker needs to begin with, or each of them is replaced after
    /// its first jobs.
    #[doc(alias = "RSS")]
    pub fn max_resident_per_worker(mut self, bytes: u64) -> Self {
        self.life.max_resident = Some(bytes);
        self
    }

    /// Whether a worker that runs a job has the job's name (its first 15 bytes, without the path of
    /// a function) in place of its own, for `ps` and `top`; `false` unless set. It costs each job
    /// two system calls, about half a microsecond.
    #[doc(alias = "comm")]
    pub fn show_jobs(mut self, show: bool) -> Self {
        self.life.show_jobs = show;
        self
    }

    /// A worker that has been idle for `limit` ends, unless only `keep` are left. Workers are
    /// started again when jobs need them. Unless set, workers stay.
    pub fn idle_timeout(mut self, limit: Duration, keep: usize) -> Self {
        self.life.idle = Some((limit, keep));
        self
    }

    /// The most memory a worker may have: heap and stacks of threads, in bytes (`RLIMIT_DATA` of
    /// getrlimit(2)). An allocation beyond it fails, which in Rust ends the process: it costs the
    /// job that asked for too much.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.life.limits.memory = Some(bytes);
        self
    }

    /// The most CPU time a worker may use in its life, rounded up to seconds (`RLIMIT_CPU`). A
    /// worker that reaches it is ended by the kernel, with the job it runs. For a limit per job see
    /// [`JobOptions::timeout`](crate::JobOptions::timeout).
    pub fn cpu_limit(mut self, limit: Duration) -> Self {
        self.life.limits.cpu = Some(limit);
        self
    }

    /// The most files a worker may have open (`RLIMIT_NOFILE`); as the parent unless set.
    pub fn open_files_limit(mut self, files: u64) -> Self {
        self.life.limits.files = Some(files);
        self
    }

    /// Whether a worker that crashes may leave a core file; `false` unless set.
    pub fn core_dumps(mut self, allow: bool) -> Self {
        self.life.limits.core_dumps = allow;
        self
    }

    /// Whether panics of jobs carry a [backtrace](crate::Panic::backtrace) also if the environment
    /// (`RUST_BACKTRACE`) does not ask for it; `false` unless set. A worker's first one takes a
    /// tenth of a second and more, for it reads the program's debug information.
    pub fn backtraces(mut self, carry: bool) -> Self {
        self.life.backtraces = carry;
        self
    }

    /// Keeps the workers off these cores, for instance off those that event loops are pinned to.
    /// Unless [`workers`](Self::workers) is set there are then fewer of them, too.
    pub fn avoid_cores(mut self, cores: impl IntoIterator<Item = usize>) -> Self {
        self.avoid_cores.extend(cores);
        self
    }

    /// Makes the pool. Workers are started when jobs need them.
    ///
    /// # Errors
    ///
    /// If [`init`](crate::init) was not called (`Unsupported`: the program could not serve as a
    /// worker); `InvalidInput` for 0 workers, a name with a NUL byte, an initialiser that lies in a
    /// shared library, no core left, or a pool nested too deeply; and what kept the pool from
    /// making its descriptors and its thread.
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
        let mut life = self.life;
        if !self.avoid_cores.is_empty() {
            let left = cores::without(&self.avoid_cores);
            life.limits.cores = Some(left.map_err(|e| invalid(e.to_string()))?);
        }
        let available = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let workers = match self.workers {
            Some(0) => return Err(invalid("it needs at least one worker".to_owned())),
            Some(workers) => workers,
            None if init::depth() > 0 => 1,
            None => life.limits.cores.as_ref().map_or(available, |left| left.len().min(available)),
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
        let hub = Arc::new(Hub::new(id, workers, name, initializer, life).map_err(intent)?);
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
            .field("life", &self.life)
            .field("avoid_cores", &self.avoid_cores)
            .finish()
    }
}
