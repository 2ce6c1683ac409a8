//! A task before it has begun and after it has ended. It prints itself: state, name, and where it
//! was started.
//!
//! In Python: *A guide to asyncio*, ex10.py.

use std::io;

use uring_loop::spawn;

use crate::course::{event_loop, println};

async fn task_func() -> &'static str {
    println!("in task_func");
    "the result"
}

async fn start_it() -> io::Result<()> {
    println!("creating task");
    let mut task = spawn(task_func()).named("task_func");
    println!("wating for {task:?}");
    let return_value = (&mut task).await?; // by reference, to look at it afterwards
    println!("tasks completed {task:?}");
    println!("return value: {return_value:?}");
    Ok(())
}

pub(crate) fn main() -> io::Result<()> {
    event_loop()?.run_until_complete(start_it())?
}
