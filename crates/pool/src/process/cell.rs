//! The cell of a job on a process pool, on its way through a worker.
//!
//! # Life
//!
//! ```text
//!             offer              reply, death, refusal           wait, poll
//!   Queued ------------> Offered ------------------------> Done ------------> Taken
//!     |  <-------------     |                               ^
//!     |  recall, death      |  cancel (if the claim word    |
//!     +---------------------+  says the worker has not it)  |
//!             cancel        +-------------------------------+
//! ```
//!
//! The pool's queues and the [`Job`](crate::Job) share the cell. The arguments stay in it until
//! the job has ended, so that a job whose worker died before starting it can go to another.
//! Everything is under the cell's own mutex; no user code runs under it. Lock order: the hub's
//! lock, then a cell's.

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::call::{Answer, Call, Cause, Left};
use super::hub::Hub;
use super::page::Page;
use super::reapers::Waiter;
use super::shared;
use super::telling;
use crate::error::{JobError, Limit, WorkerDeath};
use crate::job::{Backing, JobState, Outcome, TAKEN, note_waker};
use crate::options::{JobOptions, Label};
use crate::panics;
use crate::watch::{Watcher, Watchers};

/// A job as the pool sees it; its result is bytes.
pub(crate) struct Cell {
    pub(crate) task: Label,
    /// Jobs of higher rank go first.
    pub(super) rank: i32,
    pub(super) timeout: Option<Duration>,
    pub(super) deadline: Option<(Instant, Duration)>,
    retries: u32,
    hub: Arc<Hub>,
    slot: Mutex<Slot>,
}

struct Slot {
    stage: Stage,
    waker: Option<Waker>,
    waiter: Option<Arc<Waiter>>,
    watchers: Watchers,
    /// The workers that died under it.
    deaths: Vec<WorkerDeath>,
    /// This job is counted among the awaited ones.
    awaited: bool,
}

/// What the limits of a job say.
pub(super) enum Verdict {
    /// It has ended, or has no limits.
    Fine,
    /// Look again then.
    Later(Instant),
    /// This limit is over.
    Late(Limit),
}

enum Stage {
    Queued(Call),
    Offered { call: Call, page: Arc<Page>, ticket: u64 },
    Done(Outcome<Answer>),
    Taken,
}

impl Cell {
    /// A job whose call could not be made has ended before it began.
    pub(crate) fn new(
        hub: Arc<Hub>,
        task: &'static str,
        mut options: JobOptions,
        call: Result<Call, JobError>,
    ) -> Cell {
        let stage = call.map_or_else(|error| Stage::Done(Err(error)), Stage::Queued);
        let slot = Slot {
            stage,
            waker: None,
            waiter: None,
            watchers: Watchers::default(),
            deaths: Vec::new(),
            awaited: false,
        };
        Cell {
            task: options.label(task),
            rank: options.priority,
            timeout: options.timeout,
            deadline: options.deadline_at(),
            retries: options.retries,
            hub,
            slot: Mutex::new(slot),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hub: offers the queued call to a worker, as its call `ticket`, and writes it out with
    /// `send`. `false`: the job was cancelled meanwhile.
    pub(crate) fn offer(&self, page: &Arc<Page>, ticket: u64, send: impl FnOnce(&Call)) -> bool {
        let mut slot = self.lock();
        match mem::replace(&mut slot.stage, Stage::Taken) {
            Stage::Queued(call) => {
                page.claim(ticket).offer(ticket);
                send(&call);
                slot.stage = Stage::Offered { call, page: Arc::clone(page), ticket };
                true
            }
            other => {
                slot.stage = other;
                false
            }
        }
    }

    /// Hub: takes the call back from its worker, if that has not started it; then it is queued
    /// again.
    pub(crate) fn recall(&self) -> bool {
        let mut slot = self.lock();
        match mem::replace(&mut slot.stage, Stage::Taken) {
            Stage::Offered { call, page, ticket } if page.claim(ticket).recall(ticket) => {
                slot.stage = Stage::Queued(call);
                true
            }
            other => {
                slot.stage = other;
                false
            }
        }
    }

    /// Whether the worker the call was offered to has started it.
    pub(crate) fn is_claimed(&self) -> bool {
        matches!(&self.lock().stage, Stage::Offered { page, ticket, .. }
            if page.claim(*ticket).is_claimed(*ticket))
    }

    /// Whether no worker has the call.
    pub(super) fn is_queued(&self) -> bool {
        matches!(self.lock().stage, Stage::Queued(_))
    }

    /// Whether the job has ended.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.lock().stage, Stage::Done(_) | Stage::Taken)
    }

    /// Ends the job, unless it has ended. Returns whether the pool's leader must be kicked.
    pub(crate) fn finish(&self, outcome: Outcome<Answer>) -> bool {
        let slot = self.lock();
        match slot.stage {
            Stage::Queued(_) | Stage::Offered { .. } => self.end(slot, outcome),
            Stage::Done(_) | Stage::Taken => false,
        }
    }

    fn end(&self, mut slot: MutexGuard<'_, Slot>, outcome: Outcome<Answer>) -> bool {
        let outcome = match &mut slot.stage {
            Stage::Queued(call) | Stage::Offered { call, .. } => call.outcome(outcome),
            Stage::Done(_) | Stage::Taken => outcome,
        };
        let stage = mem::replace(&mut slot.stage, Stage::Done(outcome));
        let state = slot.state();
        let (waker, waiter) = (slot.waker.take(), slot.waiter.take());
        let watchers = mem::take(&mut slot.watchers);
        let awaited = mem::take(&mut slot.awaited);
        drop(slot);
        drop(stage);
        if awaited {
            self.hub.reapers.no_longer_awaited();
        }
        let kick = waiter.is_some_and(|waiter| waiter.finish());
        if waker.is_some() || !watchers.is_empty() {
            telling::tell(self.hub.id, || {
                if let Some(waker) = waker {
                    // A waker that panics is not to cost the others theirs.
                    let _ = panics::catch(|| waker.wake());
                }
                watchers.tell(state);
            });
        }
        kick
    }

    /// The deadline, if that is over.
    pub(super) fn overdue(&self) -> Option<Limit> {
        let (at, limit) = self.deadline?;
        (at <= Instant::now()).then_some(Limit::Deadline(limit))
    }

    /// What a job ends with that a limit has kept from being started.
    pub(super) fn not_begun(&self, limit: Limit) -> JobError {
        JobError::timed_out(&self.task, limit, false)
    }

    /// Hub: whether a limit of the job is over.
    pub(super) fn examine(&self, now: Instant) -> Verdict {
        let slot = self.lock();
        let over_at = match &slot.stage {
            Stage::Done(_) | Stage::Taken => return Verdict::Fine,
            // The time-out counts from the start.
            Stage::Queued(_) => None,
            Stage::Offered { page, ticket, .. } => self.timeout.and_then(|limit| {
                let claimed = page.claim(*ticket).is_claimed(*ticket);
                let waited =
                    if mutant!("time-counts-in-the-queue") { limit } else { Duration::ZERO };
                let ran = if claimed { page.running_for() } else { waited };
                now.checked_add(limit.saturating_sub(ran))
            }),
        };
        let deadline = self.deadline.map(|(at, _)| at);
        match (over_at, self.deadline) {
            (Some(at), _) if at <= now => {
                Verdict::Late(Limit::Timeout(self.timeout.unwrap_or_default()))
            }
            (_, Some((at, limit))) if at <= now => Verdict::Late(Limit::Deadline(limit)),
            _ => over_at.into_iter().chain(deadline).min().map_or(Verdict::Fine, Verdict::Later),
        }
    }

    /// Hub: the worker is gone while it ran the job. `None`: the job is queued again, for another
    /// attempt or for the other items of a chunk; else what it has ended with.
    pub(super) fn lose(&self, cause: Cause, left: Left) -> Option<Outcome<Answer>> {
        let mut slot = self.lock();
        let mut call = match mem::replace(&mut slot.stage, Stage::Taken) {
            Stage::Offered { call, .. } => call,
            other => {
                slot.stage = other;
                return None;
            }
        };
        let deaths = &mut slot.deaths;
        let outcome = if call.chunk {
            call.salvage(left, || self.verdict(cause, deaths));
            // All are done: it died before it could say so, or with the last one.
            let over = call.arguments.is_empty();
            over.then(|| Ok(Answer::joined(mem::take(&mut call.before), Answer::default())))
        } else {
            self.verdict(cause, deaths).map(Err)
        };
        slot.stage = Stage::Queued(call);
        outcome
    }

    /// What a job, or an item, ends with whose worker is gone; `None` if it is to be tried again.
    fn verdict(&self, cause: Cause, deaths: &mut Vec<WorkerDeath>) -> Option<JobError> {
        let death = match cause {
            Cause::Killed(death) => return Some(JobError::Killed(Box::new(death))),
            Cause::TimedOut(limit) => return Some(JobError::timed_out(&self.task, limit, true)),
            Cause::Died(death) => death,
        };
        deaths.push(death);
        if deaths.len() <= self.retries as usize {
            return None;
        }
        Some(JobError::deaths(&self.task, mem::take(deaths)))
    }

    /// Cancels the job if no worker has started it. Returns whether it is cancelled.
    pub(crate) fn cancel(&self) -> bool {
        let slot = self.lock();
        let unstarted = match &slot.stage {
            Stage::Queued(_) => true,
            Stage::Offered { page, ticket, .. } => page.claim(*ticket).recall(*ticket),
            Stage::Done(outcome) => return matches!(outcome, Err(JobError::Cancelled)),
            Stage::Taken => false,
        };
        if unstarted && self.end(slot, Err(JobError::Cancelled)) {
            self.hub.kick.kick();
        }
        unstarted
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
            Stage::Queued(_) | Stage::Offered { .. } => slot.watchers.add(watcher),
            Stage::Done(_) | Stage::Taken => return Some(watcher),
        }
        self.mark_awaited(&mut slot);
        None
    }

    /// Somebody is to hear of the job's end who does not reap. Under the cell's lock, so that the
    /// job's end does not count down before.
    fn mark_awaited(&self, slot: &mut Slot) {
        if !mem::replace(&mut slot.awaited, true) {
            self.hub.awaited();
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Outcome<Answer>> {
        let mut slot = self.lock();
        if let Some(outcome) = slot.take() {
            return Poll::Ready(outcome);
        }
        let replaced = note_waker(&mut slot.waker, cx);
        self.mark_awaited(&mut slot);
        drop(slot);
        drop(replaced);
        Poll::Pending
    }

    fn wait(&self, deadline: Option<Instant>) -> Option<Outcome<Answer>> {
        let waiter = {
            let mut slot = self.lock();
            if let Some(outcome) = slot.take() {
                return Some(outcome);
            }
            telling::refuse_to_wait(self.hub.id);
            let waiter = Arc::new(Waiter::default());
            slot.waiter = Some(Arc::clone(&waiter));
            waiter
        };
        self.hub.wait(&waiter, deadline);
        let mut slot = self.lock();
        slot.waiter = None;
        slot.take()
    }

    /// The handle is gone: nobody awaits the job any more.
    fn abandon(&self) {
        let mut slot = self.lock();
        let waker = slot.waker.take();
        // Those who gave it callbacks still want to hear of its end.
        if slot.watchers.is_empty() && mem::take(&mut slot.awaited) {
            self.hub.reapers.no_longer_awaited();
        }
        drop(slot);
        drop(waker);
    }
}

impl Slot {
    fn state(&self) -> JobState {
        match &self.stage {
            Stage::Queued(_) => JobState::Pending,
            Stage::Offered { page, ticket, .. } if page.claim(*ticket).is_claimed(*ticket) => {
                JobState::Running
            }
            Stage::Offered { .. } => JobState::Pending,
            Stage::Done(Err(JobError::Cancelled)) => JobState::Cancelled,
            Stage::Done(_) | Stage::Taken => JobState::Done,
        }
    }

    fn take(&mut self) -> Option<Outcome<Answer>> {
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

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cell").field("task", &self.task).field("state", &self.state()).finish()
    }
}

/// The job's handle side: knows how to read the result.
pub(crate) struct Remote<R> {
    pub(crate) cell: Arc<Cell>,
    pub(crate) decode: fn(&str, &[u8]) -> Outcome<R>,
}

impl<R> Remote<R> {
    /// Decoded by whoever takes it: the reaping thread must not be held up by one job's data.
    fn read(&self, outcome: Outcome<Answer>) -> Outcome<R> {
        let Answer { bytes, fds } = outcome?;
        let task = &*self.cell.task;
        shared::received(fds, || (self.decode)(task, &bytes)).unwrap_or_else(|error| {
            Err(JobError::decode(task, format!("taking its shared buffers failed: {error}")))
        })
    }
}

impl<R> Backing<R> for Remote<R> {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Outcome<R>> {
        self.cell.poll(cx).map(|outcome| self.read(outcome))
    }

    fn wait(&self, deadline: Option<Instant>) -> Option<Outcome<R>> {
        self.cell.wait(deadline).map(|outcome| self.read(outcome))
    }

    fn cancel(&self) -> bool {
        self.cell.cancel()
    }

    fn kill(&self) -> bool {
        self.cell.cancel() || self.cell.hub.kill(&self.cell)
    }

    fn state(&self) -> JobState {
        self.cell.state()
    }

    fn failed(&self) -> bool {
        self.cell.failed()
    }

    fn watch(&self, watcher: Watcher) -> Option<Watcher> {
        self.cell.watch(watcher)
    }

    fn help(&self) -> bool {
        false
    }

    fn refuse_to_wait_if_told(&self) {
        telling::refuse_to_wait(self.cell.hub.id);
    }
}

impl<R> Drop for Remote<R> {
    fn drop(&mut self) {
        self.cell.abandon();
    }
}
