//! `ForeignJob`: the cell of a job that somebody else runs.
//!
//! # Life
//!
//! ```text
//!             set_running            finish                wait, poll
//!   Pending <------------> Running -----------> Done ------------------> Taken
//!      |                                         ^
//!      +-----------------------------------------+
//!                        finish
//! ```
//!
//! The executor and the [`Job`] share it. It holds the result as bytes until the job's owner takes
//! it, who decodes it: whoever ends jobs is not held up by one job's data. Everything is under the
//! cell's own mutex; wakers and callbacks run outside of it.

use std::fmt;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::error::JobError;
use crate::executor::Wire;
use crate::job::{Backing, Job, JobState, Outcome, TAKEN, note_waker};
use crate::map::Chunk;
use crate::panics;
use crate::process::codec;
use crate::watch::{Watcher, Watchers};

/// Who runs a job: asked by [`Job::cancel`] and [`Job::kill`], on whatever thread they are called.
pub trait Line: Send + Sync + 'static {
    /// Cancels the job of this id if it does not run. Returns whether it is cancelled; then
    /// [`ForeignJob::finish`] has been called with [`JobError::Cancelled`].
    fn cancel(&self, id: u64) -> bool;

    /// Cancels the job, or has the worker killed that runs it. `false` if it has ended.
    fn kill(&self, id: u64) -> bool;
}

/// A job that is run by another crate's executor: the executor's end of a [`Job`].
pub struct ForeignJob {
    id: u64,
    task: String,
    line: Arc<dyn Line>,
    slot: Mutex<Slot>,
    ended: Condvar,
}

struct Slot {
    stage: Stage,
    waker: Option<Waker>,
    watchers: Watchers,
}

enum Stage {
    Pending,
    Running,
    Done(Outcome<Vec<u8>>),
    Taken,
}

impl ForeignJob {
    /// A pending job. `task` is its name in errors, `id` is what `line` knows it by.
    pub fn new(task: impl Into<String>, id: u64, line: Arc<dyn Line>) -> Arc<ForeignJob> {
        let slot = Slot { stage: Stage::Pending, waker: None, watchers: Watchers::default() };
        let (slot, ended) = (Mutex::new(slot), Condvar::new());
        Arc::new(ForeignJob { id, task: task.into(), line, slot, ended })
    }

    /// What `line` knows it by.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its name.
    pub fn task(&self) -> &str {
        &self.task
    }

    /// Where it is in its life.
    pub fn state(&self) -> JobState {
        self.lock().state()
    }

    /// Says that a worker has started it, or (if that was lost) that none has any more. Does
    /// nothing to a job that has ended.
    pub fn set_running(&self, running: bool) {
        let mut slot = self.lock();
        if matches!(slot.stage, Stage::Pending | Stage::Running) {
            slot.stage = if running { Stage::Running } else { Stage::Pending };
        }
    }

    /// Ends the job, with its encoded result or an error. Returns whether it did: a job ends once,
    /// and what comes later is dropped. Wakers and callbacks of the job run here; not to be called
    /// under a lock that they may want.
    pub fn finish(&self, outcome: Result<Vec<u8>, JobError>) -> bool {
        let mut slot = self.lock();
        if matches!(slot.stage, Stage::Done(_) | Stage::Taken) {
            return false;
        }
        slot.stage = Stage::Done(outcome);
        let state = slot.state();
        let waker = slot.waker.take();
        let watchers = mem::take(&mut slot.watchers);
        drop(slot);
        self.ended.notify_all();
        if let Some(waker) = waker {
            // A waker that panics is not to cost other jobs their end.
            let _ = panics::catch(|| waker.wake());
        }
        watchers.tell(state);
        true
    }

    /// The handle of a job that was submitted singly. One only: it takes the result.
    pub fn handle<R: Wire>(self: &Arc<Self>) -> Job<R> {
        Job::new(Arc::new(Handle { job: Arc::clone(self), decode: codec::result::<R> }))
    }

    /// The handle of a job that is the chunk of a map. One only: it takes the results.
    pub fn handle_of_items<R: Wire>(self: &Arc<Self>) -> Job<Chunk<R>> {
        Job::new(Arc::new(Handle { job: Arc::clone(self), decode: codec::chunk_of_results::<R> }))
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn state(&self) -> JobState {
        match &self.stage {
            Stage::Pending => JobState::Pending,
            Stage::Running => JobState::Running,
            Stage::Done(Err(JobError::Cancelled)) => JobState::Cancelled,
            Stage::Done(_) | Stage::Taken => JobState::Done,
        }
    }

    fn take(&mut self) -> Option<Outcome<Vec<u8>>> {
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

impl fmt::Debug for ForeignJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignJob")
            .field("id", &self.id)
            .field("task", &self.task)
            .field("state", &self.state())
            .finish()
    }
}

/// The job's side: knows how to read the result.
struct Handle<R> {
    job: Arc<ForeignJob>,
    decode: fn(&str, &[u8]) -> Outcome<R>,
}

impl<R> Handle<R> {
    fn read(&self, outcome: Outcome<Vec<u8>>) -> Outcome<R> {
        (self.decode)(&self.job.task, &outcome?)
    }

    /// `None` while it has not ended.
    fn is_cancelled(&self) -> Option<bool> {
        match self.job.state() {
            JobState::Pending | JobState::Running => None,
            state => Some(state == JobState::Cancelled),
        }
    }
}

impl<R> Backing<R> for Handle<R> {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Outcome<R>> {
        let mut slot = self.job.lock();
        if let Some(outcome) = slot.take() {
            drop(slot);
            return Poll::Ready(self.read(outcome));
        }
        let replaced = note_waker(&mut slot.waker, cx);
        drop(slot);
        drop(replaced);
        Poll::Pending
    }

    fn wait(&self, deadline: Option<Instant>) -> Option<Outcome<R>> {
        let mut slot = self.job.lock();
        loop {
            if let Some(outcome) = slot.take() {
                drop(slot);
                return Some(self.read(outcome));
            }
            slot = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                None => self.job.ended.wait(slot).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => return None,
                Some(left) => {
                    let woken = self.job.ended.wait_timeout(slot, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn cancel(&self) -> bool {
        self.is_cancelled().unwrap_or_else(|| self.job.line.cancel(self.job.id))
    }

    fn kill(&self) -> bool {
        self.is_cancelled().unwrap_or_else(|| self.job.line.kill(self.job.id))
    }

    fn state(&self) -> JobState {
        self.job.state()
    }

    fn failed(&self) -> bool {
        match &self.job.lock().stage {
            Stage::Done(Err(error)) => *error != JobError::Cancelled,
            _ => false,
        }
    }

    fn watch(&self, watcher: Watcher) -> Option<Watcher> {
        let mut slot = self.job.lock();
        match slot.stage {
            Stage::Pending | Stage::Running => slot.watchers.add(watcher),
            Stage::Done(_) | Stage::Taken => return Some(watcher),
        }
        None
    }

    fn help(&self) -> bool {
        false
    }
}

impl<R> Drop for Handle<R> {
    fn drop(&mut self) {
        // The result is of no use to anybody; its waker neither.
        let mut slot = self.job.lock();
        let waker = slot.waker.take();
        let result = match mem::replace(&mut slot.stage, Stage::Taken) {
            done @ Stage::Done(_) => Some(done),
            other => {
                slot.stage = other;
                None
            }
        };
        drop(slot);
        drop((waker, result));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    struct Nobody;

    impl Line for Nobody {
        fn cancel(&self, _: u64) -> bool {
            false
        }

        fn kill(&self, _: u64) -> bool {
            true
        }
    }

    fn job() -> (Arc<ForeignJob>, Job<u32>) {
        let foreign = ForeignJob::new("f", 7, Arc::new(Nobody));
        let handle = foreign.handle();
        (foreign, handle)
    }

    #[test]
    fn it_ends_once_and_all_who_wait_hear_of_it() {
        static TOLD: AtomicUsize = AtomicUsize::new(0);
        let (foreign, handle) = job();
        handle.on_done(|state| {
            assert_eq!(state, JobState::Done);
            TOLD.fetch_add(1, Ordering::SeqCst);
        });
        let waiting = std::thread::spawn(move || handle.wait());
        assert!(foreign.finish(Ok(vec![5])));
        assert!(!foreign.finish(Err(JobError::Cancelled)));
        assert_eq!(waiting.join().unwrap(), Ok(5));
        assert_eq!(TOLD.load(Ordering::SeqCst), 1);
        assert_eq!(foreign.state(), JobState::Done);
    }

    #[test]
    fn a_wait_ends_at_its_limit_and_the_job_goes_on() {
        let (foreign, mut handle) = job();
        assert_eq!(handle.wait_timeout(Duration::from_millis(1)), None);
        foreign.set_running(true);
        assert_eq!(handle.state(), JobState::Running);
        foreign.set_running(false);
        assert_eq!(handle.state(), JobState::Pending);
        assert!(!handle.cancel() && handle.kill());
        assert!(foreign.finish(Err(JobError::Cancelled)));
        assert_eq!(handle.state(), JobState::Cancelled);
        assert!(handle.cancel());
        assert_eq!(handle.wait_timeout(Duration::ZERO), Some(Err(JobError::Cancelled)));
    }

    #[test]
    fn a_result_of_the_wrong_shape_is_an_error() {
        let (foreign, handle) = job();
        foreign.finish(Ok(vec![1, 2, 3]));
        assert!(matches!(handle.wait(), Err(JobError::Decode(_))));
    }
}
