//! `JobOptions`: what a single job may ask for beyond being run.

use std::borrow::Cow;
use std::time::{Duration, Instant};

/// The name of a job in errors and statistics: its function's, unless the job was given one.
pub(crate) type Label = Cow<'static, str>;

/// Settings of one job, for [`submit_with`](crate::Executor::submit_with).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use pool::{JobOptions, ThreadPool};
///
/// let pool = ThreadPool::new();
/// let options = JobOptions::new().name("answer").priority(1).deadline(Duration::from_secs(60));
/// let job = pool.submit_with(options, |n: u32| n * 2, (21,));
/// assert_eq!(job.wait(), Ok(42));
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until a job is submitted with them"]
pub struct JobOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) retries: u32,
    pub(crate) name: Option<String>,
    pub(crate) priority: i32,
}

impl JobOptions {
    /// No limits, no retries, priority 0, named after its function: what
    /// [`submit`](crate::Executor::submit) uses.
    pub fn new() -> JobOptions {
        JobOptions::default()
    }

    /// How long the job may run, counted from the moment a worker starts it. Then it ends as
    /// [`TimedOut`](crate::JobError::TimedOut).
    ///
    /// In a process pool its worker is killed, as by [`Job::kill`](crate::Job::kill), and the job
    /// has ended when the process is gone. A thread cannot be killed: in a thread pool the job ends
    /// for those who wait, while the thread goes on with the function until it returns, and drops
    /// its result.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// How long the job may take in all, counted from its submission. If no worker has started it
    /// by then it never runs; if it runs it is ended as by [`timeout`](Self::timeout). Either way
    /// it ends as [`TimedOut`](crate::JobError::TimedOut).
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = Some(limit);
        self
    }

    /// How many times the job is run again if a worker process dies under it; 0 unless set, for a
    /// job may have had effects before its worker died. If the last attempt's worker dies too it
    /// ends as [`Poisoned`](crate::JobError::Poisoned), which names all deaths.
    ///
    /// Panics, timeouts and kills are not retried: they are answers, not accidents. On a thread
    /// pool this changes nothing.
    pub fn retries(mut self, times: u32) -> Self {
        self.retries = times;
        self
    }

    /// What errors and statistics call the job, in place of its function's name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Jobs of higher priority start before those of lower that have not started yet; 0 unless set.
    /// Among equals the first submitted goes first. A steady stream of higher ones keeps lower ones
    /// waiting for as long as it lasts.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// What was asked for: for those who write an executor of their own.
    pub fn settings(&self) -> Settings {
        let JobOptions { timeout, deadline, retries, name, priority } = self.clone();
        Settings { timeout, deadline, retries, name, priority }
    }

    pub(crate) fn label(&mut self, task: &'static str) -> Label {
        self.name.take().map_or(Cow::Borrowed(task), Cow::Owned)
    }

    /// The deadline on the clock; `None` also for one later than the clock can say.
    pub(crate) fn deadline_at(&self) -> Option<(Instant, Duration)> {
        let limit = self.deadline?;
        Some((Instant::now().checked_add(limit)?, limit))
    }
}

/// What [`JobOptions`] ask for; made by [`JobOptions::settings`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// See [`JobOptions::timeout`].
    pub timeout: Option<Duration>,
    /// See [`JobOptions::deadline`].
    pub deadline: Option<Duration>,
    /// See [`JobOptions::retries`].
    pub retries: u32,
    /// See [`JobOptions::name`].
    pub name: Option<String>,
    /// See [`JobOptions::priority`].
    pub priority: i32,
}
