//! A second, two and three at the same time: all in all three.
//!
//! In Python: *Concepts of asynchronous I/O*, Demo4.

use std::io;
use std::time::Duration;

use uring_loop::time::sleep;
use uring_loop::{WaitUntil, wait};

use crate::course::{event_loop, println};

async fn wait_for(seconds: u64) -> String {
    println!("Waiting for {seconds} s");
    sleep(Duration::from_secs(seconds)).await;
    format!("Done after {seconds}s")
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    let start = event_loop.now();
    let tasks: Vec<_> = (1..=3).map(|seconds| event_loop.spawn(wait_for(seconds))).collect();
    let (done, _) = event_loop.run_until_complete(wait(tasks, WaitUntil::AllCompleted))??;
    for task in done {
        println!("Task return: {}", event_loop.run_until_complete(task)??);
    }
    println!("Program consumes: {:.6}s", (event_loop.now() - start).as_secs_f64());
    Ok(())
}
