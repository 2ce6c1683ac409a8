//! The supervisor: one process for each shard, kept alive, replaced, and ended together.
//!
//! # Life story of a worker
//!
//! *starting*: its process runs, and has not said that it serves; one that takes too long is
//! killed. *serving*: it has. *ending*: it was told to (SIGTERM), and is killed if that takes too
//! long. *gone*: the kernel has told how it ended, and the worker is forgotten. A slot (a shard's
//! index, CPU and sockets) has at most one worker that starts or serves, and during a reload a
//! successor that starts; any number may be ending.
//!
//! Everything that happens comes as a [`News`], one after another, and changes the state in one
//! place; tasks only wait and report. They are few, and none is on the way of a request.

mod news;
mod reload;
mod start;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use uring_loop::process::{Child, ExitStatus};
use uring_loop::signal::{SignalKind, signals};

use super::board::Board;
use super::notify::Notify;
use super::post::Letters;
use super::pulse::Pulse;
use super::{Deploy, monotonic, quiet_loop};
use crate::event::Event;
use crate::restart::Backoff;
use news::{Letterbox, News, look_every};
use start::slots;

/// How often workers are looked at in the time after which they are stuck.
const LOOKS: u32 = 4;
/// How long after the deadline of its drain a process is killed.
const GRACE: Duration = Duration::from_secs(1);

pub(super) fn run(deploy: Deploy) -> io::Result<()> {
    let mut event_loop = quiet_loop()?;
    event_loop.run_until_complete(supervise(deploy)).map_err(io::Error::other)?
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Starting,
    Serving,
    Ending,
}

struct Worker {
    slot: usize,
    state: State,
    /// It is to replace one that serves.
    successor: bool,
    /// It has said that it serves, and is linked with all others that have.
    linked: bool,
    child: Rc<Child>,
    letters: Rc<Letters>,
    pulse: Pulse,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.letters.close();
    }
}

/// A shard.
struct Slot {
    cpu: usize,
    /// By listener.
    sockets: Vec<Vec<RawFd>>,
    backoff: Backoff,
    /// It ended by itself, in order: its service is over.
    over: bool,
}

struct Supervisor {
    deploy: Deploy,
    program: PathBuf,
    slots: Vec<Slot>,
    board: Rc<Board>,
    workers: BTreeMap<u64, Worker>,
    next: u64,
    news: Letterbox,
    notify: Notify,
    was_ready: bool,
    /// Slots that are to be replaced; the first of them is at it.
    reload: VecDeque<usize>,
    /// SIGHUP came while a reload was under way.
    reload_again: bool,
    stopping: bool,
    /// When signs of life were looked for the last time.
    looked: Duration,
    /// Why it all ends.
    failure: Option<io::Error>,
}

async fn supervise(deploy: Deploy) -> io::Result<()> {
    let news = Letterbox::default();
    // Before any worker: a signal that comes early is not lost.
    let mut heard = signals([SignalKind::TERMINATE, SignalKind::INTERRUPT, SignalKind::HANGUP])?;
    let letterbox = news.clone();
    drop(uring_loop::spawn(async move {
        loop {
            letterbox.post(News::Signal(heard.recv().await));
        }
    }));
    let cpus = deploy.builder.place()?;
    // They stay open here, whatever becomes of the workers.
    let (sockets, _) = deploy.sockets(cpus.len())?;
    for socket in sockets.iter().flatten() {
        socket2::SockRef::from(socket).set_cloexec(false)?;
        socket.set_nonblocking(true)?;
    }
    let board = Rc::new(Board::new(cpus.len())?);
    let (shown, count) = (board.clone(), cpus.len());
    deploy.show(move || (0..count).filter_map(|shard| shown.read(shard)).collect());
    let slots = slots(&deploy, &cpus, &sockets);
    let mut supervisor = Supervisor {
        // The path, not the file: a reload runs what is there by then.
        program: std::env::current_exe()?,
        deploy,
        slots,
        board,
        workers: BTreeMap::new(),
        next: 0,
        news: news.clone(),
        notify: Notify::new(),
        was_ready: false,
        reload: VecDeque::new(),
        reload_again: false,
        stopping: false,
        looked: monotonic(),
        failure: None,
    };
    if let Some(after) = supervisor.deploy.builder.patience_with_silence() {
        drop(uring_loop::spawn(look_every(after / LOOKS, news.clone())));
    }
    for slot in 0..cpus.len() {
        supervisor.start(slot, false);
    }
    while !supervisor.is_over() {
        supervisor.take(news.next().await);
    }
    supervisor.failure.map_or(Ok(()), Err)
}

impl Supervisor {
    fn is_over(&self) -> bool {
        let nothing_comes = self.stopping || self.slots.iter().all(|slot| slot.over);
        self.workers.is_empty() && nothing_comes
    }

    fn tell(&self, event: &Event) {
        self.deploy.builder.observer().tell(event);
    }

    fn take(&mut self, news: News) {
        match news {
            News::Signal(SignalKind::HANGUP) => self.begin_reload(),
            News::Signal(_) if self.stopping => self.kill_all(),
            News::Signal(_) => self.stop(None),
            News::Ready(worker) => self.ready(worker),
            News::Gone(worker, status) => self.gone(worker, status),
            News::TooLong(worker, state) => {
                let worker = self.workers.get(&worker).filter(|worker| worker.state == state);
                if let Some(worker) = worker {
                    let _ = worker.child.start_kill();
                }
            }
            News::Look => self.look(),
            News::Again(worker) => self.link(worker),
            News::Start(slot) if !self.stopping => self.start(slot, false),
            News::Start(_) => {}
        }
    }

    /// Looks for workers whose shards are stuck.
    fn look(&mut self) {
        let Some(after) = self.deploy.builder.patience_with_silence() else { return };
        let now = monotonic();
        let since = std::mem::replace(&mut self.looked, now);
        if now.saturating_sub(since) > after / 2 {
            // We were stopped ourselves, as all of us by a terminal: let them have a turn first.
            return;
        }
        let mut events = Vec::new();
        for worker in self.workers.values_mut() {
            if worker.state != State::Serving {
                continue;
            }
            let told = self.board.read(worker.slot);
            // The record may still be that of a predecessor.
            let told = told.filter(|told| told.process == worker.child.id());
            if let Some(event) = worker.pulse.feel(worker.slot, told, now, after) {
                if matches!(event, Event::Stuck { .. }) && self.deploy.kill_stuck {
                    let _ = worker.child.start_kill();
                }
                events.push(event);
            }
        }
        events.iter().for_each(|event| self.tell(event));
    }

    fn ready(&mut self, number: u64) {
        let Some(worker) = self.workers.get_mut(&number) else { return };
        if worker.state != State::Starting {
            return;
        }
        worker.state = State::Serving;
        worker.pulse.began(monotonic());
        let slot = worker.slot;
        self.link(number);
        let Some(worker) = self.workers.get_mut(&number) else { return };
        if std::mem::take(&mut worker.successor) {
            let old = self.workers.iter().filter(|(other, worker)| {
                **other != number && worker.slot == slot && worker.state != State::Ending
            });
            for old in old.map(|(other, _)| *other).collect::<Vec<_>>() {
                self.end(old);
            }
            self.tell(&Event::Reloaded { shard: slot });
            self.reload.pop_front();
            self.go_on_reloading();
        }
        let serving = |slot: usize| {
            let mut workers = self.workers.values();
            workers.any(|worker| worker.slot == slot && worker.state == State::Serving)
        };
        if !self.was_ready && (0..self.slots.len()).all(serving) {
            self.was_ready = true;
            self.notify.ready(&format!("{} processes", self.slots.len()));
        }
    }

    fn gone(&mut self, number: u64, status: io::Result<ExitStatus>) {
        let Some(worker) = self.workers.remove(&number) else { return };
        if worker.state == State::Ending || self.stopping {
            return;
        }
        match status {
            Ok(status) if status.success() && !worker.successor => {
                self.slots[worker.slot].over = true;
            }
            Ok(status) => self.died(worker.slot, worker.successor, &how(status)),
            Err(error) => self.died(worker.slot, worker.successor, &format!("is lost: {error}")),
        }
    }

    /// A slot has lost its worker, or the one that was to replace it.
    fn died(&mut self, slot: usize, successor: bool, how: &str) {
        if successor {
            self.tell(&Event::ReloadFailed { shard: slot, how: how.into() });
            self.reload.clear();
            self.reload_again = false;
            self.finish_reload();
            return;
        }
        match self.slots[slot].backoff.died(Instant::now()) {
            Some(pause) => {
                self.tell(&Event::Died { shard: slot, how: how.into(), pause });
                if !mutant!("the-dead-are-not-replaced") {
                    self.news.post_after(pause, News::Start(slot));
                }
            }
            None => {
                let text = format!(
                    "the process of shard {slot} {how}, and has died too often in a short time"
                );
                self.stop(Some(io::Error::other(text)));
            }
        }
    }

    /// Tells a worker to end.
    fn end(&mut self, number: u64) {
        let Some(worker) = self.workers.get_mut(&number) else { return };
        worker.state = State::Ending;
        // One that is gone already is heard of soon.
        let _ = match mutant!("processes-are-killed-at-once") {
            true => worker.child.start_kill(),
            false => worker.child.terminate(),
        };
        let limit = self.deploy.drain + GRACE;
        self.news.post_after(limit, News::TooLong(number, State::Ending));
    }

    fn stop(&mut self, failure: Option<io::Error>) {
        self.stopping = true;
        self.failure = failure;
        self.notify.stopping();
        let all: Vec<_> = self.workers.keys().copied().collect();
        all.into_iter().for_each(|worker| self.end(worker));
    }

    fn kill_all(&self) {
        for worker in self.workers.values() {
            let _ = worker.child.start_kill();
        }
    }
}

/// How a process ended, behind "the process of shard 3".
fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with code {code}"),
        (None, Some(signal)) => format!("was killed by {}", SignalKind::from_number(signal)),
        (None, None) => format!("ended: {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_in_words() {
        assert_eq!(how(ExitStatus::from_raw(3 << 8)), "ended with code 3");
        assert!(
            how(ExitStatus::from_raw(9)).contains("SIGKILL"),
            "{}",
            how(ExitStatus::from_raw(9))
        );
    }
}
