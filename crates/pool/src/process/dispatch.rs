//! Which worker gets which call, and what becomes of answers.

use std::sync::Arc;
use std::time::Instant;

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::cell::Cell;
use super::codec::{self, Tag};
use super::hub::{Ended, Hub, State};
use super::link::{Reply, Worker};
use super::ring::Wake;
use super::wire::Kind;
use crate::error::JobError;

/// Where to look for what a worker has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// On its ring, by a thread that looks again and again: the worker need not wake it.
    Awake,
    /// On its ring; from now on the worker wakes whoever sleeps (`State::wake`).
    Asleep,
    /// On its socket, too, and as `Asleep`.
    Everywhere,
}

impl Hub {
    /// Queues a job, and hands out what can be. Returns whether the supervisor has something to do:
    /// a worker to start, or to keep watch.
    pub(super) fn enqueue(&self, state: &mut State, cell: Arc<Cell>, ended: &mut Ended) -> bool {
        let idle = state.workers.iter().filter(|worker| worker.is_free()).count();
        if let Some((at, _)) = cell.deadline {
            self.look_at(state, at, &cell);
        }
        if cell.rank != 0 || state.ranked {
            state.ranked = true;
            if idle == 0 {
                state.recall_below(cell.rank);
            }
        }
        state.queue_last(cell);
        self.pump(state, ended);
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
        self.receive(state, index, Look::Everywhere, ended);
        let worker = &mut state.workers[index];
        if worker.lost {
            // It stays readable for ever; only the supervisor has business with it now.
            let _ = self.epoll().delete(worker.fd());
            self.alarm();
        } else {
            self.watch_room(worker);
        }
    }

    /// Takes in what a worker has sent.
    pub(super) fn receive(&self, state: &mut State, index: usize, look: Look, ended: &mut Ended) {
        let mut replies = Vec::new();
        let worker = &mut state.workers[index];
        let lost = worker.lost;
        let arm = (look != Look::Awake).then_some(state.wake);
        worker.receive(look == Look::Everywhere, arm, |reply| replies.push(reply));
        if worker.lost && !lost {
            self.alarm();
        }
        for Reply { kind, job, payload } in replies {
            if kind != Kind::Skipped {
                state.stillborn = 0;
                state.done += 1;
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
            let error = codec::error_of(&cell.task, tag, &payload.bytes);
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
        self.hand_out(state, ended);
        for worker in state
            .workers
            .iter_mut()
            .filter(|worker| worker.is_through() && !mutant!("spent-worker-stays"))
        {
            worker.send_stop();
            // Another is to take its place.
            self.alarm();
        }
        if state.closing || state.broken.is_some() {
            for worker in state.workers.iter_mut().filter(|worker| worker.is_idle()) {
                worker.send_stop();
            }
        }
        // Whoever sleeps on the bells must not miss what comes by a socket.
        if state.wake == Wake::Word && !state.is_heard_by_rings() && !mutant!("sockets-go-unheard")
        {
            self.kick.kick_from_words();
        }
    }

    fn hand_out(&self, state: &mut State, ended: &mut Ended) {
        loop {
            while let Some(cell) = state.backlog.pop_front() {
                // The supervisor may come too late, as when a death has brought the job back.
                if let Some(limit) = cell.overdue().filter(|_| !mutant!("begun-after-its-deadline"))
                {
                    ended.push((Arc::clone(&cell), Err(cell.not_begun(limit))));
                    continue;
                }
                let roomy = state.workers.iter_mut().filter(|worker| worker.has_room());
                match roomy.min_by_key(|worker| worker.load()) {
                    Some(worker) => {
                        // It is not started before now, so its time-out is not over before.
                        let over_at =
                            cell.timeout.and_then(|limit| Instant::now().checked_add(limit));
                        worker.send_job(Arc::clone(&cell));
                        self.watch_room(worker);
                        if let Some(at) = over_at {
                            self.look_at(state, at, &cell);
                        }
                    }
                    None if cell.is_over() => {}
                    None => {
                        state.backlog.push_front(cell);
                        return;
                    }
                }
            }
            match level(&mut state.workers) {
                Some(cell) => state.queue_first(cell),
                None => break,
            }
        }
    }

    /// Has the supervisor look at the job's limits when the time has come.
    pub(super) fn look_at(&self, state: &mut State, at: Instant, cell: &Arc<Cell>) {
        if state.deadlines.add(at, Arc::downgrade(cell)) {
            self.alarm();
        }
    }
}

/// If a worker is idle while another has calls waiting behind the one it runs: takes the newest
/// of the longest queue back.
fn level(workers: &mut [Worker]) -> Option<Arc<Cell>> {
    if !workers.iter().any(Worker::is_idle) {
        return None;
    }
    // Not by load: that counts calls that were taken back before, of which there is no more to
    // take.
    let behind = |worker: &Worker| worker.jobs().count().saturating_sub(1);
    let queues = workers.iter_mut().filter(|worker| behind(worker) > 0);
    queues.max_by_key(|worker| behind(worker))?.recall_newest()
}

impl State {
    /// Puts a job behind those of its rank.
    fn queue_last(&mut self, cell: Arc<Cell>) {
        let at = if self.ranked {
            self.backlog.partition_point(|other| other.rank >= cell.rank)
        } else {
            self.backlog.len()
        };
        self.backlog.insert(at, cell);
    }

    /// Puts a job that was given out before in front of those of its rank.
    pub(super) fn queue_first(&mut self, cell: Arc<Cell>) {
        let at = if self.ranked {
            self.backlog.partition_point(|other| other.rank > cell.rank)
        } else {
            0
        };
        self.backlog.insert(at, cell);
    }

    /// Takes jobs of lesser rank that are not started back from the workers, so that one of this
    /// rank does not wait behind them.
    fn recall_below(&mut self, rank: i32) {
        for index in 0..self.workers.len() {
            let lesser = self.workers[index].recall_all(|cell| cell.rank < rank);
            for cell in lesser.into_iter().rev() {
                self.queue_first(cell);
            }
        }
    }
}
