//! Chapter 6: cancellation.
//!
//! To cancel a task is to ask it to end. Where nobody in it wants to hear of that, its future is
//! dropped where it waits. Who does, catches it: to clean up, to hand it on, or to go on.

mod cancel_all;
mod ex11;
mod ex12;

use crate::course::{Chapter, Demo};

pub(crate) const CHAPTER: Chapter = Chapter {
    title: "6. Cancellation",
    demos: &[
        Demo::new("ex11", ex11::main, "a task that has not begun never begins"),
        Demo::new("ex12", ex12::main, "a task that cleans up"),
        Demo::new("cancel_all", cancel_all::main, "every task there is"),
    ],
};
