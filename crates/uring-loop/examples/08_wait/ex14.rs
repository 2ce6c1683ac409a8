//! Three phases that take their time, and one wait for all.
//!
//! In Python: *A guide to asyncio*, ex14.py.

use std::io;
use std::time::Duration;

use uring_loop::time::sleep;
use uring_loop::{WaitUntil, gather, spawn_all, wait};

use crate::course::{event_loop, println};

async fn phase(i: u32) -> String {
    println!("in phase {i}");
    sleep(Duration::from_millis(100) * i).await;
    println!("done with phase {i}");
    format!("phase {i} result")
}

async fn all_phases(num_phases: u32) -> io::Result<()> {
    println!("starting main");
    let phases = spawn_all((0..num_phases).map(phase));
    println!("waiting for phases to complete");
    let (completed, _pending) = wait(phases, WaitUntil::AllCompleted).await?;
    println!("results: {:?}", gather(completed).await?);
    Ok(())
}

pub(crate) fn main() -> io::Result<()> {
    event_loop()?.run_until_complete(all_phases(3))?
}
