//! What few streams need: they make it when they first do, and the others stay small.

use std::cell::{Cell, OnceCell};
use std::pin::Pin;

use super::limits::Limits;
use crate::driver::outgoing::Outgoing;
use crate::driver::recvbuf::RecvBuf;

/// The rest of a buffer, timeouts, and what was taken over for sending.
#[derive(Default)]
pub(super) struct Extras {
    rest: Cell<Option<RecvBuf>>,
    limits: OnceCell<Pin<Box<Limits>>>,
    pub(super) outgoing: Outgoing,
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
