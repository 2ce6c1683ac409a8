//! `ThreadPoolBuilder`: how many threads, their name, what they do first, and where they run.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;

use super::ThreadPool;
use crate::cores;

/// Settings for a [`ThreadPool`]; made by [`ThreadPool::builder`].
///
/// # Examples
///
/// ```
/// use pool::ThreadPool;
///
/// let pool = ThreadPool::builder().threads(2).name("thumbnails").build()?;
/// let name = pool.spawn(|| std::thread::current().name().map(str::to_owned));
/// assert!(name.wait().unwrap().unwrap().starts_with("thumbnails."));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct ThreadPoolBuilder {
    pub(super) threads: Option<usize>,
    pub(super) name: Option<String>,
    pub(super) initializer: Option<Arc<dyn Fn() + Send + Sync>>,
    pub(super) stack_size: Option<usize>,
    pub(super) pin_cores: bool,
    pub(super) avoid_cores: Vec<usize>,
    /// The cores left; set when the pool is made.
    pub(super) cores: Option<Vec<usize>>,
    pub(super) eager: bool,
}

impl ThreadPoolBuilder {
    pub(super) fn new() -> ThreadPoolBuilder {
        ThreadPoolBuilder {
            threads: None,
            name: None,
            initializer: None,
            stack_size: None,
            pin_cores: false,
            avoid_cores: Vec::new(),
            cores: None,
            eager: false,
        }
    }

    /// How many threads run jobs; [`std::thread::available_parallelism`] unless set.
    #[doc(alias = "max_workers")]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// The threads are named `name.0`, `name.1`, ...; `pool-1.0` and so on unless set. (Linux
    /// shows the first 15 bytes.)
    #[doc(alias = "thread_name_prefix")]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Each thread calls `f` before its first job. If it panics the pool is broken: pending and
    /// later jobs end as [`Broken`](crate::JobError::Broken) with the panic's message.
    pub fn initializer(mut self, f: impl Fn() + Send + Sync + 'static) -> Self {
        self.initializer = Some(Arc::new(f));
        self
    }

    /// Stack of each thread, in bytes; the standard library's default (2 MiB) unless set.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Ties thread n to the n-th core the process may run on (round again when there are more
    /// threads). Of use when the pool has the cores to itself: a pinned thread cannot step aside.
    pub fn pin_cores(mut self, pin: bool) -> Self {
        self.pin_cores = pin;
        self
    }

    /// Keeps the threads off these cores, for instance off those that event loops are pinned to.
    /// Unless [`threads`](Self::threads) is set there are then fewer of them, too.
    pub fn avoid_cores(mut self, cores: impl IntoIterator<Item = usize>) -> Self {
        self.avoid_cores.extend(cores);
        self
    }

    /// Starts the threads in [`build`](Self::build), not at the first job.
    pub fn eager(mut self, eager: bool) -> Self {
        self.eager = eager;
        self
    }

    /// Makes the pool.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for 0 threads, a name with a NUL byte, or no core left; with
    /// [`eager`](Self::eager), what kept a thread from starting. Without it such a failure breaks
    /// the pool at its first job.
    pub fn build(mut self) -> io::Result<ThreadPool> {
        if !self.avoid_cores.is_empty() {
            let left = cores::without(&self.avoid_cores).map_err(|error| {
                io::Error::new(error.kind(), format!("building a thread pool: {error}"))
            })?;
            self.cores = Some(left);
        }
        let available = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = match self.threads {
            Some(0) => {
                let text = "building a thread pool: it needs at least one thread";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            Some(threads) => threads,
            None => self.cores.as_ref().map_or(available, |left| left.len().min(available)),
        };
        if self.name.as_deref().is_some_and(|name| name.contains('\0')) {
            let text = "building a thread pool: its name contains a NUL byte";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        ThreadPool::from_builder(self, threads)
    }
}

impl fmt::Debug for ThreadPoolBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPoolBuilder")
            .field("threads", &self.threads)
            .field("name", &self.name)
            .field("initializer", &self.initializer.is_some())
            .field("stack_size", &self.stack_size)
            .field("pin_cores", &self.pin_cores)
            .field("avoid_cores", &self.avoid_cores)
            .field("eager", &self.eager)
            .finish()
    }
}
