//! Ten that end at the same moment. They come back in the order in which they were given.
//!
//! In Python: *Coroutines*, `asyncio.wait`.

use std::io;
use std::time::Duration;

use uring_loop::time::sleep;
use uring_loop::{WaitUntil, spawn_all, wait};

use crate::course::{println, run};

async fn count(m: u32) -> u32 {
    sleep(Duration::from_secs(2)).await;
    m
}

pub(crate) fn main() -> io::Result<()> {
    run(async {
        let tasks = spawn_all((0..10).map(count));
        let (done, pending) = wait(tasks, WaitUntil::AllCompleted).await?;
        for task in done {
            println!("{}", task.await?);
        }
        println!("{} pending", pending.len());
        Ok(())
    })?
}
