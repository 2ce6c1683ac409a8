//! What the thread does that leads (`reapers.rs`): it watches the workers' rings for a moment, then
//! sleeps, and collects what comes.
//!
//! # Watching
//!
//! To wake a thread takes tens of microseconds, on this side and on the worker's, while the rings
//! take well under one. So a thread in `Job::wait` first watches the rings, awake, for about as
//! long as a wake would take; meanwhile the workers do not ring. It does so only if the traffic was
//! dense lately: if the last watch was not in vain, or the last sleep was short. So nobody watches
//! an idle pool, and a pool of long jobs costs one watch now and then. Between two looks others may
//! run: on a machine with less cores than threads that want to, watching is giving way.
//!
//! Event loops and the collector never watch; they have others to care for, or all the time.
//!
//! # Sleeping
//!
//! The leader sleeps on the bells of all workers at once, which are words of memory: to be woken so
//! takes half of what a socket and a poll take. While it does, `State::wake` is `Word`, and all
//! bells are armed for that; who receives from a worker meanwhile (an event loop, the supervisor)
//! arms its bell in the same way. When it looks up, and before it does anything else, it arms them
//! for the sockets again: without a leader those have to tell event loops. It is kicked by whoever
//! makes it true, under the lock, that something may come that no bell tells of: a worker that it
//! does not listen to, or one that is not `is_heard_by_ring`. Then, with more workers than the
//! kernel takes, and on kernels without futex_waitv(2) (before Linux 5.16) it sleeps in poll(2), on
//! the sockets.

use std::os::fd::AsFd;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};

use super::dispatch::Look;
use super::futex;
use super::hub::{Ended, Hub, State};
use super::link::{Watched, Worker};
use super::reapers::{Waiter, Woken};
use super::ring::Wake;
use super::sys;
use crate::pause;

/// For how long to watch: about what a sleep and the wake-up from it cost.
pub(super) const WATCH: Duration = Duration::from_micros(50);
/// A sleep that is shorter than this would better have been a watch.
pub(super) const SHORT: Duration = Duration::from_micros(100);

impl Hub {
    /// Waits until `waiter` is finished, or for the deadline; leads if nobody else does.
    pub(crate) fn wait(&self, waiter: &Arc<Waiter>, deadline: Option<Instant>) {
        if !self.reapers.enter(waiter) && waiter.sleep(deadline) != Woken::Promoted {
            self.reapers.leave(waiter);
            return;
        }
        while !waiter.is_done() && deadline.is_none_or(|deadline| Instant::now() < deadline) {
            let kicks = self.kick.count();
            if self.traffic_is_dense() {
                self.watch(waiter, deadline);
                if waiter.is_done() {
                    break;
                }
            }
            let begun = Instant::now();
            self.rest(kicks, || waiter.is_done(), deadline);
            self.note_traffic(begun.elapsed() < SHORT);
        }
        self.reapers.leave(waiter);
    }

    /// Leader: sleeps until something has come, more than so many kicks, or the deadline, and
    /// collects. It does not sleep if `over` says so when it has listened.
    fn rest(&self, kicks: u32, over: impl FnOnce() -> bool, deadline: Option<Instant>) {
        let Some(listened) = self.listen() else {
            self.sleep(deadline);
            self.reap(true);
            return;
        };
        let mut words_work = true;
        if !over() {
            let kick = std::iter::once((self.kick.word(), kicks));
            let words: Vec<_> = kick.chain(listened.iter().map(Watched::word)).collect();
            words_work = futex::wait_any(&words, deadline).is_ok();
            if self.kick.count() != kicks {
                self.kick.hear();
            }
        }
        let mut state = self.lock();
        state.words &= words_work;
        state.wake = Wake::Socket;
        self.look(state, Look::Asleep);
    }

    /// Leader: has all bells armed for one who sleeps on them. `None`: they do not tell of all that
    /// may come.
    fn listen(&self) -> Option<Vec<Watched>> {
        let mut state = self.lock();
        // One more is the kick's.
        let few = state.workers.len() < futex::MOST;
        if !few || !state.words || !state.is_heard_by_rings() {
            return None;
        }
        state.wake = Wake::Word;
        Some(self.look(state, Look::Asleep))
    }

    /// Leader: watches the rings, and collects from them, until the wait is over or nothing has
    /// come for a while.
    fn watch(&self, waiter: &Arc<Waiter>, deadline: Option<Instant>) {
        let mut watched = self.look(self.lock(), Look::Awake);
        let mut until = Instant::now() + WATCH;
        let mut rounds = 0;
        while !waiter.is_done() && !watched.iter().any(Watched::is_to_come_by_socket) {
            if watched.iter().any(Watched::has_answer) {
                watched = self.look(self.lock(), Look::Awake);
                until = Instant::now() + WATCH;
                continue;
            }
            let now = Instant::now();
            if now >= until || deadline.is_some_and(|deadline| deadline <= now) {
                self.note_traffic(false);
                break;
            }
            pause::give_way(&mut rounds);
        }
        self.look(self.lock(), Look::Asleep);
    }

    /// Collects what lies on the rings. Gives what to watch from now on.
    fn look(&self, mut state: MutexGuard<'_, State>, look: Look) -> Vec<Watched> {
        let mut ended = Ended::new();
        for index in 0..state.workers.len() {
            self.receive(&mut state, index, look, &mut ended);
        }
        let watched = state.workers.iter().map(Worker::watched).collect();
        self.settle(state, true, &mut ended);
        self.tell(ended, true);
        watched
    }

    /// Leader: sleeps until there is something to reap on the sockets, a kick, or the deadline.
    fn sleep(&self, deadline: Option<Instant>) {
        let mut fds = [
            PollFd::new(self.bell(), PollFlags::POLLIN),
            PollFd::new(self.kick.as_fd(), PollFlags::POLLIN),
        ];
        sys::poll_until(&mut fds, deadline).expect("polling the pool's own descriptors");
        if fds[1].any().unwrap_or(false) {
            self.kick.hear();
        }
    }

    /// Body of the collector thread.
    pub(super) fn collect(&self) {
        while self.reapers.collector_enters() {
            loop {
                // First: who has it make way kicks afterwards.
                let kicks = self.kick.count();
                if !self.reapers.collector_stays() {
                    break;
                }
                self.rest(kicks, || false, None);
            }
        }
    }
}
