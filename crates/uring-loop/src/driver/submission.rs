//! The way of an operation to the kernel: into its slot, its entry onto the submission queue, and,
//! where that is full, into the backlog.

use std::collections::VecDeque;
use std::rc::Rc;

use super::op::{self, Many, MultishotOp, Once, Op, Resident, Submit, VtableOf};
use super::ring::check::is_linked;
use super::ring::{Cqe, Sqe, Wait, opcode, sqe_flags};
use super::slab::{Key, Kind, Stages};
use super::{Driver, Inner, count};

impl Driver {
    /// Runs `op` on the ring.
    ///
    /// # Cancel safety
    ///
    /// Weak: a dropped operation is cancelled, but it may have taken effect, and what it yields
    /// late is given back (see the table in `driver/op.rs`).
    pub fn submit<T: Op>(self: &Rc<Self>, op: T) -> Submit<T> {
        Submit::new(self.clone(), op)
    }

    /// Submits an op: from here on it lies in a slot.
    pub(crate) fn start<T: Op>(&self, op: T) -> Key {
        self.place(Once(op))
    }

    /// The same for an op that completes many times.
    pub(crate) fn start_multishot<T: MultishotOp>(&self, op: T) -> Key {
        self.place(Many { op, queue: VecDeque::new() })
    }

    pub(super) fn place<R: Resident>(&self, resident: R) -> Key {
        let (key, sqe) = self.settle(resident);
        let mut inner = self.inner();
        if inner.closing {
            self.complete_unsubmitted(&mut inner, key);
        } else {
            self.push(&mut inner, sqe);
        }
        drop(inner);
        self.show_submitted(key);
        key
    }

    /// The first half of [`start`](Self::start): the op lies in its slot, and here is its entry.
    pub(super) fn start_later<T: Op>(&self, op: T) -> (Key, Sqe) {
        self.settle(Once(op))
    }

    /// Moves a resident into a slot and has it fill in its entry, which is to be pushed next.
    pub(super) fn settle<R: Resident>(&self, resident: R) -> (Key, Sqe) {
        let (key, payload) =
            self.inner().arena.insert(const { &VtableOf::<R>::VTABLE }, self.now.get());
        let mut sqe = Sqe::default();
        // SAFETY: the payload was free, and it stays where it is until the slot is removed, which
        // takes a completion that has not been asked for yet.
        unsafe {
            op::store(payload, resident);
            (*op::locate::<R>(payload)).prepare(&mut sqe);
        }
        sqe.user_data = key.user_data();
        if let Some(head) = self.inner().arena.get(key) {
            head.set_opcode(sqe.opcode);
        }
        (key, sqe)
    }

    /// A loop that shuts down takes nothing new: as if cancelled at once.
    pub(super) fn complete_unsubmitted(&self, inner: &mut Inner, key: Key) {
        self.refuse_in_fork();
        inner.arena.finish(key);
        if let Some(head) = inner.arena.get(key) {
            head.keep_result(Cqe { user_data: 0, result: -libc::ECANCELED, flags: 0 });
        }
    }

    /// Submits the next entry of an op that takes several.
    pub(super) fn submit_next_stage(&self, key: Key, stages: Stages) {
        let payload = self.inner().arena.payload(key);
        let mut sqe = Sqe::default();
        // SAFETY: the slot holds what `stages` was made for, and stays: its owner cannot take it
        // before the terminal completion, which the entry prepared here has yet to bring.
        unsafe { (stages.prepare)(payload, &mut sqe) };
        sqe.user_data = key.user_data();
        let mut inner = self.inner();
        self.push(&mut inner, sqe);
    }

    /// Puts an entry on the submission queue; if that is full, hands the queue over first.
    pub(super) fn push(&self, inner: &mut Inner, sqe: Sqe) {
        count(&self.counters.submissions);
        if inner.backlog.is_empty() {
            if inner.ring.push(&sqe) {
                return;
            }
            count(&self.counters.flushes);
            // An error here (EBUSY, EAGAIN) leaves the queue full; the turn's enter will meet it
            // again, after a reap.
            let _ = inner.ring.enter(Wait::Submit);
            if inner.ring.push(&sqe) {
                return;
            }
        }
        count(&self.counters.backlogged);
        inner.backlog.push_back(sqe);
    }

    /// Pushes an entry that nobody waits for.
    pub(super) fn push_silent(&self, inner: &mut Inner, mut sqe: Sqe) {
        sqe.user_data = (Kind::Ignore as u64) << 56;
        sqe.flags |= sqe_flags::CQE_SKIP_SUCCESS;
        self.push(inner, sqe);
    }

    pub(super) fn push_cancel(&self, inner: &mut Inner, key: Key) {
        if mutant!("cancel-lost-when-full") && !inner.backlog.is_empty() {
            return;
        }
        let sqe =
            Sqe { opcode: opcode::ASYNC_CANCEL, fd: -1, addr: key.user_data(), ..Sqe::default() };
        self.push_silent(inner, sqe);
    }
}

impl Inner {
    /// Moves what waits in the backlog to the queue. A chain goes over as a whole: the kernel
    /// ends one where an enter ends.
    pub(super) fn refill(&mut self) {
        while !self.backlog.is_empty() {
            let chained = self.backlog.iter().take_while(|sqe| is_linked(sqe)).count() + 1;
            if chained > 1 && (chained as u32) > self.room() {
                return;
            }
            for sqe in self.backlog.iter().take(chained) {
                if !self.ring.push(sqe) {
                    return;
                }
            }
            self.backlog.drain(..chained);
        }
    }

    /// Entries that the submission queue takes before it is full.
    pub(super) fn room(&self) -> u32 {
        self.ring.capacity() - self.ring.unsubmitted()
    }
}
