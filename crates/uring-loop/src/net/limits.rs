//! How long a stream may be silent: its read, write and idle timeouts.
//!
//! They live in a box of their own (`extras.rs`), since most streams have none, and an idle
//! connection should be small.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::context;
use crate::sys::clock::saturating_ns;
use crate::time::wheel::Entry;

pin_project! {
    /// The limits of one stream, in nanoseconds; 0 is none.
    pub(super) struct Limits {
        #[pin]
        read: Limit,
        #[pin]
        write: Limit,
        idle: Cell<u64>,
        // When the last byte moved in either direction.
        active: Cell<u64>,
    }
}

pin_project! {
    struct Limit {
        allowed: Cell<u64>,
        // When the operation in progress began to wait; 0 when none does.
        since: Cell<u64>,
        #[pin]
        timer: Entry,
    }
}

/// Which half is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Read,
    Write,
}

impl Limits {
    pub(super) fn new() -> Pin<Box<Self>> {
        let limit = || Limit { allowed: Cell::new(0), since: Cell::new(0), timer: Entry::new() };
        Box::pin(Limits {
            read: limit(),
            write: limit(),
            idle: Cell::new(0),
            active: Cell::new(now()),
        })
    }

    pub(super) fn set(&self, side: Side, limit: Option<Duration>) {
        self.side(side).allowed.set(limit.map_or(0, saturating_ns));
    }

    pub(super) fn set_idle(&self, limit: Option<Duration>) {
        self.idle.set(limit.map_or(0, saturating_ns));
        self.active.set(now());
    }

    /// Whether a write may have to end before it is over.
    pub(super) fn limits_writes(&self) -> bool {
        self.write.allowed.get() > 0 || self.idle.get() > 0
    }

    fn side(&self, side: Side) -> &Limit {
        match side {
            Side::Read => &self.read,
            Side::Write => &self.write,
        }
    }

    /// When the wait on this side is over, as things stand.
    fn deadline(&self, side: Side) -> u64 {
        let after = |from: u64, allowed: u64| match allowed {
            0 => u64::MAX,
            allowed => from.saturating_add(allowed),
        };
        let limit = self.side(side);
        after(limit.since.get(), limit.allowed.get()).min(after(self.active.get(), self.idle.get()))
    }

    /// The operation on this side waits: arms the timer, or tells that the time is over.
    pub(super) fn waiting(self: Pin<&Self>, side: Side, cx: &mut Context<'_>) -> Poll<io::Error> {
        let limits = self.project_ref();
        let limit = match side {
            Side::Read => limits.read,
            Side::Write => limits.write,
        };
        let Some(now) = running() else { return Poll::Pending };
        if limit.since.get() == 0 {
            limit.since.set(now.max(1));
        }
        let deadline = self.deadline(side);
        if deadline <= now {
            self.done(side);
            return Poll::Ready(too_late());
        }
        let timer = limit.project_ref().timer;
        timer.set_waker(cx.waker());
        if !timer.armed() || timer.deadline() != deadline {
            context::core("a stream's timeout", |core| core.timers.arm(timer, deadline));
        }
        Poll::Pending
    }

    /// Bytes moved on this side.
    pub(super) fn moved(&self, side: Side) {
        self.done(side);
        if self.idle.get() > 0
            && let Some(now) = running()
        {
            self.active.set(now);
        }
    }

    /// The operation on this side is over or was dropped.
    pub(super) fn done(&self, side: Side) {
        let limit = self.side(side);
        limit.since.set(0);
        limit.timer.disarm();
    }
}

/// What an operation fails with whose time is over.
pub(super) fn too_late() -> io::Error {
    let text = "the stream was silent for longer than its timeout allows";
    io::Error::new(io::ErrorKind::TimedOut, text)
}

/// The time, while the loop runs. A stream that is dropped elsewhere may be polled once more, for
/// what it has still to say (`TlsStream` does so); no limit ends that.
fn running() -> Option<u64> {
    context::with_core(|core| core.clock.now())
}

fn now() -> u64 {
    context::core("a stream's timeout", |core| core.clock.now())
}
