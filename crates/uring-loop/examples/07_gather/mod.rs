//! Chapter 7: gathering.
//!
//! Many run at the same time, and their results are wanted together: in the order of the
//! arguments, whichever ended first.

mod big_factorials;
mod count;
mod ex16;
mod factorials;
mod hello_callback;
mod mix_teas;
mod three_teas;

use crate::course::{Chapter, Demo};

pub(crate) const CHAPTER: Chapter = Chapter {
    title: "7. Gathering",
    demos: &[
        Demo::new("ex16", ex16::main, "the results of two, in order"),
        Demo::new("count", count::main, "ten that wait at the same time"),
        Demo::new("factorials", factorials::main, "three that take their turns"),
        Demo::new("big_factorials", big_factorials::main, "the same, for longer"),
        Demo::new("three_teas", three_teas::main, "a gathering that is a task"),
        Demo::new("mix_teas", mix_teas::main, "one callback for all"),
        Demo::new("hello_callback", hello_callback::main, "one that waits, one that does not"),
    ],
};
