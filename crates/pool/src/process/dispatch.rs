//! Which worker gets which call, and what becomes of answers and of the calls of the dead.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::cell::Cell;
use super::codec::{self, Tag};
use super::hub::{Ended, Hub, State};
use super::link::{Reply, Worker};
use super::wire::Kind;
use crate::error::{Exit, JobError, WorkerDeath};

/// This many workers in a row that die before they did anything: the next would, too.
const STILLBORN_LIMIT: u32 = 3;
/// A worker that lived longer than this did not die of its start.
const INFANCY: Duration = Duration::from_secs(1);

impl Hub {
    /// Queues a job. Returns whether the supervisor has something to do: a worker to start, or to
    /// keep watch.
    pub(super) fn enqueue(&self, state: &mut State, cell: Arc<Cell>) -> bool {
        let idle = state.workers.iter().filter(|worker| worker.is_idle()).count();
        state.backlog.push_back(cell);
        // Nothing ends by handing out: this queue holds no cancelled job unless it was full before.
        let mut ended = Ended::new();
        self.pump(state, &mut ended);
        debug_assert!(ended.is_empty());
        // One more worker per job that finds none idle, as long as more jobs than newborns wait.
        let grow = idle == 0
            && state.desired < self.limit
            && state.starting < state.backlog.len() + state.unanswered();
        if grow {
            state.desired += 1;
        }
        grow | !std::mem::replace(&mut state.watched, true)
    }

    /// A worker's socket is ready for something.
    pub(super) fn attend(&self, state: &mut State, key: u64, ended: &mut Ended) {
        // Events of the dead can still come: they were read before the burial.
        let Some(index) = state.workers.iter().position(|worker| worker.key == key) else { return };
        state.workers[index].send_rest();
        self.receive(state, index, ended);
        let worker = &mut state.workers[index];
        if worker.lost {
            // It stays readable for ever; only the supervisor has business with it now.
            let _ = self.epoll().delete(worker.fd());
            self.alarm();
        } else {
            self.watch_room(worker);
        }
    }

    fn receive(&self, state: &mut State, index: usize, ended: &mut Ended) {
        let mut replies = Vec::new();
        state.workers[index].receive(|reply| replies.push(reply));
        for Reply { kind, job, payload } in replies {
            if kind != Kind::Skipped {
                state.stillborn = 0;
            }
            // Without a job: it was recalled and given to another worker.
            let Some(cell) = job else { continue };
            let tag = match kind {
                Kind::Done => {
                    ended.push((cell, Ok(payload)));
                    continue;
                }
                Kind::Skipped => {
                    ended.push((cell, Err(JobError::Cancelled)));
                    continue;
                }
                Kind::Panicked => Tag::Panicked,
                Kind::ArgumentsRefused => Tag::ArgumentsRefused,
                _ => Tag::ResultRefused,
            };
            let error = codec::error_of(cell.task, tag, &payload);
            ended.push((cell, Err(error)));
        }
    }

    /// Has epoll tell when the socket has room, as long as something is to be sent.
    fn watch_room(&self, worker: &mut Worker) {
        let wanted = worker.has_unsent();
        if wanted != worker.watching_room {
            let mut flags = EpollFlags::EPOLLIN;
            flags.set(EpollFlags::EPOLLOUT, wanted);
            let mut event = EpollEvent::new(flags, worker.key);
            // Refused only for a descriptor taken out because its worker is lost.
            let _ = self.epoll().modify(worker.fd(), &mut event);
            worker.watching_room = wanted;
        }
    }

    /// Hands out work as long as there is some and a worker has room; then levels it out; at the
    /// end of a pool, sends the workers home.
    pub(super) fn pump(&self, state: &mut State, ended: &mut Ended) {
        if let Some(reason) = &state.broken {
            let error = JobError::broken(reason);
            ended.extend(state.backlog.drain(..).map(|cell| (cell, Err(error.clone()))));
        }
        loop {
            while let Some(cell) = state.backlog.pop_front() {
                let roomy = state.workers.iter_mut().filter(|worker| worker.has_room());
                match roomy.min_by_key(|worker| worker.load()) {
                    Some(worker) => {
                        worker.send_job(cell);
                        self.watch_room(worker);
                    }
                    None if cell.is_over() => {}
                    None => {
                        state.backlog.push_front(cell);
                        return;
                    }
                }
            }
            match level(&mut state.workers) {
                Some(cell) => state.backlog.push_back(cell),
                None => break,
            }
        }
        if state.closing || state.broken.is_some() {
            for worker in state.workers.iter_mut().filter(|worker| worker.is_idle()) {
                worker.send_stop();
            }
        }
    }

    /// Supervisor: a worker has reported ready.
    pub(super) fn welcome(&self, worker: Worker) {
        let mut state = self.lock();
        state.starting -= 1;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, worker.key);
        let watched = self.epoll().add(worker.fd(), event);
        state.workers.push(worker);
        let mut ended = Ended::new();
        if let Err(error) = watched {
            // Without it nobody would hear of its answers.
            self.give_up(&mut state, format!("watching a worker's socket: {error}"), &mut ended);
        }
        self.settle(state, false, &mut ended);
        self.tell(ended, false);
    }

    /// Supervisor: a ready worker has died. What it sent before counts; the call it was running
    /// is lost with it; those it had not started go back to the queue.
    pub(super) fn bury(&self, key: u64, exit: Exit) {
        let mut ended = Ended::new();
        let mut state = self.lock();
        let Some(index) = state.workers.iter().position(|worker| worker.key == key) else { return };
        self.receive(&mut state, index, &mut ended);
        let worker = state.workers.swap_remove(index);
        let _ = self.epoll().delete(worker.fd());
        let (pid, age) = (worker.pid, worker.ready_at.elapsed());
        let (useful, stopped) = (worker.useful, worker.stopping);
        let mut ran = false;
        let mut unstarted = VecDeque::new();
        for cell in worker.into_jobs() {
            if cell.recall() {
                unstarted.push_back(cell);
                continue;
            }
            // Claimed; or cancelled, then it has ended and this changes nothing.
            ran |= cell.is_claimed();
            let death = WorkerDeath { task: cell.task.to_owned(), pid, exit };
            ended.push((cell, Err(JobError::WorkerDied(Box::new(death)))));
        }
        unstarted.append(&mut state.backlog);
        state.backlog = unstarted;
        if !ran && !useful && !stopped && age < INFANCY {
            let text = format!("worker process {pid} {exit} before its first job");
            self.stillbirth(&mut state, text, &mut ended);
        }
        self.settle(state, false, &mut ended);
        self.tell(ended, false);
    }

    /// Supervisor: the system refuses to start one more worker.
    pub(super) fn refused(&self, error: &io::Error) {
        let mut ended = Ended::new();
        let mut state = self.lock();
        state.starting -= 1;
        let others = state.workers.len() + state.starting;
        if others == 0 {
            self.give_up(&mut state, error.to_string(), &mut ended);
        } else {
            // It goes on with those it has; later demand may ask for more again.
            state.desired = state.desired.min(others);
        }
        self.settle(state, false, &mut ended);
        self.tell(ended, false);
    }

    /// Supervisor: a worker ended before it was ready.
    pub(super) fn not_born(&self, what: String, hopeless: bool) {
        let mut ended = Ended::new();
        let mut state = self.lock();
        state.starting -= 1;
        if hopeless {
            self.give_up(&mut state, what, &mut ended);
        } else {
            self.stillbirth(&mut state, what, &mut ended);
        }
        self.settle(state, false, &mut ended);
        self.tell(ended, false);
    }

    fn stillbirth(&self, state: &mut State, what: String, ended: &mut Ended) {
        state.stillborn += 1;
        if state.stillborn >= STILLBORN_LIMIT {
            let text = format!("{STILLBORN_LIMIT} workers in a row died at their start: {what}");
            self.give_up(state, text, ended);
        }
    }

    /// The pool can run nothing any more. What runs may end.
    fn give_up(&self, state: &mut State, reason: String, ended: &mut Ended) {
        state.broken.get_or_insert(reason);
        self.pump(state, ended);
        self.alarm();
    }
}

/// If a worker is idle while another has calls waiting behind the one it runs: takes the newest
/// of the longest queue back.
fn level(workers: &mut [Worker]) -> Option<Arc<Cell>> {
    if !workers.iter().any(Worker::is_idle) {
        return None;
    }
    workers.iter_mut().filter(|w| w.load() >= 2).max_by_key(|w| w.load())?.recall_newest()
}

impl State {
    /// How many workers the supervisor is to start.
    pub(super) fn missing(&self) -> usize {
        let ending = self.broken.is_some() || (self.closing && self.backlog.is_empty());
        if ending {
            return 0;
        }
        let alive = self.workers.iter().filter(|worker| !worker.lost).count();
        self.desired.saturating_sub(alive + self.starting)
    }

    /// Whether the supervisor's work is done.
    pub(super) fn over(&self) -> bool {
        (self.closing || self.broken.is_some())
            && self.workers.is_empty()
            && self.starting == 0
            && self.drained()
    }
}
