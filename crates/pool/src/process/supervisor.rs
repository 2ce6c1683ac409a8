//! The supervisor thread: starts workers, hears of their deaths, buries them.
//!
//! It is the one thread that starts processes, because the kernel ties "kill me when my parent
//! dies" (`PR_SET_PDEATHSIG`) to the *thread* that started the child: it lives as long as any
//! worker. It sleeps in poll(2) on the workers' pidfds, on the sockets of those not ready yet, and
//! on the alarm. Nothing hot passes here.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};

use super::hub::{Ended, Hub};
use super::link::Worker;
use super::page::Page;
use super::spawn;
use super::sys::{self, Arrived};
use super::wire::{GREETING, Inbox, Kind};
use crate::error::Exit;

/// How long a worker may take from start to ready, its initialiser included.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long results nobody waits for may lie about: twice this.
const TICK: Duration = Duration::from_millis(10);

/// A child process, from start to burial.
pub(super) struct Ward {
    pub(super) key: u64,
    pub(super) child: Child,
    pub(super) pidfd: OwnedFd,
    /// Until it is ready.
    pub(super) nursing: Option<Nursing>,
}

/// What belongs to a worker that has not reported ready.
pub(super) struct Nursing {
    pub(super) socket: UnixStream,
    pub(super) page: Page,
    inbox: Inbox,
    deadline: Instant,
    /// Nothing more will come from it: why.
    failed: Option<Failure>,
}

struct Failure {
    what: Option<String>,
    /// Others would fail in the same way.
    hopeless: bool,
}

impl Nursing {
    pub(super) fn new(socket: UnixStream, page: Page) -> Nursing {
        let deadline = Instant::now() + START_LIMIT;
        Nursing { socket, page, inbox: Inbox::default(), deadline, failed: None }
    }
}

struct Supervisor {
    hub: Arc<Hub>,
    wards: Vec<Ward>,
    keys: u64,
    next_tick: Instant,
    unattended: bool,
}

/// Body of the thread.
pub(super) fn run(hub: Arc<Hub>) {
    let next_tick = Instant::now();
    let mut supervisor =
        Supervisor { hub, wards: Vec::new(), keys: 0, next_tick, unattended: false };
    loop {
        supervisor.start_missing();
        supervisor.end_lost();
        if supervisor.wards.is_empty() && supervisor.hub.lock().over() {
            break;
        }
        supervisor.sleep();
        supervisor.hub.silence_alarm();
        supervisor.hub.end_late();
        supervisor.nurse();
        supervisor.bury_dead();
        supervisor.tick();
    }
    supervisor.hub.set_over();
}

impl Supervisor {
    fn start_missing(&mut self) {
        loop {
            {
                let mut state = self.hub.lock();
                if state.missing() == 0 {
                    return;
                }
                state.starting += 1;
            }
            self.keys += 1;
            match spawn::spawn(&self.hub, self.keys) {
                Ok(ward) => self.wards.push(ward),
                Err(error) => {
                    self.hub.refused(&error);
                    return;
                }
            }
        }
    }

    /// Ends workers that are of no more use (their socket is closed, or what they sent is garbage),
    /// and those condemned for the job they run.
    fn end_lost(&mut self) {
        let doomed: Vec<u64> = {
            let state = self.hub.lock();
            let doomed = |worker: &&Worker| worker.lost || worker.condemned.is_some();
            state.workers.iter().filter(doomed).map(|worker| worker.key).collect()
        };
        for ward in self.wards.iter_mut().filter(|ward| doomed.contains(&ward.key)) {
            // It may be dead already; it is waited for only when its pidfd says so.
            sys::kill_group(ward.child.id());
        }
    }

    fn sleep(&self) {
        let hub = &self.hub;
        let mut fds = vec![PollFd::new(hub.alarm_fd(), PollFlags::POLLIN)];
        let retire = hub.retire_idle();
        let mut deadline = {
            let state = hub.lock();
            let tick = state.watched.then_some(self.next_tick);
            tick.into_iter().chain(state.deadlines.next()).chain(retire).min()
        };
        for ward in &self.wards {
            fds.push(PollFd::new(ward.pidfd.as_fd(), PollFlags::POLLIN));
            if let Some(nursing) = ward.nursing.as_ref().filter(|nursing| nursing.failed.is_none())
            {
                fds.push(PollFd::new(nursing.socket.as_fd(), PollFlags::POLLIN));
                deadline = Some(deadline.map_or(nursing.deadline, |at| at.min(nursing.deadline)));
            }
        }
        sys::poll_until(&mut fds, deadline).expect("polling the pool's own descriptors");
    }

    /// Hears what newborns have to say.
    fn nurse(&mut self) {
        for ward in &mut self.wards {
            let Some(nursing) = &mut ward.nursing else { continue };
            if nursing.failed.is_some() {
                continue;
            }
            if nursing.listen() {
                let nursing = ward.nursing.take().expect("it was there two lines ago");
                let Nursing { socket, page, inbox, .. } = nursing;
                let who = (ward.key, ward.child.id());
                let worker = Worker::new(who, socket, page, inbox, &self.hub.life);
                self.hub.welcome(worker);
            } else if nursing.failed.is_some() {
                let _ = ward.child.kill();
            }
        }
    }

    fn bury_dead(&mut self) {
        let mut at = 0;
        while at < self.wards.len() {
            if !has_ended(&self.wards[at].pidfd) {
                at += 1;
                continue;
            }
            let mut ward = self.wards.swap_remove(at);
            // Somebody else may have waited for all children: then the status is lost.
            let exit = ward.child.wait().map_or(Exit::Unknown, Exit::from_status);
            match ward.nursing.take() {
                None => self.hub.bury(ward.key, exit),
                Some(nursing) => {
                    let pid = ward.child.id();
                    let (what, hopeless) = nursing.epitaph(pid, exit);
                    self.hub.not_born(what, hopeless);
                }
            }
        }
    }

    /// Sees to it that results get collected though nobody waits, and nobody awaits.
    fn tick(&mut self) {
        let now = Instant::now();
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + TICK;
        self.hub.look_for_outgrown();
        let mut ended = Ended::new();
        self.hub.settle(self.hub.lock(), false, &mut ended);
        self.hub.tell(ended, false);
        let mut state = self.hub.lock();
        state.watched = !state.drained();
        let unattended = state.watched && self.hub.reapers.nobody();
        drop(state);
        // Twice in a row: a thread that waits for one job after the other is between two.
        if unattended && std::mem::replace(&mut self.unattended, unattended) {
            self.hub.reapers.call_in();
            if !self.hub.start_collector() {
                self.hub.reap(false);
            }
        }
        self.unattended = unattended;
    }
}

impl Nursing {
    /// Reads what has come. `true`: the worker is ready. If it cannot become so, notes why.
    fn listen(&mut self) -> bool {
        let failure = |what| Some(Failure { what, hopeless: false });
        loop {
            match self.inbox.next() {
                Ok(Some((header, _))) if header.kind == Kind::Ready && header.value == GREETING => {
                    return true;
                }
                Ok(Some((header, text))) if header.kind == Kind::Unfit => {
                    let what = Some(String::from_utf8_lossy(text).into_owned());
                    self.failed = Some(Failure { what, hopeless: true });
                }
                Ok(None) => {}
                Ok(Some(_)) | Err(_) => {
                    let text = "what it sent is not the pool's handshake: is it another program?";
                    self.failed = failure(Some(text.to_owned()));
                }
            }
            if self.failed.is_some() {
                return false;
            }
            match sys::receive(&self.socket, self.inbox.room(), &mut Arrived::new(), false) {
                Ok(None) if Instant::now() >= self.deadline => {
                    let text = format!("it was not ready within {START_LIMIT:?}");
                    self.failed = failure(Some(text));
                }
                Ok(None) => return false,
                Ok(Some(0)) | Err(_) => self.failed = failure(None),
                Ok(Some(count)) => self.inbox.received(count),
            }
        }
    }

    /// Why it never became ready, and whether others would not either.
    fn epitaph(mut self, pid: u32, exit: Exit) -> (String, bool) {
        if self.failed.is_none() {
            self.listen();
        }
        let failure = self.failed.take();
        let hopeless = failure.as_ref().is_some_and(|failure| failure.hopeless);
        match failure.and_then(|failure| failure.what) {
            Some(what) if hopeless => (what, true),
            Some(what) => (format!("worker process {pid}: {what}"), false),
            None => {
                let text = format!(
                    "worker process {pid} {exit} before it was ready; a worker runs the program's \
                     main up to pool::init(), which should be the first call there"
                );
                (text, false)
            }
        }
    }
}

fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    let polled = sys::poll_until(&mut fds, Some(Instant::now()));
    polled.is_ok() && fds[0].any().unwrap_or(false)
}
