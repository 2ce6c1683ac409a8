//! Chapter 13: groups, select, and channels.
//!
//! Tasks of a group end together. Futures side by side in one task need no task at all: the first
//! that is ready decides. Between the loops of two threads, channels carry what is `Send`.

mod ask_and_answer;
mod back_pressure;
mod first_answer;
mod group_fails;
mod group_well;
mod hikers;
mod latest_value;
mod news;
mod nothing_lost;
mod three_at_a_time;

use crate::course::{Chapter, Demo};

pub(crate) const CHAPTER: Chapter = Chapter {
    title: "13. Groups, select, and channels",
    demos: &[
        Demo::new("group_well", group_well::main, "tasks that end together"),
        Demo::new("group_fails", group_fails::main, "one fails, and the others are cancelled"),
        Demo::new("first_answer", first_answer::main, "a race: the first decides"),
        Demo::new("nothing_lost", nothing_lost::main, "select! in a loop"),
        Demo::new("three_at_a_time", three_at_a_time::main, "a semaphore, ten downloads"),
        Demo::new("hikers", hikers::main, "a barrier: nobody goes on alone"),
        Demo::new("back_pressure", back_pressure::main, "mpsc: two loops, little room between"),
        Demo::new("ask_and_answer", ask_and_answer::main, "oneshot: a place for the answer"),
        Demo::new("latest_value", latest_value::main, "watch: what counts is the latest"),
        Demo::new("news", news::main, "broadcast: all of it, for all who keep up"),
    ],
};
