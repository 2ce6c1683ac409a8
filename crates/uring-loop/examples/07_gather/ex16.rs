//! Two coroutines run side by side. The second ends first; the results are in order all the same.
//!
//! In Python: *A guide to asyncio*, ex16.py.

use std::io;
use std::time::Duration;

use uring_loop::gather;
use uring_loop::time::sleep;

use crate::course::{event_loop, println};

async fn phase1() -> &'static str {
    println!("in phase1");
    sleep(Duration::from_secs(2)).await;
    println!("done with phase1");
    "phase1 result"
}

async fn phase2() -> &'static str {
    println!("in phase2");
    sleep(Duration::from_secs(1)).await;
    println!("done with phase2");
    "phase2 result"
}

async fn both_phases() -> io::Result<()> {
    println!("starting main");
    println!("waiting for phases to complete");
    let (result1, result2) = gather!(phase1(), phase2()).await?;
    println!("results: {:?}", [result1, result2]);
    Ok(())
}

pub(crate) fn main() -> io::Result<()> {
    event_loop()?.run_until_complete(both_phases())?
}
