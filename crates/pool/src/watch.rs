//! Who is to be told when a job has ended: callbacks, and the arrivals of a set of jobs.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::job::JobState;
use crate::panics;

/// Called once, when its job has ended, by whoever ended it.
pub(crate) type Watcher = Box<dyn FnOnce(JobState) + Send>;

/// The callbacks of one job, first come first told.
#[derive(Default)]
pub(crate) struct Watchers(Vec<Watcher>);

impl Watchers {
    pub(crate) fn add(&mut self, watcher: Watcher) {
        self.0.push(watcher);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells all of them. Not to be called under a lock: they run the user's code.
    pub(crate) fn tell(self, state: JobState) {
        for watcher in self.0 {
            call(watcher, state);
        }
    }
}

/// Calls one. It may panic; the hook has printed that, and the thread that ends jobs goes on.
pub(crate) fn call(watcher: Watcher, state: JobState) {
    let _ = panics::catch(|| watcher(state));
}

impl fmt::Debug for Watchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watchers").field(&self.0.len()).finish()
    }
}

/// Which of a set of jobs have ended, in the order in which they did. The set's owner takes them;
/// each job's watcher holds a share and puts its number in.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    landed: Mutex<Landed>,
    change: Condvar,
}

#[derive(Debug, Default)]
struct Landed {
    numbers: VecDeque<usize>,
    waker: Option<Waker>,
}

impl Arrivals {
    fn lock(&self) -> MutexGuard<'_, Landed> {
        self.landed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What reports the job `number`.
    pub(crate) fn watcher(self: &Arc<Self>, number: usize) -> Watcher {
        let arrivals = Arc::clone(self);
        Box::new(move |_| arrivals.put(number))
    }

    fn put(&self, number: usize) {
        let mut landed = self.lock();
        landed.numbers.push_back(number);
        let waker = landed.waker.take();
        drop(landed);
        self.change.notify_one();
        if let Some(waker) = waker.filter(|_| !mutant!("arrival-wakes-nobody")) {
            waker.wake();
        }
    }

    pub(crate) fn try_take(&self) -> Option<usize> {
        self.lock().numbers.pop_front()
    }

    /// Blocks until one arrives; `None` when the deadline passed first.
    pub(crate) fn take(&self, deadline: Option<Instant>) -> Option<usize> {
        let mut landed = self.lock();
        loop {
            if let Some(number) = landed.numbers.pop_front() {
                return Some(number);
            }
            landed = match deadline {
                None => self.change.wait(landed).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    let woken = self.change.wait_timeout(landed, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<usize> {
        let mut landed = self.lock();
        if let Some(number) = landed.numbers.pop_front() {
            return Poll::Ready(number);
        }
        let replaced = landed.waker.replace(cx.waker().clone());
        drop(landed);
        drop(replaced);
        Poll::Pending
    }
}
