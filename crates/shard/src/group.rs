//! What the threads of a group share: who is ready, who has ended, and the request to end.
//!
//! # Life story of a group
//!
//! *starting*: threads pin themselves and make their loops; each reports that it is ready or why
//! not. The last report decides: *running* if all are ready, otherwise *refused*, and every thread
//! leaves. *stopping*: somebody asked for the end, or a service failed; each shard cancels its
//! service, and aborts it at the deadline, which only ever comes nearer. *over*: the last
//! service has ended; loops that lingered close. Then the threads end one after another.
//!
//! It is one lock and a condition for threads that wait, with a waker per shard for loops that
//! wait. Nothing here is on a hot path.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use uring_loop::Handle;

use crate::error::{Cause, Failure};
use crate::event::Observer;
use crate::restart::Restart;

/// How long after the deadline of a stop a thread may take before it counts as stuck. A loop that
/// closes waits for the kernel, 5 s unless told otherwise.
const STUCK: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) cpus: Vec<usize>,
    /// The classes of calls.
    pub(crate) services: Vec<String>,
    pub(crate) rules: Rules,
    state: Mutex<State>,
    changed: Condvar,
}

/// What was decided about a group before it began.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// How long services may take to end after another failed.
    pub(crate) patience: Duration,
    /// Whether a shard serves calls until all services have ended.
    pub(crate) linger: bool,
    /// Whether a shard that panics begins anew.
    pub(crate) restart: Option<Restart>,
    /// After how long without a turn a shard is reported.
    pub(crate) stuck: Option<Duration>,
    pub(crate) observer: Observer,
}

#[derive(Debug)]
struct State {
    /// Threads that have not yet reported how their start went.
    unreported: usize,
    /// The lowest shard that could not start.
    refused: Option<(usize, io::Error)>,
    stop: Option<Instant>,
    failure: Option<Failure>,
    /// Which services have ended.
    ended: Vec<bool>,
    /// Which threads are past their last use of anything here.
    gone: Vec<bool>,
    wakers: Vec<Option<Waker>>,
    /// The loops that run.
    handles: Vec<Option<Handle>>,
}

impl Group {
    pub(crate) fn new(cpus: Vec<usize>, services: Vec<String>, rules: Rules) -> Self {
        let count = cpus.len();
        Group {
            cpus,
            services,
            rules,
            state: Mutex::new(State {
                unreported: count,
                refused: None,
                stop: None,
                failure: None,
                ended: vec![false; count],
                gone: vec![false; count],
                wakers: vec![None; count],
                handles: vec![None; count],
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread says how its start went.
    pub(crate) fn report(&self, shard: usize, started: Result<(), io::Error>) {
        let mut state = self.lock();
        state.unreported -= 1;
        if let Err(error) = started
            && state.refused.as_ref().is_none_or(|(first, _)| shard < *first)
        {
            state.refused = Some((shard, error));
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until all have reported. `true`: all are ready.
    pub(crate) fn await_start(&self) -> bool {
        let mut state = self.lock();
        while state.unreported > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.refused.is_none()
    }

    /// Why the group could not start.
    pub(crate) fn take_refusal(&self) -> Option<io::Error> {
        let (shard, error) = self.lock().refused.take()?;
        let cpu = self.cpus[shard];
        let text = format!("starting shard {shard} on CPU {cpu}: {error}");
        Some(io::Error::new(error.kind(), Refusal { text, error }))
    }

    /// Asks every service to end within `patience`. A later deadline than one given before
    /// changes nothing.
    pub(crate) fn stop(&self, patience: Duration) {
        let deadline = far(patience);
        let wakers = {
            let mut state = self.lock();
            state.stop = Some(state.stop.map_or(deadline, |earlier| earlier.min(deadline)));
            state.wakers.clone()
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
        self.changed.notify_all();
    }

    /// The deadline, once the end was asked for. The waker is woken at the next news.
    pub(crate) fn listen(&self, shard: usize, waker: &Waker) -> Option<Instant> {
        let mut state = self.lock();
        let slot = &mut state.wakers[shard];
        if !slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
        state.stop
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.lock().stop.is_some()
    }

    /// Whether every service has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.lock().ended.iter().all(|ended| *ended)
    }

    /// A service has ended; for the first that failed, the others are asked to end.
    pub(crate) fn service_ended(&self, shard: usize, cause: Option<Cause>) {
        let (wakers, stop) = {
            let mut state = self.lock();
            state.ended[shard] = true;
            let stop = cause.is_some();
            if let Some(cause) = cause {
                let cpu = self.cpus[shard];
                state.failure.get_or_insert(Failure { shard, cpu, cause });
            }
            (state.wakers.clone(), stop)
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
        self.changed.notify_all();
        if stop {
            self.stop(self.rules.patience);
        }
    }

    /// A shard's loop runs now, or has ended.
    pub(crate) fn set_handle(&self, shard: usize, handle: Option<Handle>) {
        self.lock().handles[shard] = handle;
    }

    /// A shard's loop, if it runs.
    pub(crate) fn handle(&self, shard: usize) -> Option<Handle> {
        self.lock().handles[shard].clone()
    }

    /// Waits for so long. `false`: the end was asked for meanwhile.
    pub(crate) fn pause(&self, pause: Duration) -> bool {
        let end = far(pause);
        let mut state = self.lock();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if state.stop.is_some() || left.is_zero() {
                return state.stop.is_none();
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A thread is about to end.
    pub(crate) fn thread_gone(&self, shard: usize) {
        let mut state = self.lock();
        state.gone[shard] = true;
        state.wakers[shard] = None;
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until all threads are about to end. `Err`: this one is stuck.
    pub(crate) fn await_threads(&self) -> Result<(), Failure> {
        let mut state = self.lock();
        loop {
            let Some(shard) = state.gone.iter().position(|gone| !gone) else { return Ok(()) };
            let Some(stop) = state.stop else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = (stop + STUCK).saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failure { shard, cpu: self.cpus[shard], cause: Cause::Stuck });
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(crate) fn take_failure(&self) -> Option<Failure> {
        self.lock().failure.take()
    }
}

/// The time after `patience`; as good as never if that is beyond the clock.
fn far(patience: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    Instant::now() + patience.min(YEAR)
}

/// A start that failed: our words, and the error itself as the source.
#[derive(Debug)]
struct Refusal {
    text: String,
    error: io::Error,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(count: usize) -> Group {
        let rules = Rules {
            patience: Duration::ZERO,
            linger: true,
            restart: None,
            stuck: None,
            observer: Observer::default(),
        };
        Group::new((10..10 + count).collect(), vec!["calls".into()], rules)
    }

    #[test]
    fn a_thread_that_is_not_gone_long_after_the_deadline_is_stuck() {
        let group = group(2);
        group.thread_gone(0);
        group.lock().stop = Instant::now().checked_sub(STUCK);
        let failure = group.await_threads().expect_err("shard 1 never came back");
        assert_eq!((failure.shard(), failure.cpu()), (1, 11));
        assert!(failure.to_string().contains("is stuck"), "{failure}");
        group.thread_gone(1);
        assert!(group.await_threads().is_ok());
    }

    #[test]
    fn of_two_failures_the_first_is_kept_and_the_rest_is_asked_to_end() {
        let group = group(3);
        assert!(!group.is_stopping());
        group.service_ended(2, Some(Cause::Panicked("first".into())));
        group.service_ended(0, Some(Cause::Panicked("second".into())));
        assert!(group.is_stopping() && !group.is_over());
        group.service_ended(1, None);
        assert!(group.is_over());
        assert!(group.take_failure().is_some_and(|failure| failure.shard() == 2));
    }

    #[test]
    fn of_two_shards_that_cannot_start_the_lower_is_named() {
        let group = group(3);
        group.report(2, Err(io::Error::other("no ring")));
        group.report(0, Ok(()));
        group.report(1, Err(io::Error::new(io::ErrorKind::PermissionDenied, "no pin")));
        assert!(!group.await_start());
        let error = group.take_refusal().expect("two were refused");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(error.to_string(), "starting shard 1 on CPU 11: no pin");
    }

    #[test]
    fn a_patience_beyond_the_clock_is_a_year() {
        let group = group(1);
        group.stop(Duration::MAX);
        assert!(group.is_stopping());
    }
}
