//! L1: the ring as owned operations. Knows wakers, not tasks.
//!
//! [`Driver`] is the public low level: it submits any [`Op`] and tells what is in flight. The
//! types of `net/` are written on it.
//!
//! # Order
//!
//! Entries reach the kernel in the order in which they were pushed, and the kernel looks up a
//! descriptor when it takes an entry in. So a descriptor that is closed *through the ring* needs
//! no count of the operations on it: those pushed before have been taken in (and hold the open
//! file themselves), none is pushed after. When the submission queue is full, entries wait in
//! `backlog`, and everything queues up behind them.
//!
//! # Borrowing
//!
//! `inner` is borrowed for short stretches in which no foreign code runs: not `Op::prepare`, not
//! `Op::complete`, no drop of an op, no waker. Each completion is turned into an [`Action`] under
//! the borrow and acted on after it.

mod abilities;
pub(crate) mod aligned;
pub(crate) mod buf;
pub(crate) mod bufpool;
mod chain;
mod completion;
pub(crate) mod connection;
pub(crate) mod fd;
pub(crate) mod fixed;
mod in_flight;
pub(crate) mod op;
pub(crate) mod outgoing;
mod owner;
mod pipes;
pub(crate) mod recv;
pub(crate) mod recv_bytes;
pub(crate) mod recv_datagrams;
pub(crate) mod recvbuf;
pub(crate) mod registered;
pub(crate) mod ring;
mod shutdown;
pub(crate) mod slab;
mod sockets;
pub(crate) mod source;
mod watch;

use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::sys::fork;
use crate::wake::LocalWaker;
pub use chain::{Chain, Chained, Hard};
use completion::reclaim;
pub use in_flight::{InFlight, InFlightKind};
use op::{Many, MultishotOp, Once, Resident, VtableOf};
pub use op::{Op, Submit};
use ring::{Cqe, Ring, Sqe, Wait, opcode, sqe_flags};
pub(crate) use slab::Key;
use slab::{Arena, Kind, Payload, Stages, State};
pub(crate) use watch::Watch;

/// The ring of a loop, as owned operations.
pub struct Driver {
    inner: RefCell<Inner>,
    buffers: bufpool::Lazy,
    counters: Counters,
    /// The time as it was last noted, in milliseconds, modulo 2^32.
    now: Cell<u32>,
    /// Who looks at the operations, if anybody does.
    watch: OnceCell<Rc<dyn Watch>>,
    abilities: abilities::Abilities,
    tables: registered::Tables,
    fork_generation: u32,
    #[cfg(any(test, feature = "testing"))]
    sim: Option<crate::testing::SimHandle>,
}

pub(super) struct Inner {
    ring: Ring,
    arena: Arena,
    /// Entries that found the submission queue full.
    backlog: VecDeque<Sqe>,
    /// Nothing new is taken: the loop shuts down, or this is a forked child.
    closing: bool,
    /// What is in flight has been cancelled: nothing goes on any more.
    cancelling: bool,
}

/// What was counted; see [`Statistics`](crate::Statistics).
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) enters: Cell<u64>,
    pub(crate) flushes: Cell<u64>,
    pub(crate) submissions: Cell<u64>,
    pub(crate) completions: Cell<u64>,
    pub(crate) overflows: Cell<u64>,
    pub(crate) backlogged: Cell<u64>,
    pub(crate) retries: Cell<u64>,
}

/// Adds one.
pub(crate) fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

impl Driver {
    pub(crate) fn new(ring: Ring, buffers: bufpool::Shape) -> Rc<Self> {
        Rc::new(Driver {
            #[cfg(any(test, feature = "testing"))]
            sim: match &ring {
                Ring::Sim(sim) => Some(sim.handle()),
                _ => None,
            },
            inner: RefCell::new(Inner {
                ring,
                arena: Arena::new(),
                backlog: VecDeque::new(),
                closing: false,
                cancelling: false,
            }),
            buffers: bufpool::Lazy::new(buffers),
            counters: Counters::default(),
            now: Cell::new(0),
            watch: OnceCell::new(),
            abilities: abilities::Abilities::unknown(),
            tables: registered::Tables::default(),
            fork_generation: fork::generation(),
        })
    }

    /// Borrows the insides; in a forked child it first makes them harmless.
    fn inner(&self) -> RefMut<'_, Inner> {
        let mut inner = self.inner.borrow_mut();
        if self.fork_generation != fork::generation() {
            inner.disown();
        }
        inner
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

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

    fn place<R: Resident>(&self, resident: R) -> Key {
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
    fn start_later<T: Op>(&self, op: T) -> (Key, Sqe) {
        self.settle(Once(op))
    }

    /// Moves a resident into a slot and has it fill in its entry, which is to be pushed next.
    fn settle<R: Resident>(&self, resident: R) -> (Key, Sqe) {
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

    /// Whether this process is a forked child of the one that the ring belongs to.
    pub(crate) fn forked(&self) -> bool {
        self.fork_generation != fork::generation()
    }

    /// A forked child polls what is its parent's.
    fn refuse_in_fork(&self) {
        if self.forked() {
            fork::refuse();
        }
    }

    /// A loop that shuts down takes nothing new: as if cancelled at once.
    fn complete_unsubmitted(&self, inner: &mut Inner, key: Key) {
        self.refuse_in_fork();
        inner.arena.finish(key);
        if let Some(head) = inner.arena.get(key) {
            head.keep_result(Cqe { user_data: 0, result: -libc::ECANCELED, flags: 0 });
        }
    }

    /// Submits the next entry of an op that takes several.
    fn submit_next_stage(&self, key: Key, stages: Stages) {
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
    fn push(&self, inner: &mut Inner, sqe: Sqe) {
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
    fn push_silent(&self, inner: &mut Inner, mut sqe: Sqe) {
        sqe.user_data = (Kind::Ignore as u64) << 56;
        sqe.flags |= sqe_flags::CQE_SKIP_SUCCESS;
        self.push(inner, sqe);
    }

    fn push_cancel(&self, inner: &mut Inner, key: Key) {
        if mutant!("cancel-lost-when-full") && !inner.backlog.is_empty() {
            return;
        }
        let sqe =
            Sqe { opcode: opcode::ASYNC_CANCEL, fd: -1, addr: key.user_data(), ..Sqe::default() };
        self.push_silent(inner, sqe);
    }

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

    fn poll_terminal(&self, key: Key, cx: &mut Context<'_>) -> Poll<(Payload, Cqe)> {
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

    /// Whether the loop has shut down, or belongs to a parent process.
    pub(crate) fn closing(&self) -> bool {
        self.inner().closing
    }

    /// Takes the next item of a multishot op. After `Last` the op has ended and the key is dead.
    pub(crate) fn poll_item<T: MultishotOp>(
        &self,
        key: Key,
        cx: &mut Context<'_>,
    ) -> Poll<Next<T::Item>> {
        let mut inner = self.inner();
        if inner.arena.get(key).is_none() {
            panic!("a stream's key is good until its last item");
        }
        let payload = inner.arena.payload(key);
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

    fn let_go(&self, key: Key, cancels: bool) {
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

    /// Closes a descriptor behind every operation pushed so far (`IORING_OP_CLOSE`, 5.6).
    pub(crate) fn close(&self, fd: RawFd) {
        let mut inner = self.inner();
        if matches!(inner.ring, Ring::Closed) || mutant!("closed-ahead-of-its-operations") {
            return self.close_now(fd);
        }
        let sqe = Sqe { opcode: opcode::CLOSE, fd, ..Sqe::default() };
        self.push_silent(&mut inner, sqe);
    }

    /// Arms the poll on the door's bell (`IORING_OP_POLL_ADD`, multishot: 5.13).
    pub(crate) fn listen_to_bell(&self, bell: RawFd) {
        const POLL_ADD_MULTI: u32 = 1;
        let mut sqe = Sqe { opcode: opcode::POLL_ADD, fd: bell, ..Sqe::default() };
        sqe.len = POLL_ADD_MULTI;
        sqe.op_flags = u32::from(libc::POLLIN as u16);
        sqe.user_data = (Kind::Bell as u64) << 56;
        let mut inner = self.inner();
        if !inner.closing {
            self.push(&mut inner, sqe);
        }
    }

    /// Entries that an enter would hand over.
    pub(crate) fn unsubmitted(&self) -> bool {
        let inner = self.inner();
        inner.ring.unsubmitted() > 0 || !inner.backlog.is_empty()
    }

    /// Whether something waits on the other side.
    pub(crate) fn hints(&self) -> ring::Hints {
        self.inner().ring.hints()
    }

    /// Ops that keep a virtual clock from jumping.
    pub(crate) fn holds_clock(&self) -> bool {
        self.inner().arena.holding_clock() > 0
    }

    /// Enters the kernel once: submits, and waits as told.
    ///
    /// # Errors
    ///
    /// Only such as no later attempt can mend. What is ordinary (`runtimes` call it an odd
    /// result) is `Ok`: EINTR and ETIME mean "come again"; EBUSY and EAGAIN mean "reap, then come
    /// again", and are reported so that the caller can back off.
    pub(crate) fn enter(&self, wait: Wait) -> io::Result<Entered> {
        let mut inner = self.inner();
        inner.refill();
        let wait = if inner.backlog.is_empty() { wait } else { Wait::Poll };
        count(&self.counters.enters);
        let hints = inner.ring.hints();
        if hints.overflow {
            count(&self.counters.overflows);
        }
        let result = inner.ring.enter(wait);
        inner.refill();
        match result.as_ref().err().and_then(io::Error::raw_os_error) {
            None | Some(libc::EINTR | libc::ETIME) => Ok(Entered::Normally),
            Some(libc::EBUSY | libc::EAGAIN) => {
                count(&self.counters.retries);
                Ok(Entered::Refused)
            }
            Some(_) => result.map(|()| Entered::Normally),
        }
    }

    /// It is this time, in nanoseconds: the age of operations is counted from here to here.
    pub(crate) fn note_time(&self, now: u64) {
        self.now.set((now / 1_000_000) as u32);
    }

    /// The buffers lent to receiving streams; made at the first use.
    pub(crate) fn buffers(&self) -> io::Result<Rc<bufpool::BufPool>> {
        self.buffers.get(|memory, entries, group| {
            let mut inner = self.inner();
            if inner.closing {
                self.refuse_in_fork();
                return Err(io::Error::from_raw_os_error(libc::ECANCELED));
            }
            // SAFETY: the pool's mapping, kept by `self.buffers` until the ring is closed
            // (`shutdown`), or leaked with it.
            unsafe { inner.ring.register_buffers(memory, entries, group) }
        })
    }

    pub(crate) fn active(&self) -> (u32, u32) {
        let inner = self.inner();
        (inner.arena.active(), inner.arena.orphans())
    }

    /// Buffers free and in all, if any stream has received.
    pub(crate) fn buffer_usage(&self) -> Option<(u16, u16)> {
        self.buffers.usage()
    }

    /// Gives `f` the resident of `key` in place, with its terminal completion if that has come.
    ///
    /// # Safety
    ///
    /// The slot holds an `R`, of which the kernel uses nothing that `f` touches. `f` runs under
    /// the borrow: it calls no foreign code.
    unsafe fn with_resident<R: Resident, V>(
        &self,
        key: Key,
        f: impl FnOnce(&mut R, Option<Cqe>, &Option<LocalWaker>) -> V,
    ) -> Option<V> {
        let mut inner = self.inner();
        let payload = inner.arena.get(key).is_some().then(|| inner.arena.payload(key))?;
        let head = inner.arena.get(key)?;
        let done = (head.state() == State::Done).then(|| head.cqe(key.user_data()));
        // SAFETY: the caller's promise.
        Some(f(unsafe { &mut *op::locate::<R>(payload) }, done, &head.waker))
    }

    /// Moves the resident of a done slot out.
    ///
    /// # Safety
    ///
    /// The slot holds an `R`.
    unsafe fn take_resident<R: Resident>(&self, key: Key) -> Option<R> {
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

/// How an enter came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    Normally,
    /// EBUSY or EAGAIN: the kernel wants a reap, or memory, before it takes more.
    Refused,
}

impl Inner {
    /// Moves what waits in the backlog to the queue. A chain goes over as a whole: the kernel
    /// ends one where an enter ends.
    fn refill(&mut self) {
        while !self.backlog.is_empty() {
            let chained = self.backlog.iter().take_while(|sqe| chain::is_linked(sqe)).count() + 1;
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
    fn room(&self) -> u32 {
        self.ring.capacity() - self.ring.unsubmitted()
    }

    /// This is a forked child: the ring and all that is in flight belong to the parent. The
    /// child forgets them without touching the shared memory (which it has not mapped).
    fn disown(&mut self) {
        if !matches!(self.ring, Ring::Closed) {
            self.closing = true;
            std::mem::forget(std::mem::replace(&mut self.ring, Ring::Closed));
            self.backlog.clear();
        }
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.inner.try_borrow() {
            Ok(inner) => f
                .debug_struct("Driver")
                .field("setup", &inner.ring.setup())
                .field("arena", &inner.arena)
                .field("backlog", &inner.backlog.len())
                .finish(),
            Err(_) => f.write_str("Driver(in use)"),
        }
    }
}
