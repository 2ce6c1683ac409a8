//! Three sleep; the wait is over when the first has ended.
//!
//! In Python: *Concepts of asynchronous I/O*, `FIRST_COMPLETED`.

use std::io;
use std::time::Duration;

use uring_loop::time::sleep;
use uring_loop::{WaitUntil, spawn_all, wait};

use crate::course::{event_loop, println};

async fn wait_for_the_first() -> io::Result<()> {
    let sleeps = spawn_all([3, 2, 1].map(|seconds| sleep(Duration::from_secs(seconds))));
    let (done, pending) = wait(sleeps, WaitUntil::FirstCompleted).await?;
    println!("{} done, {} pending", done.len(), pending.len());
    Ok(())
}

pub(crate) fn main() -> io::Result<()> {
    event_loop()?.run_until_complete(wait_for_the_first())?
}
