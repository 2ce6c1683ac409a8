//! If none fails, the wait for an error is one for all.
//!
//! In Python: *Concepts of asynchronous I/O*, `FIRST_EXCEPTION` without one.

use std::io;
use std::time::Duration;

use uring_loop::time::sleep;
use uring_loop::{WaitUntil, spawn_all, wait};

use crate::course::{event_loop, println};

async fn wait_for_an_error() -> io::Result<()> {
    let sleeps = spawn_all([1, 2].map(|seconds| sleep(Duration::from_secs(seconds))));
    let (done, pending) = wait(sleeps, WaitUntil::FirstError).await?;
    println!("{} done, {} pending", done.len(), pending.len());
    for task in done {
        println!("{:?}", task.await?);
    }
    Ok(())
}

pub(crate) fn main() -> io::Result<()> {
    event_loop()?.run_until_complete(wait_for_an_error())?
}
