//! Which worker gets which call, and what becomes of answers and of the calls of the dead.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::call::{Answer, Cause, Left};
use super::cell::{Cell, Verdict};
use super::codec::{self, Tag};
use super::hub::{Ended, Hub, State};
use super::link::{Reply, Sent, Sentence, Worker};
use super::page::Diary;
use super::ring::Wake;
use super::statistics;
use super::wire::Kind;
use crate::error::{Exit, JobError, WorkerDeath};

/// This many workers in a row that die before they did anything: the next would, too.
const STILLBORN_LIMIT: u32 = 3;
/// A worker that lived longer than this did not die of its start.
const INFANCY: Duration = Duration::from_secs(1);

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

    /// Has the supervisor look at the job's limits when the time has come.
    fn look_at(&self, state: &mut State, at: Instant, cell: &Arc<Cell>) {
        if state.deadlines.add(at, Arc::downgrade(cell)) {
            self.alarm();
        }
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
    fn queue_first(&mut self, cell: Arc<Cell>) {
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
