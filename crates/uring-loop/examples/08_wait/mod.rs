//! Chapter 8: waiting for some of many.
//!
//! Sometimes one is enough, or time is short, or each result is wanted when it is there. Waiting
//! takes no results and cancels nothing: it tells which tasks are done, and which are not.

mod count_as_completed;
mod count_wait;
mod ex14;
mod ex15;
mod ex17;
mod first_completed;
mod first_error;
mod no_error;
mod squares;
mod timing;
mod two_hellos;
mod two_teas;
mod wait_timeout;

use crate::course::{Chapter, Demo};

pub(crate) const CHAPTER: Chapter = Chapter {
    title: "8. Waiting for some of many",
    demos: &[
        Demo::new("two_teas", two_teas::main, "until all are done"),
        Demo::new("wait_timeout", wait_timeout::main, "for three seconds"),
        Demo::new("first_completed", first_completed::main, "until one is done"),
        Demo::new("first_error", first_error::main, "until one has failed"),
        Demo::new("no_error", no_error::main, "and if none does"),
        Demo::new("two_hellos", two_hellos::main, "many tasks, one thread"),
        Demo::new("timing", timing::main, "as long as the longest"),
        Demo::new("count_wait", count_wait::main, "ten that end together"),
        Demo::new("squares", squares::main, "ten callbacks"),
        Demo::new("ex14", ex14::main, "three phases"),
        Demo::new("ex15", ex15::main, "those that are not done are cancelled"),
        Demo::new("ex17", ex17::main, "each as it ends"),
        Demo::new("count_as_completed", count_as_completed::main, "ten, each as it ends"),
    ],
};
