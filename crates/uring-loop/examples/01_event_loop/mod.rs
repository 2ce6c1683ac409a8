//! Chapter 1: the event loop.
//!
//! What waits for a disk or a network need not stop a thread. The thread asks, goes on with
//! something else, and is told when there is an answer. An event loop is that thread's place to be
//! told: it is made, it runs something to its end, it is closed.

mod ex01;
mod ex02;
mod hello;
mod is_running;
mod message_loop;
mod read;
mod say_and_close;
mod trivial;

use crate::course::{Chapter, Demo};

pub(crate) const CHAPTER: Chapter = Chapter {
    title: "1. The event loop",
    demos: &[
        Demo::new("read", read::main, "reading a file, and something else meanwhile"),
        Demo::new("message_loop", message_loop::main, "what a loop is, by hand"),
        Demo::new("hello", hello::main, "a loop runs a coroutine that waits"),
        Demo::new("is_running", is_running::main, "a loop runs while it is run"),
        Demo::new("trivial", trivial::main, "what comes back from a run"),
        Demo::new("ex01", ex01::main, "starting a coroutine"),
        Demo::new("ex02", ex02::main, "what a coroutine returns"),
        Demo::new("say_and_close", say_and_close::main, "the loop is closed on every way out"),
    ],
};
