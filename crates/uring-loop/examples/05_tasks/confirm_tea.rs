//! A task calls back when it is done, with its result, and before whoever awaits it goes on.
//!
//! In Python: *Concepts of asynchronous I/O*, `confirm_tea()`.

use std::io;

use uring_loop::JoinError;

use crate::course::{event_loop, println};

async fn make_tea(variety: &str) -> String {
    println!("Now making {variety} tea.");
    format!("{variety} tea")
}

/// Nothing says that there is tea: the task may have panicked, or been cancelled.
fn confirm_tea(made: &Result<String, JoinError>) {
    match made {
        Ok(tea) => println!("The {tea} is made."),
        Err(error) => println!("There is no tea: {error}"),
    }
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    let task = event_loop.spawn(make_tea("green"));
    task.on_done(confirm_tea);
    println!("{:?}", event_loop.run_until_complete(task)??);
    Ok(())
}
