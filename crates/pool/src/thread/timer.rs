//! The thread that ends jobs of a thread pool which exceed their limits.
//!
//! # Life
//!
//! Started at the first job with a limit, so pools without such jobs have no such thread. It sleeps
//! until the earliest limit, and ends when the pool closes it, after its last job.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::deadlines::Deadlines;
use crate::panics;

/// A job with limits, as the timer sees it.
pub(crate) trait Expire: Send + Sync {
    /// Ends the job if a limit of its is over; else says when to look again, if at all.
    fn expire(&self, now: Instant) -> Option<Instant>;
}

#[derive(Debug, Default)]
pub(crate) struct Timer {
    state: Mutex<State>,
    change: Condvar,
}

#[derive(Debug)]
struct State {
    deadlines: Deadlines<dyn Expire>,
    closed: bool,
    thread: Option<JoinHandle<()>>,
}

impl Default for State {
    fn default() -> State {
        State { deadlines: Deadlines::new(), closed: false, thread: None }
    }
}

impl Timer {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the thread, if it is not there.
    pub(crate) fn start(self: &Arc<Self>, pool: u64) -> io::Result<()> {
        let mut state = self.lock();
        if state.thread.is_none() && !state.closed {
            let timer = Arc::clone(self);
            let thread = std::thread::Builder::new().name(format!("pool-{pool}-timer"));
            state.thread = Some(thread.spawn(move || timer.run())?);
        }
        Ok(())
    }

    /// Has `job` looked at when the time has come.
    pub(crate) fn add(&self, when: Instant, job: Weak<dyn Expire>) {
        if self.lock().deadlines.add(when, job) {
            self.change.notify_one();
        }
    }

    fn run(&self) {
        let mut state = self.lock();
        while !state.closed {
            let now = Instant::now();
            if let Some(job) = state.deadlines.due(now) {
                drop(state);
                // It wakes, calls and drops what belongs to the user: that may panic.
                let again = panics::catch(|| job.expire(now)).ok().flatten();
                if let Some(when) = again {
                    self.add(when, Arc::downgrade(&job));
                }
                let _ = panics::catch(|| drop(job));
                state = self.lock();
                continue;
            }
            state = match state.deadlines.next() {
                None => self.change.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(next) => {
                    let woken = self.change.wait_timeout(state, next - now);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Ends the thread, and waits for that unless this is it.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let thread = state.thread.take();
        drop(state);
        self.change.notify_one();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            thread.join().expect("the timer catches every panic");
        }
    }
}
