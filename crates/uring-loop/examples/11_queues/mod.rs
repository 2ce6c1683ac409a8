//! Chapter 11: queues.
//!
//! Tasks hand each other work through a queue: who takes waits while it is empty, who puts waits
//! while it is full.

mod ex21;
mod queue_get;
mod queue_nowait;
mod queue_of_five;
mod queue_pending;

use crate::course::{Chapter, Demo};

pub(crate) const CHAPTER: Chapter = Chapter {
    title: "11. Queues",
    demos: &[
        Demo::new("queue_nowait", queue_nowait::main, "put and got at once"),
        Demo::new("queue_get", queue_get::main, "got in a run"),
        Demo::new("queue_pending", queue_pending::main, "waited for, from run to run"),
        Demo::new("queue_of_five", queue_of_five::main, "full at five"),
        Demo::new("ex21", ex21::main, "one producer, two consumers"),
    ],
};
