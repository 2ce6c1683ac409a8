//! `ThreadPool`: an executor whose workers are threads of this process.
//!
//! `builder` holds the settings, `crew` the threads and their queue, `ranks` the jobs with a
//! priority, `call` a job's cell, `timer` the thread that sees to limits, `scope` jobs that borrow.

mod builder;
mod call;
mod crew;
mod ranks;
mod scope;
mod timer;

use std::any::type_name;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

pub use builder::ThreadPoolBuilder;
use call::{Call, Limits, Rare};
use crew::Crew;
pub(crate) use crew::current_pool;
pub use scope::{Scope, ScopedJob};

use crate::error::JobError;
use crate::executor::{CallOnce, Executor, Task, Wire};
use crate::job::Job;
use crate::map::{Chunk, Chunking, Map};
use crate::options::JobOptions;
use crate::panics;

/// Runs jobs on a fixed number of threads of this process. The pool for almost everything: nothing
/// is copied, any closure will do, and handing over a job costs well under a microsecond.
///
/// Threads start at the first job and sleep when there is none. A panicking job ends as
/// [`JobError::Panicked`]; the thread goes on. Jobs may submit to and wait on their own pool, see
/// [`Job::wait`].
///
/// Dropping the pool is `shutdown(true, false)`: it waits for the jobs that were submitted. (While
/// a panic unwinds it cancels those no worker has started.)
///
/// # Examples
///
/// ```
/// use pool::ThreadPool;
///
/// let pool = ThreadPool::new();
/// let words = vec!["threads", "share", "memory"];
/// let job = pool.spawn(move || words.join(" "));
/// assert_eq!(job.wait()?, "threads share memory");
///
/// let squares: Result<Vec<u64>, _> = pool.map(|n: u64| n * n, 1..=4).collect();
/// assert_eq!(squares?, [1, 4, 9, 16]);
/// # Ok::<(), pool::JobError>(())
/// ```
#[doc(alias = "ThreadPoolExecutor")]
pub struct ThreadPool {
    crew: Arc<Crew>,
}

impl ThreadPool {
    /// A pool with a thread for each core this process may use
    /// ([`std::thread::available_parallelism`]).
    pub fn new() -> ThreadPool {
        Self::builder().build().expect("the defaults are valid, and no thread is started yet")
    }

    /// A pool with settings of your own.
    pub fn builder() -> ThreadPoolBuilder {
        ThreadPoolBuilder::new()
    }

    fn from_builder(config: ThreadPoolBuilder, threads: usize) -> io::Result<ThreadPool> {
        static POOLS: AtomicU64 = AtomicU64::new(1);
        panics::install_hook();
        let eager = config.eager;
        // Relaxed: the number only has to be unique.
        let id = POOLS.fetch_add(1, Ordering::Relaxed);
        let pool = ThreadPool { crew: Arc::new(Crew::new(id, threads, config)) };
        if eager {
            pool.crew.start()?;
        }
        Ok(pool)
    }

    /// Gives the call `f(args...)` to the pool.
    ///
    /// A pool that takes no more jobs answers with a job that has ended with the reason
    /// ([`JobError::PoolShutdown`] or [`JobError::Broken`]).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = pool::ThreadPool::new();
    /// let job = pool.submit(u64::pow, (2, 10));
    /// assert_eq!(job.wait(), Ok(1024));
    /// ```
    pub fn submit<F, A, R>(&self, f: F, args: A) -> Job<R>
    where
        F: CallOnce<A, Output = R>,
        A: Send + 'static,
        R: Send + 'static,
    {
        enqueue(&self.crew, type_name::<F>, move || f.call_once(args))
    }

    /// [`submit`](Self::submit) with a timeout, a deadline, a name or a priority.
    pub fn submit_with<F, A, R>(&self, options: JobOptions, f: F, args: A) -> Job<R>
    where
        F: CallOnce<A, Output = R>,
        A: Send + 'static,
        R: Send + 'static,
    {
        enqueue_with(&self.crew, options, type_name::<F>, move || f.call_once(args))
    }

    /// [`submit`](Self::submit) for a closure that brings its arguments along.
    pub fn spawn<F, R>(&self, f: F) -> Job<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        enqueue(&self.crew, type_name::<F>, f)
    }

    /// Applies `f` to every item, on all threads at once; results come in the order of the items.
    /// See [`Map`] for what it reads ahead and what an error does.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = pool::ThreadPool::new();
    /// // Endless is fine: it reads a bounded window ahead.
    /// let mut halves = pool.map(|n: u64| n / 2, 0..);
    /// assert_eq!(halves.nth(1000), Some(Ok(500)));
    /// ```
    pub fn map<F, T, R, I>(&self, f: F, items: I) -> Map<I::IntoIter, R>
    where
        F: Fn(T) -> R + Send + Sync + 'static,
        I: IntoIterator<Item = T>,
        T: Send + 'static,
        R: Send + 'static,
    {
        let f = Arc::new(f);
        let crew = Arc::clone(&self.crew);
        let chunking = Chunking::ItemsShareLimits;
        let submit = move |options: JobOptions, chunk: Vec<T>| {
            let f = Arc::clone(&f);
            let name = options.name.clone();
            let run = move || run_chunk(name.as_deref().unwrap_or(type_name::<F>()), &*f, chunk);
            (enqueue_with(&crew, options, type_name::<F>, run), usize::MAX)
        };
        Map::new(items.into_iter(), self.crew.threads, chunking, submit)
    }

    /// Takes no more jobs. Those submitted before still run, unless `cancel_pending`: then the
    /// ones no worker has started end as [`JobError::Cancelled`]. With `wait` it returns when all
    /// jobs have ended and the threads are gone (from a job of this very pool: all but its own),
    /// else at once.
    pub fn shutdown(&self, wait: bool, cancel_pending: bool) {
        self.crew.close();
        if cancel_pending {
            self.crew.refuse_queued(&JobError::Cancelled);
        }
        if wait {
            self.crew.join();
        }
    }

    /// How many threads run jobs.
    pub fn workers(&self) -> usize {
        self.crew.threads
    }
}

#[inline]
fn enqueue<F, R>(crew: &Arc<Crew>, task: fn() -> &'static str, f: F) -> Job<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let call = Arc::new(Call::new(crew.id, task, None, f));
    let job = Job::new(Arc::clone(&call) as _);
    crew.submit(0, call);
    job
}

fn enqueue_with<F, R>(
    crew: &Arc<Crew>,
    options: JobOptions,
    task: fn() -> &'static str,
    f: F,
) -> Job<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let deadline = options.deadline_at();
    let JobOptions { timeout, name, priority, .. } = options;
    let named = |name, limits| Some(Box::new(Rare { name, limits, ..Rare::default() }));
    if timeout.is_none() && deadline.is_none() {
        let rare = name.and_then(|name| named(Some(name), None));
        let call = Arc::new(Call::new(crew.id, task, rare, f));
        crew.submit(priority, Arc::clone(&call) as _);
        return Job::new(call);
    }
    let timer = crew.start_timer();
    let call = Arc::new_cyclic(|me: &Weak<Call<F, R>>| {
        let job = Weak::clone(me) as _;
        let timer = Arc::clone(&crew.timer);
        let limits = Limits { timeout, deadline, over_at: None, timer, job };
        Call::new(crew.id, task, named(name, Some(limits)), f)
    });
    let job = Job::new(Arc::clone(&call) as _);
    if let Err(error) = timer {
        call::Run::refuse(&*call, error);
        return job;
    }
    if let Some((at, _)) = deadline {
        crew.timer.add(at, Arc::downgrade(&call) as _);
    }
    crew.submit(priority, call);
    job
}

/// Runs `f` on each item of a chunk; a panic costs its own item only.
fn run_chunk<T, R>(task: &str, f: &impl Fn(T) -> R, chunk: Vec<T>) -> Chunk<R> {
    let begun = Instant::now();
    let mut results = Vec::with_capacity(chunk.len());
    let mut items = chunk.into_iter();
    // One `catch` for the whole chunk as long as nothing panics: it is not free per item.
    while let Err(caught) = panics::catch(|| {
        // What was pushed before a panic stays: `extend` keeps the length right on unwinding.
        results.extend(items.by_ref().map(|item| Ok(f(item))));
    }) {
        results.push(Err(caught.into_error(task)));
    }
    Chunk { results, took: begun.elapsed() }
}

impl Executor for ThreadPool {
    fn submit<F, A, R>(&self, f: F, args: A) -> Job<R>
    where
        F: Task<A, Output = R>,
        A: Wire,
        R: Wire,
    {
        enqueue(&self.crew, type_name::<F>, move || f.call(args))
    }

    fn submit_with<F, A, R>(&self, options: JobOptions, f: F, args: A) -> Job<R>
    where
        F: Task<A, Output = R>,
        A: Wire,
        R: Wire,
    {
        enqueue_with(&self.crew, options, type_name::<F>, move || f.call(args))
    }

    fn map<F, T, R, I>(&self, f: F, items: I) -> Map<I::IntoIter, R>
    where
        F: Task<(T,), Output = R>,
        I: IntoIterator<Item = T>,
        T: Wire,
        R: Wire,
    {
        ThreadPool::map(self, move |item| f.call((item,)), items)
    }

    fn shutdown(&self, wait: bool, cancel_pending: bool) {
        ThreadPool::shutdown(self, wait, cancel_pending);
    }

    fn workers(&self) -> usize {
        ThreadPool::workers(self)
    }
}

impl Default for ThreadPool {
    fn default() -> ThreadPool {
        ThreadPool::new()
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.shutdown(true, std::thread::panicking());
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPool")
            .field("id", &self.crew.id)
            .field("threads", &self.crew.threads)
            .field("queued", &self.crew.queued())
            .finish_non_exhaustive()
    }
}
