//! A task is cancelled before it has begun: it never begins. Who awaits it is told.
//!
//! In Python: *A guide to asyncio*, ex11.py.

use std::io;

use uring_loop::{JoinError, spawn};

use crate::course::{event_loop, println};

async fn task_func() -> &'static str {
    println!("in task_func");
    "the result"
}

async fn start_and_cancel() {
    println!("creating task");
    let task = spawn(task_func()).named("task_func");

    println!("canceling task");
    task.cancel();

    println!("canceled task {task:?}");
    match task.await {
        Ok(result) => println!("task result: {result:?}"),
        Err(JoinError::Cancelled(_)) => println!("caught error from canceled task"),
        Err(JoinError::Panicked(panic)) => std::panic::resume_unwind(panic),
    }
}

pub(crate) fn main() -> io::Result<()> {
    Ok(event_loop()?.run_until_complete(start_and_cancel())?)
}
