//! Waiting for some of many jobs: `wait` and `as_completed`.

use std::error::Error;
use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::error::JobError;
use crate::job::{Job, JobState};
use crate::process::is_telling_some;
use crate::stream::{ResultStream, Source};
use crate::watch::{self, Arrivals};

/// How long [`wait`] waits.
#[doc(alias = "return_when")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitUntil {
    /// Until all jobs have ended.
    #[doc(alias = "ALL_COMPLETED")]
    AllCompleted,
    /// Until one has ended, in whatever way.
    #[doc(alias = "FIRST_COMPLETED")]
    FirstCompleted,
    /// Until one has failed, or all have ended. A job that was cancelled has not failed; one whose
    /// result cannot be decoded fails only when it is asked for that.
    #[doc(alias = "FIRST_EXCEPTION")]
    FirstError,
}

/// What [`wait`] gives: the jobs in two parts, each in the order they had.
#[derive(Debug)]
#[must_use = "the jobs are in here, with their results"]
pub struct Waited<R> {
    /// Those that have ended.
    pub done: Vec<Job<R>>,
    /// Those that have not.
    pub pending: Vec<Job<R>>,
}

/// Blocks until some of the jobs have ended, at most for `limit` if there is one, and gives them
/// back in two parts. It takes no results and cancels nothing. Jobs of different pools can be
/// mixed.
///
/// On a worker of a thread pool, jobs of that very pool which no worker has started are run here
/// (unless there is a limit), as by [`Job::wait`].
///
/// # Examples
///
/// ```
/// use pool::{ThreadPool, WaitUntil, wait};
///
/// let pool = ThreadPool::new();
/// let jobs = (0..10u32).map(|n| pool.spawn(move || n * n));
/// let waited = wait(jobs, WaitUntil::AllCompleted, None);
/// assert!(waited.pending.is_empty());
/// let sum: Result<u32, _> = waited.done.into_iter().map(pool::Job::wait).sum();
/// assert_eq!(sum, Ok(285));
/// ```
pub fn wait<R>(
    jobs: impl IntoIterator<Item = Job<R>>,
    until: WaitUntil,
    limit: Option<Duration>,
) -> Waited<R> {
    let jobs: Vec<Job<R>> = jobs.into_iter().collect();
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    refuse_if_told(jobs.iter());
    let arrivals = watch_all(&jobs);
    let (mut left, mut next) = (jobs.len(), 0);
    let enough = |number: usize| match until {
        WaitUntil::AllCompleted => false,
        WaitUntil::FirstCompleted => true,
        WaitUntil::FirstError => jobs[number].backing().failed(),
    };
    while left > 0 {
        let arrived = arrivals.try_take().or_else(|| {
            if limit.is_none() {
                help_one(&jobs, &mut next);
            }
            arrivals.take(deadline)
        });
        let Some(number) = arrived else { break };
        left -= 1;
        if enough(number) {
            break;
        }
    }
    let over = |job: &Job<R>| matches!(job.state(), JobState::Done | JobState::Cancelled);
    let (done, pending) = jobs.into_iter().partition(over);
    Waited { done, pending }
}

/// Before blocking for some of them.
fn refuse_if_told<'a, R: 'a>(jobs: impl Iterator<Item = &'a Job<R>>) {
    if is_telling_some() {
        jobs.for_each(|job| job.backing().refuse_to_wait_if_told());
    }
}

fn watch_all<R>(jobs: &[Job<R>]) -> Arc<Arrivals> {
    let arrivals = Arc::new(Arrivals::default());
    for (number, job) in jobs.iter().enumerate() {
        watch_one(job, &arrivals, number);
    }
    arrivals
}

pub(crate) fn watch_one<R>(job: &Job<R>, arrivals: &Arc<Arrivals>, number: usize) {
    if let Some(ended) = job.backing().watch(arrivals.watcher(number)) {
        watch::call(ended, JobState::Done);
    }
}

/// On a worker thread that waits for jobs of its own pool: runs one of them. `next` is where to
/// look, for those before have been run or started.
fn help_one<R>(jobs: &[Job<R>], next: &mut usize) {
    while let Some(job) = jobs.get(*next) {
        *next += 1;
        if job.backing().help() {
            return;
        }
    }
}

/// Gives the results of jobs in the order in which the jobs end.
///
/// # Examples
///
/// ```
/// use pool::{ThreadPool, as_completed};
///
/// let pool = ThreadPool::new();
/// let jobs = [3u32, 1, 2].map(|n| pool.spawn(move || n * 10));
/// let mut total = 0;
/// for (number, result) in as_completed(jobs) {
///     println!("job {number}: {result:?}");
///     total += result?;
/// }
/// assert_eq!(total, 60);
/// # Ok::<(), pool::JobError>(())
/// ```
pub fn as_completed<R>(jobs: impl IntoIterator<Item = Job<R>>) -> AsCompleted<R> {
    let jobs: Vec<Option<Job<R>>> = jobs.into_iter().map(Some).collect();
    let arrivals = Arc::new(Arrivals::default());
    for (number, job) in jobs.iter().enumerate() {
        watch_one(job.as_ref().expect("none is taken yet"), &arrivals, number);
    }
    AsCompleted { left: jobs.len(), jobs, arrivals, next: 0 }
}

/// Results of jobs as they end, each with the place its job had; made by [`as_completed`].
///
/// An iterator that blocks; [`stream`](AsCompleted::stream) is for async code. Dropping it drops
/// the jobs that are left, which does not cancel them.
#[must_use = "results are given as it is iterated"]
pub struct AsCompleted<R> {
    jobs: Vec<Option<Job<R>>>,
    left: usize,
    arrivals: Arc<Arrivals>,
    /// Jobs before this one have been looked at by `help`.
    next: usize,
}

/// Some jobs had not ended when the time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unfinished {
    /// How many have not ended.
    pub left: usize,
    /// Of how many.
    pub total: usize,
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (of {}) jobs unfinished", self.left, self.total)
    }
}

impl Error for Unfinished {}

impl<R> AsCompleted<R> {
    /// The same for async code.
    pub fn stream(self) -> ResultStream<Self> {
        ResultStream(self)
    }

    /// The next result, if one comes within `limit`; `Ok(None)` after the last.
    ///
    /// # Errors
    ///
    /// [`Unfinished`] when the time is over. Nothing is lost: go on as you like.
    #[allow(clippy::type_complexity)]
    pub fn next_timeout(
        &mut self,
        limit: Duration,
    ) -> Result<Option<(usize, Result<R, JobError>)>, Unfinished> {
        if self.left == 0 {
            return Ok(None);
        }
        let unfinished = Unfinished { left: self.left, total: self.jobs.len() };
        let deadline = Instant::now().checked_add(limit);
        refuse_if_told(self.jobs.iter().flatten());
        let number = self.arrivals.take(deadline).ok_or(unfinished)?;
        Ok(Some(self.give(number)))
    }

    fn give(&mut self, number: usize) -> (usize, Result<R, JobError>) {
        self.left -= 1;
        let job = self.jobs[number].take().expect("each job arrives once");
        (number, job.wait())
    }

    fn help(&mut self) {
        while let Some(job) = self.jobs.get(self.next) {
            self.next += 1;
            if job.as_ref().is_some_and(|job| job.backing().help()) {
                return;
            }
        }
    }
}

impl<R> Iterator for AsCompleted<R> {
    type Item = (usize, Result<R, JobError>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let number = match self.arrivals.try_take() {
            Some(number) => number,
            None => {
                refuse_if_told(self.jobs.iter().flatten());
                self.help();
                self.arrivals.take(None).expect("a wait without deadline ends with a job")
            }
        };
        Some(self.give(number))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<R> FusedIterator for AsCompleted<R> {}
impl<R> ExactSizeIterator for AsCompleted<R> {}

impl<R> Source for AsCompleted<R> {
    type Yield = (usize, Result<R, JobError>);

    fn poll_result(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::Yield>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if let Some(number) = self.arrivals.try_take() {
            return Poll::Ready(Some(self.give(number)));
        }
        self.help();
        self.arrivals.poll_take(cx).map(|number| Some(self.give(number)))
    }

    fn bounds(&self) -> (usize, Option<usize>) {
        Iterator::size_hint(self)
    }
}

impl<R> fmt::Debug for AsCompleted<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted")
            .field("left", &self.left)
            .field("total", &self.jobs.len())
            .finish()
    }
}
