//! The door of a loop: the [inbox](super::inbox) with a bell that wakes the parked loop.
//!
//! # Life story
//!
//! Doors are never freed, only reused. A `Waker` may outlive its loop by any length and still
//! knows its door; were doors counted, each spawn would pay an atomic. So a loop *takes* a door
//! from a list of free ones (or makes one), and *returns* it when it closes, after emptying it.
//! A task knows its door by number: doors lie in a table that only grows and never moves, and who
//! wakes from another thread finds them there without a lock.
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
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// An [`Inbox`] with a bell.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) inbox: Inbox,
    bell: Bell,
    /// The process it was made in ([`fork::generation`]).
    made_in: u32,
    number: u32,
    /// Whether a loop behind it has ever listened to signals.
    hears_signals: AtomicBool,
}

/// Doors that no loop has, and how many there are in all.
struct Register {
    free: Vec<&'static Door>,
    made: u32,
}

/// How many there are in all, for a signal handler, which cannot take a lock.
static MADE: AtomicU32 = AtomicU32::new(0);

static REGISTER: Mutex<Register> = Mutex::new(Register { free: Vec::new(), made: 0 });

/// All doors by number, in segments of which each has room for twice as many as the one before.
static SEGMENTS: [OnceLock<Segment>; 24] = [const { OnceLock::new() }; 24];

type Segment = Box<[OnceLock<Door>]>;

/// Doors in the first segment.
const FIRST: u32 = 16;

/// The segment that a number lies in, and where.
fn place(number: u32) -> (usize, usize) {
    let shifted = number + FIRST;
    let segment = shifted.ilog2() - FIRST.ilog2();
    (segment as usize, (shifted - (FIRST << segment)) as usize)
}

fn register() -> MutexGuard<'static, Register> {
    REGISTER.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Door {
    /// A free door, or a new one.
    pub(crate) fn obtain() -> io::Result<&'static Door> {
        let made_in = fork::generation();
        let mut register = register();
        register.free.retain(|door| door.made_in == made_in);
        if let Some(door) = register.free.pop() {
            door.inbox.wake_up();
            // What rang for the loop before would wake this one. Nobody rings for a loop that has
            // not parked, so no ring of its own is lost.
            door.bell.silence();
            return Ok(door);
        }
        let bell = Bell::new()?;
        let number = register.made;
        let (segment, index) = place(number);
        let slots = SEGMENTS
            .get(segment)
            .ok_or_else(|| io::Error::other("too many event loops at one time"))?;
        let room = (FIRST as usize) << segment;
        let slots = slots.get_or_init(|| (0..room).map(|_| OnceLock::new()).collect());
        register.made += 1;
        let door = slots[index].get_or_init(|| Door {
            inbox: Inbox::new(),
            bell,
            made_in,
            number,
            hears_signals: AtomicBool::new(false),
        });
        // Release: who finds the number in it finds the door in the table.
        MADE.store(register.made, Ordering::Release);
        Ok(door)
    }

    /// The door of this number, which a loop has or had.
    pub(super) fn of(number: u32) -> &'static Door {
        let (segment, index) = place(number);
        let door = SEGMENTS[segment].get().and_then(|slots| slots[index].get());
        door.expect("a number is given out after its door was put in the table")
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Gives the door back; its loop has emptied it.
    pub(crate) fn give_back(&'static self) {
        register().free.push(self);
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

    /// From now on the loop behind it is woken when signals come.
    pub(crate) fn listen_to_signals(&self) {
        // SeqCst, with the counts of signals read after it: see the protocol in `sys/signal.rs`.
        self.hears_signals.store(true, Ordering::SeqCst);
    }

    /// What the ring polls.
    pub(crate) fn bell(&self) -> RawFd {
        self.bell.fd()
    }
}

/// Wakes every loop of this process that listens to signals. Called by the signal handler: it
/// takes no lock and allocates nothing.
pub(crate) fn ring_listeners() {
    let made_in = fork::generation();
    for number in 0..MADE.load(Ordering::Acquire) {
        let (segment, index) = place(number);
        let Some(door) = SEGMENTS[segment].get().and_then(|slots| slots[index].get()) else {
            continue;
        };
        let ours = door.made_in == made_in && door.hears_signals.load(Ordering::SeqCst);
        if ours && door.inbox.notify() {
            door.bell.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_taken_again_has_a_silent_bell() {
        // Other tests take doors meanwhile: the one given back need not be the next.
        for _ in 0..1000 {
            let door = Door::obtain().expect("a descriptor");
            door.bell.ring();
            door.give_back();
            let next = Door::obtain().expect("a descriptor");
            let (same, rung) = (std::ptr::eq(door, next), next.bell.is_rung());
            next.give_back();
            if same {
                return assert!(!rung);
            }
        }
        panic!("no door was ever taken again");
    }

    #[test]
    fn numbers_fill_one_segment_after_the_other() {
        let mut expected = (0, 0);
        for number in 0..10_000 {
            assert_eq!(place(number), expected);
            expected.1 += 1;
            if expected.1 == (FIRST as usize) << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
    }

    #[test]
    fn a_door_is_found_by_its_number() {
        let doors: Vec<_> = (0..40).map(|_| Door::obtain().expect("an eventfd")).collect();
        for door in &doors {
            assert!(std::ptr::eq(*door, Door::of(door.number())));
        }
        doors.into_iter().for_each(Door::give_back);
    }
}
