//! Chapter 5: tasks.
//!
//! A task is a coroutine that the loop runs by itself. It begins in the next round of the loop,
//! awaited or not; awaiting it gives its result; whoever is interested may be called back.

mod add_honey;
mod confirm_tea;
mod ex10;
mod ex13;
mod make_tea;
mod nested_task;
mod say_after_tasks;
mod say_tasks;

use crate::course::{Chapter, Demo};

pub(crate) const CHAPTER: Chapter = Chapter {
    title: "5. Tasks",
    demos: &[
        Demo::new("nested_task", nested_task::main, "a task, awaited"),
        Demo::new("say_tasks", say_tasks::main, "two that sleep at the same time"),
        Demo::new("say_after_tasks", say_after_tasks::main, "how long that takes"),
        Demo::new("ex10", ex10::main, "before, during and after"),
        Demo::new("ex13", ex13::main, "a task that somebody else awaits"),
        Demo::new("make_tea", make_tea::main, "done or not, without awaiting it"),
        Demo::new("confirm_tea", confirm_tea::main, "a callback when it is done"),
        Demo::new("add_honey", add_honey::main, "a callback that knows more"),
    ],
};
