//! A worker's beginning: the sockets of its slot, its process, its line to us, its links to others.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::net::UnixStream;
use uring_loop::process::{Child, Command};

use super::news::News;
use super::{Slot, State, Supervisor, Worker};
use crate::deploy::Deploy;
use crate::deploy::inherit::{Charge, VARIABLE};
use crate::deploy::post::{AGAIN, Invitation, Letters, Lines, READY};
use crate::deploy::pulse::Pulse;
use crate::link;
use crate::restart::Backoff;

/// How long a process may take until it serves.
const START: Duration = Duration::from_secs(30);

/// Every socket belongs to a shard, and every shard has one.
pub(super) fn slots(deploy: &Deploy, cpus: &[usize], sockets: &[Vec<TcpListener>]) -> Vec<Slot> {
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
    /// Starts a worker for a slot. One that cannot be started counts as one that died.
    pub(super) fn start(&mut self, slot: usize, successor: bool) {
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
    pub(super) fn link(&mut self, number: u64) {
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
}
