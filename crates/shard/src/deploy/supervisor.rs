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

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use uring_loop::net::UnixStream;
use uring_loop::process::{Child, Command, ExitStatus};
use uring_loop::signal::{SignalKind, signals};
use uring_loop::sync::Event as Flag;
use uring_loop::time::sleep;

use super::board::Board;
use super::inherit::{Charge, VARIABLE};
use super::notify::Notify;
use super::post::{AGAIN, Invitation, Letters, Lines, READY};
use super::pulse::Pulse;
use super::{Deploy, monotonic, quiet_loop};
use crate::event::Event;
use crate::link;
use crate::restart::Backoff;

/// How long a process may take until it serves.
const START: Duration = Duration::from_secs(30);
/// How often workers are looked at in the time after which they are stuck.
const LOOKS: u32 = 4;
/// How long after the deadline of its drain a process is killed.
const GRACE: Duration = Duration::from_secs(1);

pub(super) fn run(deploy: Deploy) -> io::Result<()> {
    let mut event_loop = quiet_loop()?;
    event_loop.run_until_complete(supervise(deploy)).map_err(io::Error::other)?
}

/// Something happened.
enum News {
    Signal(SignalKind),
    /// A worker serves.
    Ready(u64),
    /// A worker's loop is a new one.
    Again(u64),
    /// A worker is gone.
    Gone(u64, io::Result<ExitStatus>),
    /// A worker has taken too long.
    TooLong(u64, State),
    /// It is time to look for signs of life.
    Look,
    /// The pause before a slot gets another worker is over.
    Start(usize),
}

/// Where news wait for the one who reads them.
#[derive(Clone, Default)]
struct Letterbox(Rc<(RefCell<VecDeque<News>>, Flag)>);

impl Letterbox {
    fn post(&self, news: News) {
        self.0.0.borrow_mut().push_back(news);
        self.0.1.set();
    }

    async fn next(&self) -> News {
        loop {
            self.0.1.wait().await;
            if let Some(news) = self.0.0.borrow_mut().pop_front() {
                return news;
            }
            self.0.1.clear();
        }
    }

    /// News that come later.
    fn post_after(&self, pause: Duration, news: News) {
        let letterbox = self.clone();
        drop(uring_loop::spawn(async move {
            sleep(pause).await;
            letterbox.post(news);
        }));
    }
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

/// Reminds the supervisor to look, again and again.
async fn look_every(pause: Duration, news: Letterbox) {
    loop {
        sleep(pause).await;
        news.post(News::Look);
    }
}

/// Every socket belongs to a shard, and every shard has one.
fn slots(deploy: &Deploy, cpus: &[usize], sockets: &[Vec<TcpListener>]) -> Vec<Slot> {
    let own = |slot: usize, sockets: &Vec<TcpListener>| -> Vec<RawFd> {
        let fds = sockets.iter().map(TcpListener::as_raw_fd);
        match sockets.len() < cpus.len() {
            true => fds.skip(slot % sockets.len()).take(1).collect(),
            false => fds.skip(slot).step_by(cpus.len()).collect(),
        }
    };
    let slot = |(slot, cpu): (usize, &usize)| Slot {
        cpu: *cpu,
        sockets: sockets.iter().map(|sockets| own(slot, sockets)).collect(),
        backoff: Backoff::new(deploy.restart.clone()),
        over: false,
    };
    cpus.iter().enumerate().map(slot).collect()
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

    /// Starts a worker for a slot. One that cannot be started counts as one that died.
    fn start(&mut self, slot: usize, successor: bool) {
        let number = self.next;
        self.next += 1;
        match self.spawn(slot, number) {
            Ok((child, letters)) => {
                let child = Rc::new(child);
                let (news, own) = (self.news.clone(), child.clone());
                drop(uring_loop::spawn(async move {
                    let status = own.wait().await;
                    news.post(News::Gone(number, status));
                }));
                self.news.post_after(START, News::TooLong(number, State::Starting));
                let (state, linked) = (State::Starting, false);
                let pulse = Pulse::default();
                let worker = Worker { slot, state, successor, linked, child, letters, pulse };
                self.workers.insert(number, worker);
            }
            Err(error) => self.died(slot, successor, &format!("cannot be started: {error}")),
        }
    }

    fn spawn(&self, slot: usize, number: u64) -> io::Result<(Child, Rc<Letters>)> {
        let (ours, theirs) = StdUnixStream::pair()?;
        let Slot { cpu, sockets, .. } = &self.slots[slot];
        let mut command = Command::new(&self.program);
        command
            .args(std::env::args_os().skip(1))
            .env(VARIABLE, Charge::text((slot, self.slots.len()), *cpu, &self.board, sockets))
            // What systemd tells us is not for them.
            .env_remove("LISTEN_PID")
            .env_remove("NOTIFY_SOCKET")
            .stdin(OwnedFd::from(theirs));
        let child = command.spawn()?;
        let ours = OwnedFd::from(ours);
        let letters = Rc::new(Letters::default());
        let sends = UnixStream::from_owned_fd(ours.try_clone()?);
        drop(uring_loop::spawn(letters.clone().send(sends)));
        let (news, mut line) = (self.news.clone(), UnixStream::from_owned_fd(ours));
        drop(uring_loop::spawn(async move {
            let mut lines = Lines::default();
            // The line is held until the worker ends: its end tells the worker that we are gone.
            while let Ok(bytes) = line.recv().await
                && !bytes.is_empty()
            {
                for said in lines.push(&bytes) {
                    match said.as_str() {
                        READY => news.post(News::Ready(number)),
                        AGAIN => news.post(News::Again(number)),
                        _ => {}
                    }
                }
            }
        }));
        Ok((child, letters))
    }

    /// Links a worker that serves with all others that do, or did and are still there: one that
    /// ends may need them for what it has begun.
    fn link(&mut self, number: u64) {
        let Some(worker) = self.workers.get_mut(&number) else { return };
        worker.linked = true;
        let again = number >= self.slots.len() as u64;
        if !self.deploy.wants_links() || (again && mutant!("successors-have-no-links")) {
            return;
        }
        let worker = &self.workers[&number];
        for (_, other) in self.workers.iter().filter(|(at, _)| **at != number) {
            if !other.linked || other.slot == worker.slot {
                continue;
            }
            match link::pair() {
                Ok([one, two]) => {
                    worker.letters.write(Invitation { shard: other.slot, side: 0 }, one);
                    other.letters.write(Invitation { shard: worker.slot, side: 1 }, two);
                }
                // Calls between these two fail.
                Err(error) => tracing::warn!(
                    target: "shard",
                    "linking shards {} and {}: {error}", worker.slot, other.slot
                ),
            }
        }
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

    fn begin_reload(&mut self) {
        if self.stopping {
            return;
        }
        if !self.reload.is_empty() {
            self.reload_again = true;
            return;
        }
        self.notify.reloading();
        self.reload = (0..self.slots.len()).collect();
        self.go_on_reloading();
    }

    /// Starts the successor of the next slot; one after another, so that all serve meanwhile.
    fn go_on_reloading(&mut self) {
        while let Some(slot) = self.reload.front().copied() {
            let mut workers = self.workers.values();
            let there = workers.any(|worker| worker.slot == slot && worker.state != State::Ending);
            // One that is dead, or has ended by itself, gets the new program anyway or none.
            if there {
                return self.start(slot, true);
            }
            self.reload.pop_front();
        }
        self.finish_reload();
    }

    fn finish_reload(&mut self) {
        self.notify.ready(&format!("{} processes", self.slots.len()));
        if std::mem::take(&mut self.reload_again) {
            self.begin_reload();
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
    fn every_socket_belongs_to_a_shard_and_every_shard_has_one() {
        let deploy = Deploy::new(([127, 0, 0, 1], 0).into());
        let bind = || TcpListener::bind("127.0.0.1:0").expect("bound");
        for (count, shards) in [(1, 3), (3, 3), (5, 2)] {
            let sockets: Vec<_> = (0..count).map(|_| bind()).collect();
            let cpus: Vec<_> = (0..shards).collect();
            let slots = slots(&deploy, &cpus, &[sockets]);
            let mut all: Vec<_> = slots.iter().flat_map(|slot| slot.sockets[0].clone()).collect();
            let of_all = |slot: &Slot| !slot.sockets[0].is_empty();
            assert!(slots.iter().all(of_all), "{count} for {shards}");
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count);
        }
    }

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
