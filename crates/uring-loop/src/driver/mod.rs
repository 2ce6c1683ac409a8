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
mod submission;
mod waiting;
mod watch;

use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;

use crate::ops::proc::LastWait;
use crate::sys::fork;
pub use chain::{Chain, Chained, Hard};
pub use in_flight::{InFlight, InFlightKind};
pub use op::{Op, Submit};
use ring::{Ring, Sqe, Wait, opcode};
pub(crate) use slab::Key;
use slab::{Arena, Kind};
pub(crate) use waiting::Next;
pub(crate) use watch::Watch;

/// The ring of a loop, as owned operations.
///
/// # Examples
///
/// ```
/// use uring_loop::op::{Driver, Nop};
///
/// uring_loop::run(async {
///     let driver = Driver::current();
///     // Nothing happens before the first poll. From then on it is in flight, awaited or not.
///     let nop = driver.submit(Nop);
///     nop.await?;
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
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
    last_wait: LastWait,
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
            last_wait: LastWait::new(),
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

    /// Which ring it is.
    pub(crate) fn ring_kind(&self) -> ring::RingKind {
        self.inner().ring.kind()
    }

    /// How children that were killed are reaped when the loop is over.
    pub(crate) fn last_wait(&self) -> &LastWait {
        &self.last_wait
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

    /// Whether the loop has shut down, or belongs to a parent process.
    pub(crate) fn closing(&self) -> bool {
        self.inner().closing
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

    /// The same for one who spins.
    pub(crate) fn glance(&self) -> ring::Hints {
        self.inner().ring.glance()
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
}

/// How an enter came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    Normally,
    /// EBUSY or EAGAIN: the kernel wants a reap, or memory, before it takes more.
    Refused,
}

impl Inner {
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
                .field("ring", &inner.ring.kind())
                .field("setup", &inner.ring.setup())
                .field("arena", &inner.arena)
                .field("backlog", &inner.backlog.len())
                .finish(),
            Err(_) => f.write_str("Driver(in use)"),
        }
    }
}
