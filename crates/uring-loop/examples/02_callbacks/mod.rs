//! Chapter 2: callbacks.
//!
//! A callback is a plain function that the loop calls: as soon as it can, after some time, or at a
//! moment. It never waits itself. What it has to know it captures.

mod ex05;
mod ex06;
mod hello_and_stop;
mod hello_later;
mod hello_word;
mod named;

use crate::course::{Chapter, Demo};

pub(crate) const CHAPTER: Chapter = Chapter {
    title: "2. Callbacks",
    demos: &[
        Demo::new("hello_word", hello_word::main, "a callback that ends the run"),
        Demo::new("hello_and_stop", hello_and_stop::main, "first come, first called"),
        Demo::new("hello_later", hello_later::main, "after some time"),
        Demo::new("named", named::main, "a callback that says what it is"),
        Demo::new("ex05", ex05::main, "soon is before any time"),
        Demo::new("ex06", ex06::main, "at a moment of the loop's clock"),
    ],
};
