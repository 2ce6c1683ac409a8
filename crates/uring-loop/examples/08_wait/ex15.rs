//! Waiting for a tenth of a second at most. Those that are not done by then are asked to end, and
//! say so, after whoever asked them has ended itself.
//!
//! Phase 1 is asked in the very moment in which its sleep is over. asyncio cancels it all the same;
//! here what is ready wins, and it ends as if nobody had asked.
//!
//! In Python: *A guide to asyncio*, ex15.py.

use std::io;
use std::time::Duration;

use uring_loop::time::sleep;
use uring_loop::{WaitUntil, cancel_all, catch_cancel, spawn_all, wait};

use crate::course::{event_loop, println};

async fn phase(i: u32) -> String {
    println!("in phase {i}");
    if let Err(cancelled) = catch_cancel(sleep(Duration::from_millis(100) * i)).await {
        println!("phase {i} canceled");
        cancelled.propagate().await;
    }
    println!("done with phase {i}");
    format!("phase {i} result")
}

async fn some_phases(num_phases: u32) -> io::Result<()> {
    println!("starting main");
    let phases = spawn_all((0..num_phases).map(phase));
    println!("waiting for phases to complete");
    let limit = Duration::from_millis(100);
    let (completed, pending) = wait(phases, WaitUntil::AllCompleted).timeout(limit).await?;
    println!("{} completed and {} pending", completed.len(), pending.len());
    if !pending.is_empty() {
        println!("canceling tasks");
        cancel_all(&pending);
    }
    println!("exiting main");
    Ok(())
}

pub(crate) fn main() -> io::Result<()> {
    event_loop()?.run_until_complete(some_phases(3))?
}
