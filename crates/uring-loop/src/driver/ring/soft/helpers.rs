//! Helper threads for what never says that it would block: files and names.
//!
//! # Life story of a job
//!
//! | state | it is | its memory belongs to |
//! |---|---|---|
//! | *waiting* | in the line of its lane; the ring may withdraw it | the operation's slot |
//! | *running* | with a helper, which makes the call; nothing stops it any more | the same: the slot is not freed before the completion, which the ring posts only when the helper is done |
//! | *done* | its result waits for the ring | the same |
//!
//! If the ring goes first, waiting jobs are dropped. Running ones go on: what they write to was
//! leaked by the driver, since their completion did not come in time (`shutdown.rs`). Their results
//! are dropped with the last thread that shares them.
//!
//! The bell that wakes the ring is made with the first job, and closed with the ring.
//!
//! There are two lanes, as the kernel has two sorts of workers: one for the contents of files, one
//! for names and whatever else. A thread that waits for ten seconds ends.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::super::Sqe;
use super::blocking;
use super::requests::Name;
use crate::sys::eventfd::Bell;

const IDLE: Duration = Duration::from_secs(10);

/// Which threads do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    Files,
    Others,
}

/// A call to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) name: Name,
    pub(super) sqe: Sqe,
    pub(super) fd: RawFd,
    /// Bytes that were moved before.
    pub(super) done: usize,
}

#[derive(Debug, Default)]
struct Crew {
    jobs: VecDeque<Job>,
    alive: usize,
    idle: usize,
}

#[derive(Debug, Default)]
struct State {
    crews: [Crew; 2],
    results: Vec<(Name, i32)>,
    /// Wakes the ring when there are results.
    bell: Option<Bell>,
    /// The ring has gone.
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    arrived: [Condvar; 2],
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ring's side.
#[derive(Debug)]
pub(super) struct Helpers {
    shared: Arc<Shared>,
    most: [usize; 2],
    /// Jobs whose result the ring has not got.
    given: usize,
    /// It was told that the ring makes calls itself.
    told: bool,
}

impl Helpers {
    /// With so many threads at most, per lane.
    pub(super) fn new(most: [u32; 2]) -> Self {
        let most = most.map(|most| most.max(1) as usize);
        Helpers { shared: Arc::default(), most, given: 0, told: false }
    }

    /// Makes the bell, if there is none yet; `listen` is told its descriptor.
    fn make_bell(&self, listen: impl FnOnce(RawFd) -> io::Result<()>) -> io::Result<()> {
        let mut state = self.shared.lock();
        if state.bell.is_none() {
            let bell = Bell::new()?;
            listen(bell.fd())?;
            state.bell = Some(bell);
        }
        Ok(())
    }

    /// Jobs that are with the helpers.
    pub(super) fn busy(&self) -> bool {
        self.given > 0
    }

    /// Hands a job over. `listen` is told the descriptor of the bell when that is made.
    pub(super) fn give(
        &mut self,
        lane: Lane,
        job: Job,
        listen: impl FnOnce(RawFd) -> io::Result<()>,
    ) {
        self.given += 1;
        if let Err(error) = self.make_bell(listen) {
            self.tell(&error);
            return self.shared.run(job);
        }
        let at = lane as usize;
        let mut state = self.shared.lock();
        let crew = &mut state.crews[at];
        crew.jobs.push_back(job);
        let needed = crew.idle < crew.jobs.len() && crew.alive < self.most[at];
        let none = crew.alive == 0;
        if needed {
            crew.alive += 1;
        }
        drop(state);
        self.shared.arrived[at].notify_one();
        if needed && let Err(error) = self.start(at) {
            self.shared.lock().crews[at].alive -= 1;
            if none {
                // No thread can be had: then this one does what waits.
                self.tell(&error);
                self.shared.work_off(at);
            }
        }
    }

    fn start(&self, at: usize) -> io::Result<()> {
        let shared = self.shared.clone();
        let name = ["uring-files", "uring-names"][at];
        thread::Builder::new().name(name.into()).spawn(move || shared.work(at)).map(drop)
    }

    fn tell(&mut self, error: &io::Error) {
        if !mem::replace(&mut self.told, true) {
            tracing::warn!(
                "no helper thread for files and names ({error}): the loop makes such calls itself, \
                 and waits in them, as long as that is so (ulimit -n, ulimit -u)"
            );
        }
    }

    /// Takes a job back that no helper has begun with.
    pub(super) fn withdraw(&mut self, name: Name) -> bool {
        let mut state = self.shared.lock();
        for crew in &mut state.crews {
            let at = crew.jobs.iter().position(|job| job.name == name);
            if let Some(at) = at {
                crew.jobs.remove(at);
                self.given -= 1;
                return true;
            }
        }
        false
    }

    /// Whether there are results.
    pub(super) fn has_results(&self) -> bool {
        self.given > 0 && !self.shared.lock().results.is_empty()
    }

    /// Takes the results that are there.
    pub(super) fn results(&mut self) -> Vec<(Name, i32)> {
        if self.given == 0 {
            return Vec::new();
        }
        let results = mem::take(&mut self.shared.lock().results);
        self.given -= results.len();
        results
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.bell = None;
        state.crews.iter_mut().for_each(|crew| crew.jobs.clear());
        drop(state);
        self.shared.arrived.iter().for_each(Condvar::notify_all);
    }
}

impl Shared {
    /// What a helper does.
    fn work(&self, at: usize) {
        let mut state = self.lock();
        loop {
            while let Some(job) = state.crews[at].jobs.pop_front() {
                drop(state);
                self.run(job);
                state = self.lock();
            }
            if state.closed {
                break;
            }
            state.crews[at].idle += 1;
            let (woken, waited) =
                self.arrived[at].wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.crews[at].idle -= 1;
            if waited.timed_out() && state.crews[at].jobs.is_empty() {
                break;
            }
        }
        state.crews[at].alive -= 1;
    }

    fn work_off(&self, at: usize) {
        loop {
            let job = self.lock().crews[at].jobs.pop_front();
            let Some(job) = job else { return };
            self.run(job);
        }
    }

    fn run(&self, job: Job) {
        // SAFETY: the memory that the entry names stays valid until its completion (`Op`), which
        // comes after this job's result, or for ever; see the head of this file.
        let result = unsafe { blocking::carry_out(&job.sqe, job.fd, job.done) };
        let mut state = self.lock();
        state.results.push((job.name, result));
        if state.results.len() == 1
            && let Some(bell) = &state.bell
        {
            bell.ring();
        }
    }
}
