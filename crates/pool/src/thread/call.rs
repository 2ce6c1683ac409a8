//! The cell of a job on a thread pool: one allocation that holds the closure, then its result.
//!
//! # Life
//!
//! `Pending(f)` -> `Running` -> `Done(outcome)` -> `Taken`; `cancel` goes from `Pending` straight
//! to `Done(Err(Cancelled))`. A job that exceeds a limit goes to `Done(Err(TimedOut))`, also from
//! `Running`: the thread then finds the cell ended when the function returns, and drops what it
//! returned. The queue and the [`Job`](crate::Job) share the cell; whoever leaves
//! last frees it, and with it a result nobody took. All steps are made under one mutex, held for a
//! few instructions and never while the user's code runs: the closure is taken out to run or to be
//! dropped, the waker is taken out to be woken.
//!
//! # Size
//!
//! The cell is made on one thread and freed on another. glibc's malloc takes back what is up to
//! 120 bytes without a lock (its fast bins), and anything larger under the lock of the heap it came
//! from, which the submitting thread needs for its next job: so what few jobs have is kept apart,
//! in one box (`Rare`).

use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::timer::{Expire, Timer};
use crate::error::{JobError, Limit};
use crate::job::{Backing, JobState, Outcome, TAKEN, note_waker};
use crate::panics;
use crate::pause;
use crate::watch::{Watcher, Watchers};

/// For how long a thread that waits looks for the result before it sleeps: less than a sleep and
/// the wake-up from it cost, and about what an idle worker looks for jobs.
const WATCH: Duration = Duration::from_micros(10);

/// A job as the queue and the workers see it.
pub(crate) trait Run: Send + Sync {
    /// Runs the job here, unless it was started or cancelled already.
    fn run(&self);
    /// Ends the job with `error`, if no worker has started it.
    fn refuse(&self, error: JobError);
}

pub(crate) struct Call<F, R> {
    pool: u64,
    /// What it is called unless it was given a name.
    task: fn() -> &'static str,
    slot: Mutex<Slot<F, R>>,
    ended: Condvar,
}

struct Slot<F, R> {
    stage: Stage<F, R>,
    waker: Option<Waker>,
    rare: Option<Box<Rare>>,
    /// How many threads sleep on `ended`: waking nobody would still be a system call.
    sleepers: u32,
}

/// What few jobs have.
#[derive(Default)]
pub(crate) struct Rare {
    pub(crate) name: Option<String>,
    pub(crate) limits: Option<Limits>,
    pub(crate) watchers: Watchers,
}

// With its two counts, and a closure that captures three words.
const _: () = assert!(size_of::<Call<[usize; 3], ()>>() + 2 * size_of::<usize>() <= 120);

/// The limits of a job that has some.
pub(crate) struct Limits {
    pub(crate) timeout: Option<Duration>,
    pub(crate) deadline: Option<(Instant, Duration)>,
    /// When the time-out is over; since the start.
    pub(crate) over_at: Option<Instant>,
    pub(crate) timer: Arc<Timer>,
    /// The job itself, for the timer.
    pub(crate) job: Weak<dyn Expire>,
}

impl Limits {
    /// The limit that is over, if one is.
    fn exceeded(&self, now: Instant) -> Option<Limit> {
        match (self.over_at, self.timeout, self.deadline) {
            (Some(at), Some(limit), _) if at <= now => Some(Limit::Timeout(limit)),
            (_, _, Some((at, limit))) if at <= now => Some(Limit::Deadline(limit)),
            _ => None,
        }
    }
}

enum Stage<F, R> {
    Pending(F),
    Running,
    Done(Outcome<R>),
    Taken,
}

impl<F, R> Call<F, R> {
    /// A job of the pool `pool`, shown in errors as `task` unless `rare` has a name.
    pub(crate) fn new(
        pool: u64,
        task: fn() -> &'static str,
        rare: Option<Box<Rare>>,
        f: F,
    ) -> Call<F, R> {
        let slot = Slot { stage: Stage::Pending(f), waker: None, rare, sleepers: 0 };
        Call { pool, task, slot: Mutex::new(slot), ended: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Slot<F, R>> {
        // No user code runs under the lock, so a poisoned one is whole.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves a pending job to `next` and hands out its closure, and whether it has limits.
    fn claim(&self, next: Stage<F, R>) -> Option<(F, bool)> {
        let mut slot = self.lock();
        match slot.stage {
            Stage::Pending(_) => match mem::replace(&mut slot.stage, next) {
                Stage::Pending(f) => Some((f, slot.limits().is_some())),
                _ => unreachable!("the stage was pending a line ago, under the same lock"),
            },
            _ => None,
        }
    }

    /// What a worker waits for it does itself, if nobody has begun: every worker may be waiting
    /// like this one. It runs this very job and no other, so its stack only ever holds jobs that
    /// wait for the one above, and a deadlock needs a cycle in the jobs themselves.
    fn run_if_on_own_worker(&self) -> bool
    where
        F: FnOnce() -> R + Send,
        R: Send,
    {
        super::current_pool() == Some(self.pool) && self.try_run()
    }

    fn try_run(&self) -> bool
    where
        F: FnOnce() -> R + Send,
        R: Send,
    {
        let Some((f, limited)) = self.claim(Stage::Running) else { return false };
        if limited && !self.start_clock() {
            let _ = panics::catch(|| drop(f));
            return false;
        }
        let outcome = panics::catch(f);
        let mut slot = self.lock();
        let outcome = outcome.map_err(|caught| caught.into_error(slot.label(self.task)));
        if matches!(slot.stage, Stage::Running) {
            slot.stage = Stage::Done(outcome);
            self.announce(slot);
        } else {
            drop(slot);
            // Too late: the job has timed out. The result's destructor may panic.
            let _ = panics::catch(|| drop(outcome));
        }
        true
    }

    /// The job has started: from now on its time-out counts. `false`: its deadline was over, and it
    /// has ended; the timer comes too late now and then.
    fn start_clock(&self) -> bool {
        let mut slot = self.lock();
        let now = Instant::now();
        let Some(limits) = slot.limits() else { return true };
        if let Some(limit) = limits.exceeded(now).filter(|_| !mutant!("run-after-its-deadline")) {
            let late = JobError::timed_out(slot.label(self.task), limit, false);
            slot.stage = Stage::Done(Err(late));
            self.announce(slot);
            return false;
        }
        let Some(at) = limits.timeout.and_then(|limit| now.checked_add(limit)) else { return true };
        limits.over_at = Some(at);
        let (timer, job) = (Arc::clone(&limits.timer), Weak::clone(&limits.job));
        drop(slot);
        timer.add(at, job);
        true
    }

    /// Looks for the result of a job that may be short.
    fn watch(&self, deadline: Option<Instant>) -> Option<Outcome<R>> {
        let now = Instant::now();
        let until = deadline.map_or(now + WATCH, |deadline| deadline.min(now + WATCH));
        let mut rounds = 0;
        loop {
            if let Some(outcome) = self.lock().take() {
                return Some(outcome);
            }
            if Instant::now() >= until {
                return None;
            }
            pause::give_way(&mut rounds);
        }
    }

    /// Wakes whoever waits for a job that has just reached `Done`.
    fn announce(&self, mut slot: MutexGuard<'_, Slot<F, R>>) {
        let waker = slot.waker.take();
        let watchers = slot.rare.as_mut().map(|rare| mem::take(&mut rare.watchers));
        let state = slot.state();
        let asleep = slot.sleepers > 0;
        drop(slot);
        if asleep {
            self.ended.notify_all();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
        if let Some(watchers) = watchers {
            watchers.tell(state);
        }
    }

    fn end_unstarted(&self, error: JobError) -> bool {
        let Some((f, _)) = self.claim(Stage::Done(Err(error))) else { return false };
        self.announce(self.lock());
        // What the closure owns may panic when dropped; the caller is not to blame.
        let _ = panics::catch(|| drop(f));
        true
    }
}

impl<F, R> Slot<F, R> {
    fn limits(&mut self) -> Option<&mut Limits> {
        self.rare.as_mut()?.limits.as_mut()
    }

    fn label(&self, task: fn() -> &'static str) -> &str {
        let name = self.rare.as_ref().and_then(|rare| rare.name.as_deref());
        name.unwrap_or(task())
    }

    fn state(&self) -> JobState {
        match self.stage {
            Stage::Pending(_) => JobState::Pending,
            Stage::Running => JobState::Running,
            Stage::Done(Err(JobError::Cancelled)) => JobState::Cancelled,
            Stage::Done(_) | Stage::Taken => JobState::Done,
        }
    }

    fn take(&mut self) -> Option<Outcome<R>> {
        match mem::replace(&mut self.stage, Stage::Taken) {
            Stage::Done(outcome) => Some(outcome),
            Stage::Taken => panic!("{TAKEN}"),
            unended => {
                self.stage = unended;
                None
            }
        }
    }
}

impl<F, R> Run for Call<F, R>
where
    F: FnOnce() -> R + Send,
    R: Send,
{
    fn run(&self) {
        self.try_run();
    }

    fn refuse(&self, error: JobError) {
        self.end_unstarted(error);
    }
}

impl<F, R> Backing<R> for Call<F, R>
where
    F: FnOnce() -> R + Send,
    R: Send,
{
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Outcome<R>> {
        self.run_if_on_own_worker();
        let mut slot = self.lock();
        if let Some(outcome) = slot.take() {
            return Poll::Ready(outcome);
        }
        let replaced = note_waker(&mut slot.waker, cx);
        drop(slot);
        drop(replaced);
        Poll::Pending
    }

    fn wait(&self, deadline: Option<Instant>) -> Option<Outcome<R>> {
        if deadline.is_none() {
            self.run_if_on_own_worker();
        }
        let seen = self.watch(deadline);
        if seen.is_some() {
            return seen;
        }
        let mut slot = self.lock();
        loop {
            if let Some(outcome) = slot.take() {
                return Some(outcome);
            }
            slot.sleepers += 1;
            slot = match deadline {
                None => self.ended.wait(slot).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    let woken = self.ended.wait_timeout(slot, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            slot.sleepers -= 1;
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return slot.take();
            }
        }
    }

    fn cancel(&self) -> bool {
        self.end_unstarted(JobError::Cancelled) || self.state() == JobState::Cancelled
    }

    fn kill(&self) -> bool {
        self.cancel()
    }

    fn state(&self) -> JobState {
        self.lock().state()
    }

    fn failed(&self) -> bool {
        match &self.lock().stage {
            Stage::Done(Err(error)) => *error != JobError::Cancelled,
            _ => false,
        }
    }

    fn watch(&self, watcher: Watcher) -> Option<Watcher> {
        let mut slot = self.lock();
        match slot.stage {
            Stage::Pending(_) | Stage::Running => {
                slot.rare.get_or_insert_default().watchers.add(watcher);
            }
            Stage::Done(_) | Stage::Taken => return Some(watcher),
        }
        None
    }

    fn help(&self) -> bool {
        self.run_if_on_own_worker()
    }
}

impl<F, R> Expire for Call<F, R>
where
    F: FnOnce() -> R + Send,
    R: Send,
{
    fn expire(&self, now: Instant) -> Option<Instant> {
        let mut slot = self.lock();
        if matches!(slot.stage, Stage::Done(_) | Stage::Taken) {
            return None;
        }
        let limits = slot.limits()?;
        let Some(limit) = limits.exceeded(now) else {
            // Looked at too early: for the other limit, or before the start.
            let deadline = limits.deadline.map(|(at, _)| at);
            return limits.over_at.into_iter().chain(deadline).min();
        };
        let started = matches!(slot.stage, Stage::Running);
        let late = JobError::timed_out(slot.label(self.task), limit, started);
        match slot.stage {
            Stage::Pending(_) => {
                drop(slot);
                self.end_unstarted(late);
                // If it was started this very moment, its deadline ends it now.
                (self.state() == JobState::Running).then_some(now)
            }
            Stage::Running if mutant!("threads-have-all-the-time") => None,
            Stage::Running => {
                slot.stage = Stage::Done(Err(late));
                self.announce(slot);
                None
            }
            Stage::Done(_) | Stage::Taken => None,
        }
    }
}
