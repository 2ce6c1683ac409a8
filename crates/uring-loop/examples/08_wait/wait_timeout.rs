//! Waiting for three seconds at most. A sleep of one second is done by then, one of five is not;
//! it goes on.
//!
//! In Python: *Concepts of asynchronous I/O*, `asyncio.wait` with a timeout.

use std::io;
use std::time::Duration;

use uring_loop::time::sleep;
use uring_loop::{WaitUntil, spawn_all, wait};

use crate::course::{event_loop, println};

async fn wait_three_seconds() -> io::Result<()> {
    let sleeps = spawn_all([5, 1].map(|seconds| sleep(Duration::from_secs(seconds))));
    let limit = Duration::from_secs(3);
    let (done, pending) = wait(sleeps, WaitUntil::AllCompleted).timeout(limit).await?;
    println!("{} done, {} pending", done.len(), pending.len());
    for task in done {
        println!("{:?}", task.await?);
    }
    Ok(())
}

pub(crate) fn main() -> io::Result<()> {
    event_loop()?.run_until_complete(wait_three_seconds())?
}
