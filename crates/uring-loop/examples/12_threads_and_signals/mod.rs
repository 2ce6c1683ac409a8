//! Chapter 12: threads and signals.
//!
//! A loop belongs to one thread. From others it is reached through its handle; from the keyboard,
//! by Ctrl+C.

mod background;
mod ctrl_c;

use crate::course::{Chapter, Demo};

pub(crate) const CHAPTER: Chapter = Chapter {
    title: "12. Threads and signals",
    demos: &[
        Demo::new("background", background::main, "a loop on a thread of its own"),
        Demo::new("ctrl_c", ctrl_c::main, "a loop with nothing to do, and Ctrl+C"),
    ],
};
