//! The cell of a job on a thread pool: one allocation that holds the closure, then its result.
//!
//! # Life
//!
//! `Pending(f)` -> `Running` -> `Done(outcome)` -> `Taken`; `cancel` goes from `Pending` straight
//! to `Done(Err(Cancelled))`. The queue and the [`Job`](crate::Job) share the cell; whoever leaves
//! last frees it, and with it a result nobody took. All steps are made under one mutex, held for a
//! few instructions and never while the user's code runs: the closure is taken out to run or to be
//! dropped, the waker is taken out to be woken.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::error::JobError;
use crate::job::{Backing, JobState, Outcome, TAKEN};
use crate::panics;

/// A job as the queue and the workers see it.
pub(crate) trait Run: Send + Sync {
    /// Runs the job here, unless it was started or cancelled already.
    fn run(&self);
    /// Ends the job with `error`, if no worker has started it.
    fn refuse(&self, error: JobError);
}

pub(crate) struct Call<F, R> {
    pool: u64,
    task: &'static str,
    slot: Mutex<Slot<F, R>>,
    ended: Condvar,
}

struct Slot<F, R> {
    stage: Stage<F, R>,
    waker: Option<Waker>,
    /// How many threads sleep on `ended`: waking nobody would still be a system call.
    sleepers: u32,
}

enum Stage<F, R> {
    Pending(F),
    Running,
    Done(Outcome<R>),
    Taken,
}

impl<F, R> Call<F, R> {
    /// A job of the pool `pool`, shown in errors as `task`.
    pub(crate) fn new(pool: u64, task: &'static str, f: F) -> Call<F, R> {
        let slot = Slot { stage: Stage::Pending(f), waker: None, sleepers: 0 };
        Call { pool, task, slot: Mutex::new(slot), ended: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Slot<F, R>> {
        // No user code runs under the lock, so a poisoned one is whole.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves a pending job to `next` and hands out its closure.
    fn claim(&self, next: Stage<F, R>) -> Option<F> {
        let mut slot = self.lock();
        match slot.stage {
            Stage::Pending(_) => match mem::replace(&mut slot.stage, next) {
                Stage::Pending(f) => Some(f),
                _ => unreachable!("the stage was pending a line ago, under the same lock"),
            },
            _ => None,
        }
    }

    /// What a worker waits for it does itself, if nobody has begun: every worker may be waiting
    /// like this one. It runs this very job and no other, so its stack only ever holds jobs that
    /// wait for the one above, and a deadlock needs a cycle in the jobs themselves.
    fn run_if_on_own_worker(&self)
    where
        F: FnOnce() -> R + Send,
        R: Send,
    {
        if super::current_pool() == Some(self.pool) {
            self.run();
        }
    }

    /// Wakes whoever waits for a job that has just reached `Done`.
    fn announce(&self, mut slot: MutexGuard<'_, Slot<F, R>>) {
        let waker = slot.waker.take();
        let asleep = slot.sleepers > 0;
        drop(slot);
        if asleep {
            self.ended.notify_all();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn end_unstarted(&self, error: JobError) -> bool {
        let Some(f) = self.claim(Stage::Done(Err(error))) else { return false };
        self.announce(self.lock());
        // What the closure owns may panic when dropped; the caller is not to blame.
        let _ = panics::catch(|| drop(f));
        true
    }
}

impl<F, R> Slot<F, R> {
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
        let Some(f) = self.claim(Stage::Running) else { return };
        let outcome = panics::catch(f).map_err(|caught| caught.into_error(self.task));
        let mut slot = self.lock();
        slot.stage = Stage::Done(outcome);
        self.announce(slot);
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
        let replaced = match &mut slot.waker {
            Some(waker) if waker.will_wake(cx.waker()) => None,
            other => other.replace(cx.waker().clone()),
        };
        drop(slot);
        drop(replaced);
        Poll::Pending
    }

    fn wait(&self, deadline: Option<Instant>) -> Option<Outcome<R>> {
        if deadline.is_none() {
            self.run_if_on_own_worker();
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

    fn state(&self) -> JobState {
        match self.lock().stage {
            Stage::Pending(_) => JobState::Pending,
            Stage::Running => JobState::Running,
            Stage::Done(Err(JobError::Cancelled)) => JobState::Cancelled,
            Stage::Done(_) | Stage::Taken => JobState::Done,
        }
    }
}
