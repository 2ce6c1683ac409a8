//! Chapter 10: locks, events, conditions.
//!
//! Between two `await`s no other task runs, so most needs no lock. What stays as it is over an
//! `await` does; and tasks may wait for one another.

mod ex18;
mod ex19;
mod ex20;

use crate::course::{Chapter, Demo};

pub(crate) const CHAPTER: Chapter = Chapter {
    title: "10. Locks, events, conditions",
    demos: &[
        Demo::new("ex18", ex18::main, "a lock goes to who waits longest"),
        Demo::new("ex19", ex19::main, "an event wakes all who wait for it"),
        Demo::new("ex20", ex20::main, "a condition wakes as many as it is told to"),
    ],
};
