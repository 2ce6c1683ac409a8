//! What a completion does: to whom it belongs, and what happens then.

use std::os::fd::RawFd;

use super::ring::{self, Cqe};
use super::slab::{Key, Kind, Payload, Stages, State, Vtable};
use super::{Driver, Inner};
use crate::wake::LocalWaker;

/// What a completion asks for, once the driver is no longer borrowed.
enum Action {
    Nothing,
    Wake(LocalWaker),
    Reclaim(Payload, &'static Vtable, Cqe),
    /// The op has more than its owner takes: stop it.
    Stop(Key),
    /// The op needs another entry.
    GoOn(Key, Stages),
    Bell {
        rearm: bool,
    },
}

impl Driver {
    /// Takes the completions that are there and acts on each. `bell` is told when the door's
    /// rang. Answers how many there were.
    pub(crate) fn reap(&self, bell: RawFd) -> usize {
        let mut reaped = 0;
        loop {
            // Not both in a tuple: an action is large, and would be copied into it.
            let seen;
            let action = {
                let mut inner = self.inner();
                let Some(cqe) = inner.ring.pop() else { break };
                seen = self.look_at(&mut inner, &cqe);
                inner.on_completion(cqe)
            };
            reaped += 1;
            match action {
                Action::Nothing => {}
                Action::Wake(waker) => waker.wake(),
                Action::Reclaim(payload, vtable, cqe) => reclaim(payload, vtable, cqe),
                Action::Stop(key) => self.cancel(key),
                Action::GoOn(key, stages) => self.submit_next_stage(key, stages),
                Action::Bell { rearm: false } => {}
                Action::Bell { rearm: true } => self.listen_to_bell(bell),
            }
            if let Some(seen) = seen {
                self.show_completed(&seen);
            }
        }
        self.counters.completions.set(self.counters.completions.get() + reaped as u64);
        reaped
    }
}

/// Drops what an op without an owner has yielded.
pub(super) fn reclaim(mut payload: Payload, vtable: &'static Vtable, cqe: Cqe) {
    // SAFETY: the payload was moved out of a slot with this vtable after the terminal completion.
    unsafe { (vtable.reclaim)(&raw mut payload, cqe) };
}

impl Inner {
    fn on_completion(&mut self, cqe: Cqe) -> Action {
        let key = match Key::decode(cqe.user_data) {
            (Some(Kind::Op), key) => key,
            (Some(Kind::Bell), _) => return Action::Bell { rearm: !cqe.more() && !self.closing },
            (Some(Kind::Ignore) | None, _) => return Action::Nothing,
        };
        let Some((head, payload)) = self.arena.get_with_payload(key) else {
            tracing::error!(?cqe, "a completion for a slot that has no such operation");
            return Action::Nothing;
        };
        let vtable = head.vtable();
        let early = mutant!("zero-copy-ends-at-its-result") && !vtable.multishot;
        if cqe.more() && !early {
            let waker = if vtable.multishot {
                head.waker.take()
            } else {
                head.keep_result(cqe);
                None
            };
            // SAFETY: the slot holds what the vtable was made for. Residents' `more` is code of
            // this crate that calls nothing foreign (`MultishotOp` is private).
            let stop = unsafe { (vtable.more)(payload, cqe) };
            return match waker {
                Some(waker) => Action::Wake(waker),
                None if stop => Action::Stop(key),
                None => Action::Nothing,
            };
        }
        if cqe.notification() {
            // The result was the first completion's. Of the notification one bit is kept, in the
            // place of its own sign: whether the kernel has copied the bytes after all
            // (`IORING_NOTIF_USAGE_ZC_COPIED`, the highest bit).
            if cqe.result < 0 {
                let kept = head.cqe(cqe.user_data);
                head.keep_result(Cqe { flags: kept.flags | ring::cqe_flags::NOTIF, ..kept });
            }
        } else {
            head.keep_result(cqe);
        }
        if vtable.multishot && cqe.buffer_id().is_some() && head.state() == State::InFlight {
            // Its last buffer is held from now on, not only when somebody takes it: else the pool
            // would seem to have more than it has.
            head.keep_result(Cqe { flags: cqe.flags & !ring::cqe_flags::BUFFER, ..cqe });
            // SAFETY: as above.
            unsafe { (vtable.more)(payload, cqe) };
        }
        let result = head.cqe(cqe.user_data);
        if let Some(stages) = vtable.stages {
            // SAFETY: as above.
            let goes_on = unsafe { (stages.goes_on)(payload, result) };
            if goes_on && !self.cancelling {
                return Action::GoOn(key, stages);
            }
        }
        if head.state() == State::Orphan {
            let (payload, vtable) = self.arena.remove(key);
            return Action::Reclaim(payload, vtable, result);
        }
        let waker = head.waker.take();
        self.arena.finish(key);
        waker.map_or(Action::Nothing, Action::Wake)
    }
}
