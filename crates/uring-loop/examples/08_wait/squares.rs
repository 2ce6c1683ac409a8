//! Ten tasks, each with a callback that squares its result.
//!
//! In Python: *Coroutines*, the methods of a task.

use std::io;
use std::time::Duration;

use uring_loop::time::sleep;
use uring_loop::{JoinError, WaitUntil, wait};

use crate::course::{event_loop, println};

fn callback(result: &Result<u32, JoinError>) {
    if let Ok(i) = result {
        println!("Callback:  {}", i.pow(2));
    }
}

async fn test(i: u32) -> u32 {
    sleep(Duration::from_secs(2)).await;
    i
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    let tasks: Vec<_> = (0..10).map(|i| event_loop.spawn(test(i))).collect();
    for task in &tasks {
        task.on_done(callback);
    }
    event_loop.run_until_complete(wait(tasks, WaitUntil::AllCompleted))??;
    Ok(())
}
