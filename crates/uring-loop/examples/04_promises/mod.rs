//! Chapter 4: promises.
//!
//! A promise is a result that somebody sets later and others wait for. It joins the two worlds:
//! callbacks set it, coroutines await it. Python calls it a Future; in Rust that is the word for
//! everything that can be awaited.

mod awaitables;
mod ex07;
mod ex08;
mod ex09;
mod fifty_factorial;

use crate::course::{Chapter, Demo};

pub(crate) const CHAPTER: Chapter = Chapter {
    title: "4. Promises",
    demos: &[
        Demo::new("ex07", ex07::main, "a callback sets what the run waits for"),
        Demo::new("ex08", ex08::main, "and what a coroutine awaits"),
        Demo::new("ex09", ex09::main, "callbacks of a promise, in order"),
        Demo::new("fifty_factorial", fifty_factorial::main, "a task sets it, when it has computed"),
        Demo::new("awaitables", awaitables::main, "what can be awaited can be gathered"),
    ],
};
