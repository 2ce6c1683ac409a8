//! Whoever waits for an operation, and what becomes of it if nobody does any more: outputs and
//! items that are taken, wakers, futures that go.

use std::task::{Context, Poll};

use super::Driver;
use super::completion::reclaim;
use super::op::{self, Many, MultishotOp, Once, Op, Resident};
use super::ring::Cqe;
use super::slab::{Key, Payload, State};
use crate::wake::LocalWaker;

impl Driver {
    /// Waits for the terminal completion and turns it into the output.
    pub(crate) fn poll_op<T: Op>(&self, key: Key, cx: &mut Context<'_>) -> Poll<T::Output> {
        match self.poll_terminal(key, cx) {
            // SAFETY: the slot was filled by `place` with a `Once<T>`: keys come from `start::<T>`
            // and go to `poll_op::<T>` within one type, `Submit<T>` or a stream's.
            Poll::Ready((mut payload, cqe)) => unsafe {
                Poll::Ready(op::take::<Once<T>>(&raw mut payload).0.complete(cqe))
            },
            Poll::Pending => Poll::Pending,
        }
    }

    pub(super) fn poll_terminal(&self, key: Key, cx: &mut Context<'_>) -> Poll<(Payload, Cqe)> {
        // The clone of a waker need not say that it wakes the same (`Waker::noop` does not).
        let mut noted = false;
        loop {
            let mut inner = self.inner();
            let head = inner.arena.get(key).expect("a future's key is good until it is ready");
            if head.state() == State::Done {
                let cqe = head.cqe(0);
                let (payload, _) = inner.arena.remove(key);
                return Poll::Ready((payload, cqe));
            }
            if noted || head.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                return Poll::Pending;
            }
            drop(inner);
            self.set_waker(key, cx);
            noted = true;
        }
    }

    /// Notes whom to wake. A waker's clone and drop are foreign code: not under the borrow.
    pub(super) fn set_waker(&self, key: Key, cx: &Context<'_>) {
        self.refuse_in_fork();
        self.refuse_after_leak(key);
        let fresh = LocalWaker::new(cx.waker());
        let mut inner = self.inner();
        let stale = inner.arena.get(key).map(|head| head.waker.replace(fresh));
        drop(inner);
        drop(stale);
    }

    /// Takes the next item of a multishot op. After `Last` the op has ended and the key is dead.
    pub(crate) fn poll_item<T: MultishotOp>(
        &self,
        key: Key,
        cx: &mut Context<'_>,
    ) -> Poll<Next<T::Item>> {
        let mut inner = self.inner();
        let slot = inner.arena.get_with_payload(key);
        let (_, payload) = slot.expect("a stream's key is good until its last item");
        // SAFETY: the slot holds a `Many<T>`, as in `poll_op`; the kernel uses nothing of `queue`.
        let queued = unsafe { &mut (*op::locate::<Many<T>>(payload)).queue }.pop_front();
        drop(inner);
        if let Some(cqe) = queued {
            // SAFETY: as above; `item` runs without the borrow, and the slot stays: only this
            // stream's owner removes it, who is calling.
            let op = unsafe { &mut (*op::locate::<Many<T>>(payload)).op };
            return Poll::Ready(Next::More(op.item(cqe)));
        }
        match self.poll_terminal(key, cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready((mut payload, cqe)) => {
                // SAFETY: as above, and the op is done.
                let mut resident = unsafe { op::take::<Many<T>>(&raw mut payload) };
                Poll::Ready(Next::Last(resident.op.item(cqe)))
            }
        }
    }

    /// The future of `key` is gone: cancels the op if the kernel still has it.
    pub(crate) fn abandon(&self, key: Key) {
        self.let_go(key, true);
    }

    /// The owner of `key` is gone, and the op is to come to its own end.
    pub(crate) fn leave(&self, key: Key) {
        self.let_go(key, false);
    }

    pub(super) fn let_go(&self, key: Key, cancels: bool) {
        let mut inner = self.inner();
        let Some(head) = inner.arena.get(key) else { return };
        match head.state() {
            State::InFlight => {
                let waker = head.waker.take();
                inner.arena.orphan(key);
                if mutant!("slot-freed-at-drop") {
                    let (payload, vtable) = inner.arena.remove(key);
                    drop(inner);
                    let cqe = Cqe { user_data: 0, result: -libc::ECANCELED, flags: 0 };
                    return reclaim(payload, vtable, cqe);
                }
                let cancels = cancels || mutant!("left-op-cancelled");
                if cancels && !inner.closing {
                    self.push_cancel(&mut inner, key);
                }
                drop(inner);
                drop(waker);
            }
            State::Done => {
                let cqe = head.cqe(0);
                let waker = head.waker.take();
                let (payload, vtable) = inner.arena.remove(key);
                drop(inner);
                drop(waker);
                reclaim(payload, vtable, cqe);
            }
            State::Free | State::Orphan => {}
        }
    }

    /// Whether the terminal completion has come, so that `poll_op` would be ready.
    pub(crate) fn is_done(&self, key: Key) -> bool {
        self.inner().arena.get(key).is_some_and(|head| head.state() == State::Done)
    }

    /// Asks the kernel to end an op whose future goes on waiting.
    pub(crate) fn cancel(&self, key: Key) {
        let mut inner = self.inner();
        let in_flight = inner.arena.get(key).is_some_and(|head| head.state() == State::InFlight);
        if in_flight && !inner.closing {
            self.push_cancel(&mut inner, key);
        }
    }

    /// Gives `f` the resident of `key` in place, with its terminal completion if that has come.
    ///
    /// # Safety
    ///
    /// The slot holds an `R`, of which the kernel uses nothing that `f` touches. `f` runs under
    /// the borrow: it calls no foreign code.
    pub(super) unsafe fn with_resident<R: Resident, V>(
        &self,
        key: Key,
        f: impl FnOnce(&mut R, Option<Cqe>, &Option<LocalWaker>) -> V,
    ) -> Option<V> {
        let mut inner = self.inner();
        let (head, payload) = inner.arena.get_with_payload(key)?;
        let done = (head.state() == State::Done).then(|| head.cqe(key.user_data()));
        // SAFETY: the caller's promise.
        Some(f(unsafe { &mut *op::locate::<R>(payload) }, done, &head.waker))
    }

    /// Moves the resident of a done slot out.
    ///
    /// # Safety
    ///
    /// The slot holds an `R`.
    pub(super) unsafe fn take_resident<R: Resident>(&self, key: Key) -> Option<R> {
        let mut inner = self.inner();
        if inner.arena.get(key)?.state() != State::Done {
            return None;
        }
        let (mut payload, _) = inner.arena.remove(key);
        drop(inner);
        // SAFETY: the caller's promise; the kernel has let go.
        Some(unsafe { op::take::<R>(&raw mut payload) })
    }
}

/// An item of a multishot op.
#[derive(Debug)]
pub(crate) enum Next<T> {
    More(T),
    /// The op has ended with it; arm a new one for more.
    Last(T),
}
