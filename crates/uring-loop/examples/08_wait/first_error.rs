//! Three tasks, of which one fails after two seconds: the wait is over then. What was done before
//! is among the done.
//!
//! In Python: *Concepts of asynchronous I/O*, `FIRST_EXCEPTION`.

use std::io;
use std::time::Duration;

use uring_loop::time::sleep;
use uring_loop::{WaitUntil, spawn, try_wait};

use crate::course::{event_loop, println};

async fn sleep_well(seconds: u64) -> Result<(), String> {
    sleep(Duration::from_secs(seconds)).await;
    Ok(())
}

async fn raise_ex_after(seconds: u64) -> Result<(), String> {
    sleep(Duration::from_secs(seconds)).await;
    Err("Raising an exception.".to_owned())
}

async fn wait_for_an_error() -> io::Result<()> {
    let tasks = vec![spawn(sleep_well(1)), spawn(raise_ex_after(2)), spawn(sleep_well(3))];
    let (done, pending) = try_wait(tasks, WaitUntil::FirstError).await?;
    println!("{} done, {} pending", done.len(), pending.len());
    for task in done {
        println!("{:?}", task.await?);
    }
    Ok(())
}

pub(crate) fn main() -> io::Result<()> {
    event_loop()?.run_until_complete(wait_for_an_error())?
}
