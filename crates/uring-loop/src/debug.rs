//! Debug mode: polls that take too long, and polls that never end. (Operations: `trace/`.)
//!
//! A loop is one thread, and every poll is trusted to be short. In debug mode
//! (`Builder::debug`, or `URING_LOOP_DEBUG=1`) each poll is timed. One that took longer than it may
//! is reported when it is over; one that does not end is reported by a thread that looks in from
//! outside, since the loop itself cannot.

use std::env;
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::report::{Report, ReportKind};
use crate::task::TaskRef;

/// What debug mode looks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// A poll that takes longer is reported: asyncio's `slow_callback_duration`.
    pub(crate) slow: Duration,
    /// A poll that is still running after this time is reported from outside.
    pub(crate) stall: Duration,
    /// An operation that ends by itself and takes longer is reported.
    pub(crate) operation: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            slow: Duration::from_millis(100),
            stall: Duration::from_secs(1),
            operation: Duration::from_secs(1),
        }
    }
}

/// Whether the environment asks for debug mode.
pub(crate) fn wanted_by_environment() -> bool {
    env::var_os("URING_LOOP_DEBUG").is_some_and(|value| !value.is_empty() && value != "0")
}

/// The debug mode of a loop. Dropping it ends the thread that watches.
pub(crate) struct Debug {
    limits: Limits,
    shared: Arc<Shared>,
    watcher: Option<JoinHandle<()>>,
}

/// What the loop tells its watcher.
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    loop_id: u32,
}

struct State {
    /// The poll in progress; the watcher takes it once it has reported it.
    polling: Option<Poll>,
    over: bool,
}

struct Poll {
    since: Instant,
    /// What its task is called, if that was said: the watcher cannot look it up.
    name: Option<String>,
    kind: &'static str,
    task: u32,
    location: &'static Location<'static>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Debug {
    pub(crate) fn new(limits: Limits, loop_id: u32) -> Self {
        let state = Mutex::new(State { polling: None, over: false });
        let shared = Arc::new(Shared { state, changed: Condvar::new(), loop_id });
        let watched = shared.clone();
        let watcher = thread::Builder::new()
            .name("uring-loop-debug".into())
            .spawn(move || watch(&watched, limits.stall));
        if let Err(error) = &watcher {
            tracing::warn!("debug mode goes without a watcher for stalls: {error}");
        }
        Debug { limits, shared, watcher: watcher.ok() }
    }

    /// Times what polls `task`.
    pub(crate) fn time(&self, task: &TaskRef, poll: impl FnOnce()) {
        let since = Instant::now();
        let (name, kind) = (task.header().given_name(), task.header().kind());
        let location = task.location();
        self.shared.state().polling = Some(Poll { since, name, kind, task: task.id(), location });
        poll();
        self.shared.state().polling = None;
        let took = since.elapsed();
        if took >= self.limits.slow {
            Report::new(ReportKind::Slow, format!("a poll took {:.3} s", took.as_secs_f64()))
                .named(task.name())
                .at(location)
                .send();
        }
    }
}

/// Looks in from outside until the loop is over. It looks as often as half the limit, so a stall is
/// reported between one and one and a half limits after it began.
fn watch(shared: &Shared, stall: Duration) {
    let mut state = shared.state();
    while !state.over {
        let waited = shared.changed.wait_timeout(state, stall / 2);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        if let Some(poll) = state.polling.take_if(|poll| poll.since.elapsed() >= stall) {
            drop(state);
            report(shared.loop_id, &poll);
            state = shared.state();
        }
    }
}

/// To the log only: the handler belongs to the thread that stands still.
fn report(loop_id: u32, poll: &Poll) {
    let took = poll.since.elapsed().as_secs_f64();
    let message = format!("loop {loop_id} stands still: a poll runs for {took:.1} s already");
    Report::new(ReportKind::Stalled, message)
        .named(poll.name.clone().unwrap_or_else(|| format!("{}-{}", poll.kind, poll.task)))
        .at(poll.location)
        .log();
}

impl Drop for Debug {
    fn drop(&mut self) {
        self.shared.state().over = true;
        self.shared.changed.notify_all();
        if let Some(watcher) = self.watcher.take() {
            // It does not panic; and if it did, its hook has said so.
            let _ended = watcher.join();
        }
    }
}

impl fmt::Debug for Debug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.limits.fmt(f)
    }
}
