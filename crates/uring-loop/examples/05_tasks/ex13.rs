//! A task is handed to a coroutine that awaits it. It would run just as well if nobody did: it
//! begins as soon as whoever started it waits for anything.
//!
//! In Python: *A guide to asyncio*, ex13.py.

use std::io;

use uring_loop::{Task, spawn};

use crate::course::{event_loop, println};

async fn wrapped() -> &'static str {
    println!("wrapped");
    "result"
}

async fn inner(task: Task<&'static str>) -> io::Result<()> {
    println!("inner: starting");
    println!("inner: waiting for {task:?}");
    let result = task.await?;
    println!("inner: task returned {result:?}");
    Ok(())
}

async fn starter() -> io::Result<()> {
    println!("starter: creating task");
    let task = spawn(wrapped()).named("wrapped");
    println!("starter: waiting for inner");
    inner(task).await?;
    println!("starter: inner returned");
    Ok(())
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    println!("entering event loop");
    event_loop.run_until_complete(starter())?
}
