//! The parent's side of a process pool: queue, workers, replies. All of it under one lock.
//!
//! Jobs wait in the backlog until a worker has room; a worker holds up to [`DEPTH`] calls, in a
//! queue of its own that no other process touches. So the death of a worker can spoil nothing but
//! the one call it was running: calls it had not claimed go back to the backlog, and calls that
//! wait behind a long one are recalled when another worker is idle.
//!
//! Nothing here blocks: what a socket does not take at once is kept and sent when it has room. No
//! user code runs under the lock: ended jobs are collected and told after it is released.
//! `dispatch.rs` says which worker gets which call, `reapers.rs` who collects, `lead.rs` how,
//! `supervisor.rs` starts and buries workers, and `upkeep.rs` what becomes of their calls.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::call::{Answer, Call};
use super::cell::Cell;
use super::kick::Kick;
use super::limits::Limits;
use super::link::{Sentence, Worker};
#[cfg(doc)]
use super::page::DEPTH;
use super::reapers::{Reapers, Waiter};
use super::ring::Wake;
use super::telling;
use crate::deadlines::Deadlines;
use crate::error::JobError;
use crate::job::Outcome;
use crate::options::JobOptions;

/// Jobs that have ended, to be told once the lock is released.
pub(super) type Ended = Vec<(Arc<Cell>, Outcome<Answer>)>;

/// What is under the lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) workers: Vec<Worker>,
    /// Jobs no worker has, highest rank first.
    pub(super) backlog: VecDeque<Arc<Cell>>,
    /// There has been a job of a rank other than 0.
    pub(super) ranked: bool,
    /// Jobs with limits.
    pub(super) deadlines: Deadlines<Cell>,
    /// How many workers there are to be; grows with demand up to the limit.
    pub(super) desired: usize,
    /// Workers being started.
    pub(super) starting: usize,
    pub(super) closing: bool,
    pub(super) broken: Option<String>,
    /// Workers in a row that died before they did anything.
    pub(super) stillborn: u32,
    /// For statistics: calls answered; workers ever ready; workers that ended unasked.
    pub(super) done: u64,
    pub(super) started: u64,
    pub(super) deaths: u64,
    /// The supervisor looks every few milliseconds whether results lie about.
    pub(super) watched: bool,
    /// What the bells are armed with: `Word` while the leader sleeps on them.
    pub(super) wake: Wake,
    /// The kernel lets threads sleep on several words at once, as far as is known.
    pub(super) words: bool,
    /// Those who wait for all work to end.
    pub(super) drain_waiters: Vec<Arc<Waiter>>,
}

/// How long workers live, and what they may use.
#[derive(Clone, Debug, Default)]
pub(super) struct Life {
    /// Jobs one worker answers before another takes its place.
    pub(super) max_tasks: Option<u64>,
    /// Resident bytes beyond which another takes its place.
    pub(super) max_resident: Option<u64>,
    /// The jobs' names are shown as the workers' names.
    pub(super) show_jobs: bool,
    /// How long a worker may be idle, and how many may be so for ever.
    pub(super) idle: Option<(Duration, usize)>,
    pub(super) limits: Limits,
    /// Panics carry backtraces whatever the environment says.
    pub(super) backtraces: bool,
}

/// One pool, shared by its handle, its jobs and its threads.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(super) id: u64,
    pub(super) limit: usize,
    pub(super) name: String,
    pub(super) initializer: Option<u64>,
    pub(super) life: Life,
    pub(super) reapers: Reapers,
    /// Whether it was worth the while, lately, to watch the rings before going to sleep. A hint.
    dense: AtomicBool,
    state: Mutex<State>,
    /// Readable when a worker's socket has something: the doorbell.
    epoll: Epoll,
    pub(super) kick: Kick,
    /// Makes the supervisor look up.
    alarm: EventFd,
    collector_started: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// All workers are gone, and the supervisor with them.
    over: (Mutex<bool>, Condvar),
}

impl Hub {
    pub(super) fn new(
        id: u64,
        limit: usize,
        name: String,
        initializer: Option<u64>,
        life: Life,
    ) -> io::Result<Hub> {
        let state = State {
            workers: Vec::new(),
            backlog: VecDeque::new(),
            ranked: false,
            deadlines: Deadlines::new(),
            desired: 0,
            starting: 0,
            closing: false,
            broken: None,
            stillborn: 0,
            done: 0,
            started: 0,
            deaths: 0,
            watched: false,
            wake: Wake::Socket,
            words: true,
            drain_waiters: Vec::new(),
        };
        Ok(Hub {
            id,
            limit,
            name,
            initializer,
            life,
            reapers: Reapers::new(),
            dense: AtomicBool::new(false),
            state: Mutex::new(state),
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            kick: Kick::new()?,
            alarm: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
            collector_started: AtomicBool::new(false),
            threads: Mutex::new(Vec::new()),
            over: (Mutex::new(false), Condvar::new()),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn epoll(&self) -> &Epoll {
        &self.epoll
    }

    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }

    pub(super) fn alarm_fd(&self) -> BorrowedFd<'_> {
        self.alarm.as_fd()
    }

    /// Makes the supervisor look up.
    pub(super) fn alarm(&self) {
        // EAGAIN: the counter is full, so it is readable, which is all that is asked for.
        let _ = self.alarm.write(1);
    }

    pub(super) fn silence_alarm(&self) {
        let _ = self.alarm.read();
    }

    /// Whether watching the rings before going to sleep was worth the while lately.
    pub(super) fn traffic_is_dense(&self) -> bool {
        // Relaxed, here and below: a hint.
        self.dense.load(Ordering::Relaxed)
    }

    pub(super) fn note_traffic(&self, dense: bool) {
        self.dense.store(dense, Ordering::Relaxed);
    }

    /// Takes a job in. What cannot be taken has ended with the reason.
    pub(super) fn submit(
        self: &Arc<Self>,
        task: &'static str,
        options: JobOptions,
        call: Result<Call, JobError>,
    ) -> Arc<Cell> {
        let cell = Arc::new(Cell::new(Arc::clone(self), task, options, call));
        if cell.is_over() {
            return cell;
        }
        let mut state = self.lock();
        if let Some(error) = state.refusal() {
            drop(state);
            cell.finish(Err(error));
            return cell;
        }
        let mut ended = Ended::new();
        let demand = self.enqueue(&mut state, Arc::clone(&cell), &mut ended);
        drop(state);
        self.tell(ended, false);
        if demand {
            self.alarm();
        }
        cell
    }

    /// Collects what the workers have sent, without blocking, and wakes those who wait for it.
    /// Returns how many jobs have ended.
    pub(crate) fn reap(&self, as_leader: bool) -> usize {
        let mut events = [EpollEvent::empty(); 32];
        let mut total = 0;
        loop {
            let count = match self.epoll.wait(&mut events, EpollTimeout::ZERO) {
                Ok(count) => count,
                Err(nix::Error::EINTR) => continue,
                Err(error) => panic!("reaping the pool's own epoll descriptor failed: {error}"),
            };
            let mut ended = Ended::new();
            if count > 0 {
                let mut state = self.lock();
                for event in &events[..count] {
                    self.attend(&mut state, event.data(), &mut ended);
                }
                self.settle(state, as_leader, &mut ended);
            }
            total += ended.len();
            self.tell(ended, as_leader);
            if count < events.len() {
                return total;
            }
        }
    }

    /// After replies came in: hands out more work, and tells those who wait for the end of it.
    pub(super) fn settle(
        &self,
        mut state: MutexGuard<'_, State>,
        as_leader: bool,
        ended: &mut Ended,
    ) {
        self.pump(&mut state, ended);
        let waiters =
            if state.drained() { std::mem::take(&mut state.drain_waiters) } else { Vec::new() };
        drop(state);
        let mut kick = false;
        for waiter in waiters {
            kick |= waiter.finish();
        }
        if kick && !as_leader {
            self.kick.kick();
        }
    }

    /// Ends jobs; not to be called under the lock.
    pub(super) fn tell(&self, ended: Ended, as_leader: bool) {
        let mut kick = false;
        for (cell, outcome) in ended {
            kick |= cell.finish(outcome);
        }
        if kick && !as_leader {
            self.kick.kick();
        }
    }

    /// Has the worker that runs the job killed. `false`: no worker runs it (any more).
    pub(crate) fn kill(&self, cell: &Arc<Cell>) -> bool {
        let mut ended = Ended::new();
        let mut state = self.lock();
        let condemned = self.condemn(&mut state, cell, Sentence::Killed, &mut ended);
        self.settle(state, false, &mut ended);
        self.tell(ended, false);
        condemned
    }

    /// A job is awaited: the collector must be there, unless a loop is attached.
    pub(crate) fn awaited(self: &Arc<Self>) {
        if self.reapers.awaited() {
            self.start_collector();
        }
    }

    /// Starts the collector thread, once. `false` if that failed: the supervisor then reaps.
    pub(super) fn start_collector(self: &Arc<Self>) -> bool {
        // Relaxed suffices: the flag only makes sure that one thread starts it.
        if self.collector_started.swap(true, Ordering::Relaxed) {
            return true;
        }
        let hub = Arc::clone(self);
        let started = self.start_thread("collect", move || hub.collect()).is_ok();
        if !started {
            self.collector_started.store(false, Ordering::Relaxed);
        }
        started
    }

    pub(super) fn start_thread(
        &self,
        role: &str,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let name = format!("pool-{}-{role}", self.id);
        let handle = std::thread::Builder::new().name(name).spawn(body)?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
        Ok(())
    }

    /// Takes no more jobs; see `ProcessPool::shutdown`.
    pub(super) fn shutdown(&self, wait: bool, cancel_pending: bool) {
        let mut state = self.lock();
        state.closing = true;
        let unstarted = if cancel_pending { state.all_jobs() } else { Vec::new() };
        drop(state);
        for cell in unstarted.iter().rev() {
            cell.cancel();
        }
        let waiter = Arc::new(Waiter::default());
        let mut state = self.lock();
        // Also for those cancelled just now: the backlog still holds their empty cells.
        state.drain_waiters.push(Arc::clone(&waiter));
        let mut ended = Ended::new();
        self.settle(state, false, &mut ended);
        self.tell(ended, false);
        self.alarm();
        if wait && !self.on_own_thread() {
            self.wait(&waiter, None);
            self.wait_until_over();
            self.join();
        }
    }

    /// Takes no more jobs, waits at most for `limit`, then ends what is left.
    pub(super) fn shutdown_within(&self, limit: Duration, cancel_pending: bool) -> bool {
        self.shutdown(false, cancel_pending);
        let waiter = Arc::new(Waiter::default());
        let mut state = self.lock();
        state.drain_waiters.push(Arc::clone(&waiter));
        let mut ended = Ended::new();
        self.settle(state, false, &mut ended);
        self.tell(ended, false);
        if !self.on_own_thread() {
            self.wait(&waiter, Instant::now().checked_add(limit));
        }
        let drained = waiter.is_done();
        if !drained {
            // What is pending goes first: it would start when what runs is gone.
            let left = self.lock().all_jobs();
            let running: Vec<_> = left.into_iter().rev().filter(|cell| !cell.cancel()).collect();
            running.iter().for_each(|cell| {
                self.kill(cell);
            });
        }
        self.shutdown(true, true);
        drained
    }

    /// Supervisor: the last worker is gone.
    pub(super) fn set_over(&self) {
        self.reapers.close();
        self.kick.kick();
        *self.over.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.over.1.notify_all();
    }

    fn wait_until_over(&self) {
        let over = self.over.0.lock().unwrap_or_else(PoisonError::into_inner);
        let over = self.over.1.wait_while(over, |over| !*over);
        drop(over.unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether the caller keeps one of the threads that bring the pool to its end: a waker may run
    /// anything, even drop the pool, and a thread cannot wait for itself.
    fn on_own_thread(&self) -> bool {
        if telling::is_telling(self.id) {
            return true;
        }
        let here = std::thread::current().id();
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.iter().any(|handle| handle.thread().id() == here)
    }

    fn join(&self) {
        loop {
            let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(handle) = threads.pop() else { return };
            drop(threads);
            handle.join().expect("the pool's threads do not panic");
        }
    }
}

impl State {
    /// Why no job is taken in, if so.
    fn refusal(&self) -> Option<JobError> {
        match &self.broken {
            Some(reason) => Some(JobError::broken(reason)),
            None => self.closing.then_some(JobError::PoolShutdown),
        }
    }

    /// How many calls the workers have not answered. Those taken back are among them: until the
    /// worker has skipped them somebody has to hear its answers.
    pub(super) fn unanswered(&self) -> usize {
        self.workers.iter().map(Worker::load).sum()
    }

    /// Whether a word on a ring tells of all that may come.
    pub(super) fn is_heard_by_rings(&self) -> bool {
        self.workers.iter().all(Worker::is_heard_by_ring)
    }

    /// Whether all work has ended.
    pub(super) fn drained(&self) -> bool {
        self.backlog.is_empty() && self.unanswered() == 0
    }

    fn all_jobs(&self) -> Vec<Arc<Cell>> {
        let sent = self.workers.iter().flat_map(Worker::jobs);
        sent.chain(&self.backlog).map(Arc::clone).collect()
    }
}
