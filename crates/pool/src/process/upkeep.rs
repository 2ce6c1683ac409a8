//! What the supervisor has done to the pool's table: workers that come and go, those that must be
//! killed, and what becomes of the calls of the dead.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::call::{Answer, Cause, Left};
use super::cell::{Cell, Verdict};
use super::dispatch::Look;
use super::hub::{Ended, Hub, State};
use super::link::{Sent, Sentence, Worker};
use super::page::Diary;
use super::ring::Wake;
use super::statistics;
use crate::error::{Exit, WorkerDeath};

/// This many workers in a row that die before they did anything: the next would, too.
const STILLBORN_LIMIT: u32 = 3;
/// A worker that lived longer than this did not die of its start.
const INFANCY: Duration = Duration::from_secs(1);

impl Hub {
    /// Supervisor: sends workers home that have been idle for long. Returns when to look again.
    pub(super) fn retire_idle(&self) -> Option<Instant> {
        let (limit, keep) = self.life.idle.filter(|_| !mutant!("idle-for-ever"))?;
        let mut state = self.lock();
        let now = Instant::now();
        let mut spare = state.desired.saturating_sub(keep);
        let mut next = None;
        let mut retired = 0;
        for worker in state.workers.iter_mut().filter(|worker| worker.is_idle()) {
            let at = worker.idle_since.checked_add(limit);
            match at {
                _ if spare == 0 => break,
                Some(at) if at <= now => {
                    worker.send_stop();
                    (spare, retired) = (spare - 1, retired + 1);
                }
                Some(at) => next = Some(next.map_or(at, |next: Instant| next.min(at))),
                None => {}
            }
        }
        state.desired -= retired;
        next
    }

    /// Supervisor: workers that have grown too large are to make way for others.
    pub(super) fn look_for_outgrown(&self) {
        let Some(most) = self.life.max_resident.filter(|_| !mutant!("as-large-as-it-likes")) else {
            return;
        };
        let pids: Vec<u32> = self.lock().workers.iter().map(|worker| worker.pid).collect();
        // The lock is not held while the kernel is asked.
        let outgrown: Vec<u32> = pids
            .into_iter()
            .filter(|pid| statistics::resident(*pid).is_some_and(|bytes| bytes > most))
            .collect();
        if outgrown.is_empty() {
            return;
        }
        let mut state = self.lock();
        for index in 0..state.workers.len() {
            let worker = &mut state.workers[index];
            if outgrown.contains(&worker.pid) && !worker.outgrown {
                worker.outgrown = true;
                for cell in worker.recall_all(|_| true).into_iter().rev() {
                    state.queue_first(cell);
                }
            }
        }
        let mut ended = Ended::new();
        self.settle(state, false, &mut ended);
        self.tell(ended, false);
    }

    /// Supervisor: a worker has reported ready.
    pub(super) fn welcome(&self, worker: Worker) {
        let mut state = self.lock();
        state.starting -= 1;
        state.started += 1;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, worker.key);
        let watched = self.epoll().add(worker.fd(), event);
        let mut ended = Ended::new();
        state.workers.push(worker);
        let index = state.workers.len() - 1;
        self.receive(&mut state, index, Look::Asleep, &mut ended);
        if state.wake == Wake::Word && !mutant!("newborns-go-unheard") {
            // It is not among those whose bells are listened to.
            self.kick.kick_from_words();
        }
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
        self.receive(&mut state, index, Look::Everywhere, &mut ended);
        let worker = state.workers.swap_remove(index);
        let _ = self.epoll().delete(worker.fd());
        let (pid, age) = (worker.pid, worker.ready_at.elapsed());
        let (useful, stopped) = (worker.answered > 0, worker.stopping);
        state.deaths += u64::from(!stopped);
        let will = Will::of(&worker, exit);
        let mut ran = worker.condemned.is_some();
        // The last one first: each goes to the front of its rank.
        for sent in worker.into_sent().rev() {
            let Sent { job: Some(cell), partial, items, .. } = sent else { continue };
            if cell.recall() {
                state.queue_first(cell);
            } else if cell.is_claimed() {
                ran = true;
                match cell.lose(will.cause(&cell), will.left(partial, items)) {
                    Some(outcome) => ended.push((cell, outcome)),
                    // If its deadline was the cause, that ends what is left as it is handed out.
                    None => state.queue_first(cell),
                }
            }
            // Else it was cancelled.
        }
        if !ran && !useful && !stopped && age < INFANCY {
            let text = format!("worker process {pid} {exit} before its first job");
            self.stillbirth(&mut state, text, &mut ended);
        }
        self.settle(state, false, &mut ended);
        self.tell(ended, false);
    }

    /// Supervisor: ends jobs whose limits are over.
    pub(super) fn end_late(&self) {
        let now = Instant::now();
        let mut ended = Ended::new();
        let mut state = self.lock();
        while let Some(cell) = state.deadlines.due(now) {
            match cell.examine(now) {
                Verdict::Fine => {}
                Verdict::Later(at) => drop(state.deadlines.add(at, Arc::downgrade(&cell))),
                Verdict::Late(limit) => {
                    let sentence = Sentence::TimedOut(limit);
                    // Not started: whoever finds its empty cell in a queue passes it over.
                    if cell.is_queued() || cell.recall() {
                        let error = cell.not_begun(limit);
                        ended.push((cell, Err(error)));
                    } else {
                        self.condemn(&mut state, &cell, sentence, &mut ended);
                    }
                }
            }
        }
        self.settle(state, false, &mut ended);
        self.tell(ended, false);
    }

    /// Has the supervisor kill the worker that runs the job, and makes sure that this job is the
    /// only one it can hit. `false`: no worker runs it (any more), though its answer may not have
    /// been received.
    pub(super) fn condemn(
        &self,
        state: &mut State,
        cell: &Arc<Cell>,
        sentence: Sentence,
        ended: &mut Ended,
    ) -> bool {
        let Some(index) = state.workers.iter().position(|worker| worker.runs(cell)) else {
            return false;
        };
        // Perhaps its answer has come already.
        self.receive(state, index, Look::Everywhere, ended);
        let worker = &mut state.workers[index];
        if worker.condemned.is_some() || !worker.runs(cell) {
            return worker.runs(cell);
        }
        if mutant!("the-next-one-is-hit") {
            // Long enough for what otherwise happens once in many thousand kills.
            std::thread::sleep(Duration::from_micros(200));
        }
        let others = worker.recall_all(|_| true);
        // Unless it has gone on to the next one, between the look and the recall: then it has
        // answered this one.
        let hit = worker.jobs().all(|job| Arc::ptr_eq(job, cell) || !job.is_claimed())
            || mutant!("the-next-one-is-hit");
        if hit {
            worker.condemned = Some((Arc::clone(cell), sentence));
            self.alarm();
        }
        for other in others.into_iter().rev() {
            state.queue_first(other);
        }
        hit
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

/// What a dead worker leaves behind.
struct Will {
    death: WorkerDeath,
    condemned: Option<(Arc<Cell>, Sentence)>,
    diary: Diary,
}

impl Will {
    fn of(worker: &Worker, exit: Exit) -> Will {
        let last_words = worker.last_words().map(Box::new);
        let pid = worker.pid;
        let death = WorkerDeath { task: String::new(), pid, exit, last_words };
        Will { death, condemned: worker.condemned.clone(), diary: worker.diary() }
    }

    /// Why the job it ran lost it.
    fn cause(&self, cell: &Arc<Cell>) -> Cause {
        let mut death = WorkerDeath { task: cell.task.to_string(), ..self.death.clone() };
        if let Some(panic) = &mut death.last_words {
            panic.task.clone_from(&death.task);
        }
        match &self.condemned {
            Some((condemned, sentence)) if Arc::ptr_eq(condemned, cell) => match sentence {
                Sentence::Killed => Cause::Killed(death),
                Sentence::TimedOut(limit) => Cause::TimedOut(*limit),
            },
            _ => Cause::Died(death),
        }
    }

    /// What there is of a chunk it ran: what it had sent, and what was on its shelf since.
    fn left(&self, mut results: Answer, items: u64) -> Left {
        // Else it died between sending all and clearing the shelf.
        if self.diary.sent_off == items && !mutant!("shelf-not-read") {
            results.bytes.extend_from_slice(&self.diary.shelf);
        }
        Left { begun: self.diary.begun, results }
    }
}

impl State {
    /// How many workers the supervisor is to start.
    pub(super) fn missing(&self) -> usize {
        let ending = self.broken.is_some() || (self.closing && self.backlog.is_empty());
        if ending {
            return 0;
        }
        let alive = self.workers.iter().filter(|worker| worker.is_sound()).count();
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
