//! What the thread does that leads (`reapers.rs`): it watches the workers' rings for a moment, then
//! sleeps on their sockets, and collects what comes.
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

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};

use super::dispatch::Look;
use super::hub::{Ended, Hub};
use super::link::{Watched, Worker};
use super::reapers::{Waiter, Woken};
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
            if self.traffic_is_dense() {
                self.watch(waiter, deadline);
                if waiter.is_done() {
                    break;
                }
            }
            let begun = Instant::now();
            self.sleep(deadline);
            self.note_traffic(begun.elapsed() < SHORT);
            self.reap(true);
        }
        self.reapers.leave(waiter);
    }

    /// Leader: watches the rings, and collects from them, until the wait is over or nothing has
    /// come for a while.
    fn watch(&self, waiter: &Arc<Waiter>, deadline: Option<Instant>) {
        let mut watched = self.look(Look::Awake);
        let mut until = Instant::now() + WATCH;
        let mut rounds = 0;
        while !waiter.is_done() && !watched.iter().any(Watched::is_to_come_by_socket) {
            if watched.iter().any(Watched::has_answer) {
                watched = self.look(Look::Awake);
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
        self.look(Look::Asleep);
    }

    /// Collects what lies on the rings. Gives what to watch from now on.
    fn look(&self, look: Look) -> Vec<Watched> {
        let mut ended = Ended::new();
        let mut state = self.lock();
        for index in 0..state.workers.len() {
            self.receive(&mut state, index, look, &mut ended);
        }
        let watched = state.workers.iter().map(Worker::watched).collect();
        self.settle(state, true, &mut ended);
        self.tell(ended, true);
        watched
    }

    /// Leader: sleeps until there is something to reap, a kick, or the deadline.
    fn sleep(&self, deadline: Option<Instant>) {
        let mut fds = [
            PollFd::new(self.bell(), PollFlags::POLLIN),
            PollFd::new(self.kick_fd(), PollFlags::POLLIN),
        ];
        sys::poll_until(&mut fds, deadline).expect("polling the pool's own descriptors");
        if fds[1].any().unwrap_or(false) {
            self.silence_kick();
        }
    }

    /// Body of the collector thread.
    pub(super) fn collect(&self) {
        while self.reapers.collector_enters() {
            while self.reapers.collector_stays() {
                self.sleep(None);
                self.reap(true);
            }
        }
    }
}
