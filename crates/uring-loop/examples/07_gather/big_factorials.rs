//! Longer factorials, in tasks that were started before the loop runs. B ends first: it has least
//! to do.
//!
//! In Python: *Concepts of asynchronous I/O*, `factorial()`.

use std::io;
use std::time::Duration;

use uring_loop::gather;
use uring_loop::time::sleep;

use crate::course::{event_loop, println};

async fn factorial(name: &str, number: u64) {
    let mut f = 1;
    for i in 2..=number {
        println!("Task {name}: Compute factorial ({i})...");
        sleep(Duration::from_millis(500)).await;
        f *= i;
    }
    println!("Task {name}: factorial ({number})={f}");
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    let tasks = [
        event_loop.spawn(factorial("A", 14)),
        event_loop.spawn(factorial("B", 13)),
        event_loop.spawn(factorial("C", 16)),
    ];
    event_loop.run_until_complete(gather(tasks))??;
    Ok(())
}
