//! The door of a loop: the [inbox](super::inbox) with a bell that wakes the parked loop.
//!
//! # Life story
//!
//! Doors are never freed, only reused. A `Waker` may outlive its loop by any length and still
//! knows its door; were doors counted, each spawn would pay an atomic. So a loop *takes* a door
//! from a list of free ones (or makes one), and *returns* it when it closes, after emptying it.
//! A late sender that pushes a task of the old loop through a door that a new loop uses, costs
//! that loop a spurious wake: it sees the foreign loop id and only drops the reference. There are
//! at most as many doors, and eventfds for bells, as there were loops alive at one time.
//!
//! A forked child takes none of its parent's doors: their bells are the same eventfds, and a ring
//! meant for a loop of the parent would wake the child's instead, and be lost.

use super::inbox::{Inbox, Node};
use crate::sys::eventfd::Bell;
use crate::sys::fork;
use std::io;
use std::os::fd::RawFd;
use std::sync::{Mutex, PoisonError};

/// An [`Inbox`] with a bell.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) inbox: Inbox,
    bell: Bell,
    /// The process it was made in ([`fork::generation`]).
    made_in: u32,
}

static FREE: Mutex<Vec<&'static Door>> = Mutex::new(Vec::new());

impl Door {
    /// A free door, or a new one.
    pub(crate) fn obtain() -> io::Result<&'static Door> {
        let made_in = fork::generation();
        if let Some(door) = Self::free_one(made_in) {
            door.inbox.wake_up();
            return Ok(door);
        }
        Ok(Box::leak(Box::new(Door { inbox: Inbox::new(), bell: Bell::new()?, made_in })))
    }

    fn free_one(made_in: u32) -> Option<&'static Door> {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        free.retain(|door| door.made_in == made_in);
        free.pop()
    }

    /// Gives the door back; its loop has emptied it.
    pub(crate) fn give_back(&'static self) {
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push(self);
    }

    /// Pushes a node and wakes the loop if it is parked.
    ///
    /// # Safety
    ///
    /// As [`Inbox::push`].
    pub(crate) unsafe fn push(&self, node: *mut Node) {
        // SAFETY: handed on.
        if unsafe { self.inbox.push(node) } {
            self.bell.ring();
        }
    }

    /// What the ring polls.
    pub(crate) fn bell(&self) -> RawFd {
        self.bell.fd()
    }
}
