//! What few streams need: they make it when they first do, and the others stay small.

use std::cell::{Cell, OnceCell};
use std::pin::Pin;

use super::limits::Limits;
use crate::driver::outgoing::Outgoing;
use crate::driver::recvbuf::RecvBuf;

/// From how many bytes on a write is sent without a copy, unless the stream says otherwise.
///
/// As much as the kernel's buffer of a connection may grow to (`net.ipv4.tcp_wmem`). A write of so
/// much waits for acknowledgements anyway; a shorter one, which would be over when it is copied,
/// would have to wait for them, and a task that writes piece by piece would send one piece in each
/// round trip. Where the copy itself begins to cost more is below that by far: the benchmark
/// `zero_copy` tells.
pub(super) const ZERO_COPY_FROM: usize = 4 << 20;

/// The rest of a buffer, timeouts, what was taken over for sending, and whether to send without a
/// copy.
pub(super) struct Extras {
    rest: Cell<Option<RecvBuf>>,
    limits: OnceCell<Pin<Box<Limits>>>,
    /// From so many bytes on a write is sent without a copy.
    pub(super) zero_copy_from: Cell<usize>,
    pub(super) outgoing: Outgoing,
}

impl Default for Extras {
    fn default() -> Self {
        Extras {
            rest: Cell::default(),
            limits: OnceCell::new(),
            zero_copy_from: Cell::new(ZERO_COPY_FROM),
            outgoing: Outgoing::default(),
        }
    }
}

impl Extras {
    /// Puts back what a reader had no room for; it comes before anything else.
    pub(super) fn unread(&self, rest: RecvBuf) {
        self.rest.set(Some(rest));
    }

    pub(super) fn take_rest(&self) -> Option<RecvBuf> {
        self.rest.take()
    }

    pub(super) fn has_rest(&self) -> bool {
        let rest = self.rest.take();
        let any = rest.is_some();
        self.rest.set(rest);
        any
    }

    /// The timeouts, if any was ever set.
    pub(super) fn limits(&self) -> Option<Pin<&Limits>> {
        self.limits.get().map(|limits| limits.as_ref())
    }

    /// The timeouts, all of them off if none was ever set.
    pub(super) fn limits_or_off(&self) -> Pin<&Limits> {
        self.limits.get_or_init(Limits::new).as_ref()
    }
}
