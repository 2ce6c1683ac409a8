//! Chapter 3: coroutines.
//!
//! An `async fn` is a function that may wait. Calling it runs nothing: it makes a future, and the
//! future runs while it is awaited, from one `await` to the next.

mod coro_sum;
mod display_date;
mod ex03;
mod ex04;
mod forms;
mod hello_world;
mod nested;
mod not_awaited;
mod outer;
mod say;
mod say_after;

use crate::course::{Chapter, Demo};

pub(crate) const CHAPTER: Chapter = Chapter {
    title: "3. Coroutines",
    demos: &[
        Demo::new("hello_world", hello_world::main, "the shortest one that waits"),
        Demo::new("coro_sum", coro_sum::main, "what a call makes, and what drives it"),
        Demo::new("forms", forms::main, "what the compiler makes of an `async fn`"),
        Demo::new("nested", nested::main, "a future that nobody awaits does nothing"),
        Demo::new("not_awaited", not_awaited::main, "and neither does a sleep"),
        Demo::new("outer", outer::main, "a coroutine awaits another"),
        Demo::new("ex03", ex03::main, "coroutines in a chain"),
        Demo::new("ex04", ex04::main, "the same without `async fn`"),
        Demo::new("say", say::main, "one after the other"),
        Demo::new("say_after", say_after::main, "how long that takes"),
        Demo::new("display_date", display_date::main, "the time, each second"),
    ],
};
