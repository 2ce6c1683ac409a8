//! Waiting gives the tasks back: those that are done, and those that are not.
//!
//! In Python: *Concepts of asynchronous I/O*, `asyncio.wait`.

use std::io;

use uring_loop::{WaitUntil, spawn_all, wait};

use crate::course::{event_loop, println};

async fn make_tea(variety: &str) -> String {
    println!("Now making {variety} tea.");
    format!("{variety} tea")
}

async fn make_teas() -> io::Result<()> {
    let teas = spawn_all(["chamomile", "herbal"].map(make_tea));
    let (done, pending) = wait(teas, WaitUntil::AllCompleted).await?;
    println!("{} done, {} pending", done.len(), pending.len());
    for task in done {
        println!("{:?}", task.await?);
    }
    Ok(())
}

pub(crate) fn main() -> io::Result<()> {
    event_loop()?.run_until_complete(make_teas())?
}
