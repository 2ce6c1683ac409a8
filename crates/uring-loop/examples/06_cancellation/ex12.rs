//! A task is cancelled while it sleeps. It catches that, says so, and hands it on: so it still ends
//! as cancelled, and who awaits it is told.
//!
//! In Python: *A guide to asyncio*, ex12.py.

use std::io;
use std::time::Duration;

use uring_loop::time::sleep;
use uring_loop::{JoinError, TaskRef, call_soon, catch_cancel, spawn};

use crate::course::{event_loop, println};

async fn task_func() -> &'static str {
    println!("in task_func, sleeping");
    if let Err(cancelled) = catch_cancel(sleep(Duration::from_secs(1))).await {
        println!("task_func was canceled");
        cancelled.propagate().await; // Python's `raise`
    }
    "the result"
}

fn task_canceller(task: &TaskRef) {
    println!("in task_canceller");
    task.cancel();
    println!("canceled the task");
}

async fn start_and_cancel() {
    println!("creating task");
    let task = spawn(task_func());
    let task_ref = task.task_ref();
    call_soon(move || task_canceller(&task_ref));
    if let Err(JoinError::Cancelled(_)) = task.await {
        println!("main() also sees task as canceled");
    }
}

pub(crate) fn main() -> io::Result<()> {
    Ok(event_loop()?.run_until_complete(start_and_cancel())?)
}
