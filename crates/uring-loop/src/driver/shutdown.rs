//! The end of a ring: cancel everything, count the completions to zero, and only then close.
//!
//! Closing a ring does not wait for what is in flight: of 32 reads from a disk, 31 wrote their
//! buffers after `close` had returned (kernel 6.18; the test `reads_in_flight_when_the_loop_goes`
//! repeats it). So the slots and the lent buffers may only be freed when every terminal completion
//! has come. If some do not come before the deadline, their memory is given up for good, and the
//! log says which operations they were.

use std::time::{Duration, Instant};

use super::completion::reclaim;
use super::ring::{Ring, Sqe, Wait, cancel_flags, opcode};
use super::slab::{Key, State};
use super::{Driver, Entered, InFlight};
use crate::sys::clock::{monotonic_ns, saturating_ns};

impl Driver {
    /// Shuts the ring down. What is being sent is waited for until `patience` is over; then every
    /// op still in flight is cancelled, waited for as long again, and reclaimed or leaked. Answers
    /// what was leaked.
    pub(crate) fn shutdown(&self, patience: Duration) -> Vec<InFlight> {
        if std::mem::replace(&mut self.inner().closing, true) {
            return Vec::new();
        }
        self.finish_staged(patience);
        let deadline = Instant::now() + patience;
        self.cancel_all();
        while self.active().0 > 0 || self.unsubmitted() {
            let left = deadline.saturating_duration_since(Instant::now());
            let until = monotonic_ns().saturating_add(saturating_ns(left));
            // Without any time left the entries are still handed over: there are closes among them.
            let waits = self.active().0 > 0 && !left.is_zero();
            let wait = if waits { Wait::Until(until) } else { Wait::Poll };
            let Ok(entered) = self.enter(wait) else { break };
            if self.reap(-1) == 0 && entered == Entered::Refused {
                // The kernel is short of memory: give it time rather than spin.
                std::thread::sleep(Duration::from_millis(1));
            }
            // What was reaped may have brought new closes.
            if left.is_zero() && (!self.unsubmitted() || entered == Entered::Refused) {
                break;
            }
        }
        let leaked = self.in_flight_table();
        self.close_ring(&leaked);
        leaked
    }

    /// What was taken over for sending, of streams that are gone above all, is sent before anything
    /// is cancelled: for as long as `patience` says.
    fn finish_staged(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let until = monotonic_ns().saturating_add(saturating_ns(patience));
        while self.inner().arena.any_staged() && Instant::now() < deadline {
            let Ok(entered) = self.enter(Wait::Until(until)) else { return };
            let reaped = self.reap(-1);
            if reaped == 0 && self.simulated_past(until) {
                return;
            }
            if reaped == 0 && entered == Entered::Refused {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// On a simulated ring, whether its time has come so far. Real time stands still there.
    fn simulated_past(&self, _until: u64) -> bool {
        #[cfg(any(test, feature = "testing"))]
        if let Some(sim) = &self.sim {
            return sim.now() >= _until;
        }
        false
    }

    /// One entry that cancels every request of the ring (`IORING_ASYNC_CANCEL_ANY`, 5.19).
    fn cancel_all(&self) {
        let sqe = Sqe {
            opcode: opcode::ASYNC_CANCEL,
            fd: -1,
            op_flags: cancel_flags::ALL | cancel_flags::ANY,
            ..Sqe::default()
        };
        let mut inner = self.inner();
        inner.cancelling = true;
        self.push_silent(&mut inner, sqe);
    }

    fn close_ring(&self, leaked: &[InFlight]) {
        let mut inner = self.inner();
        let ring = std::mem::replace(&mut inner.ring, Ring::Closed);
        for sqe in inner.backlog.drain(..).filter(|sqe| sqe.opcode == opcode::CLOSE) {
            self.close_now(sqe.fd);
        }
        if mutant!("freed-at-the-deadline") && !leaked.is_empty() {
            let keys: Vec<Key> = inner.arena.iter_active().map(|(key, _)| key).collect();
            keys.into_iter().for_each(|key| inner.arena.finish(key));
        }
        if leaked.is_empty() {
            drop(ring);
            drop(inner);
            self.buffers.release();
            return;
        }
        let list: Vec<String> = leaked.iter().map(ToString::to_string).collect();
        tracing::error!(
            operations = ?list,
            "an event loop was closed with operations that the kernel did not give back in time; \
             their memory is leaked, for the kernel may still write to it"
        );
        // The arena leaks what is in flight when it goes (`Arena::drop`). Until then who kept a
        // future can take what is done, and is told about the rest.
        let wakers = inner.arena.take_wakers();
        self.buffers.leak();
        drop(ring);
        drop(inner);
        drop(wakers);
    }

    /// Somebody waits for what was given up at the deadline: it never completes.
    pub(super) fn refuse_after_leak(&self, key: Key) {
        let mut inner = self.inner();
        let closed = matches!(inner.ring, Ring::Closed);
        let in_flight = inner.arena.get(key).is_some_and(|head| head.state() == State::InFlight);
        assert!(
            !(closed && in_flight),
            "the event loop of this operation was closed, and the kernel had not given it back in \
             time: nothing will come of it (see Builder::shutdown_patience)"
        );
    }
}

impl Drop for Driver {
    /// What is done and was never taken belongs to futures that were forgotten: nobody who could
    /// come for it is left, for whoever may holds the driver, himself or through a stream.
    fn drop(&mut self) {
        loop {
            if mutant!("forgotten-op-never-dropped") {
                return;
            }
            let inner = self.inner.get_mut();
            let Some(key) = inner.arena.any_done() else { return };
            let Some(head) = inner.arena.get(key) else { return };
            let cqe = head.cqe(0);
            let waker = head.waker.take();
            let (payload, vtable) = inner.arena.remove(key);
            drop(waker);
            reclaim(payload, vtable, cqe);
        }
    }
}
