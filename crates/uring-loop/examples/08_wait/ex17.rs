//! Each answer is taken when it is there: the phase that was started last ends first.
//!
//! In Python: *A guide to asyncio*, ex17.py.

use std::io;
use std::time::Duration;

use uring_loop::time::sleep;
use uring_loop::{as_completed, spawn_all};

use crate::course::{event_loop, println};

async fn phase(i: u32) -> String {
    println!("in phase {i}");
    sleep(Duration::from_millis(100) * (5 - i)).await;
    println!("done with phase {i}");
    format!("phase {i} result")
}

async fn all_phases(num_phases: u32) -> io::Result<()> {
    println!("starting main");
    let phases = spawn_all((0..num_phases).map(phase));
    println!("waiting for phases to complete");
    let mut results = Vec::new();
    let mut completed = as_completed(phases);
    while let Some((_index, answer)) = completed.next().await {
        let answer = answer?;
        println!("received answer {answer:?}");
        results.push(answer);
    }
    println!("results: {results:?}");
    Ok(())
}

pub(crate) fn main() -> io::Result<()> {
    event_loop()?.run_until_complete(all_phases(3))?
}
