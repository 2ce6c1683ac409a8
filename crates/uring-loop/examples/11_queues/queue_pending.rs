//! A task waits at an empty queue, from one run into the next. An item that is put between the two
//! is there for it, but only a loop that runs can hand it over.
//!
//! In Python: *Concepts of asynchronous I/O*, `queue.get()` with a timeout.

use std::io;
use std::time::Duration;

use uring_loop::queue::Queue;
use uring_loop::{WaitUntil, stop, wait};

use crate::course::{event_loop, println};

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    let queue = Queue::new();
    let getter = queue.clone();
    let tasks = vec![event_loop.spawn(async move { getter.get().await })];

    let task = event_loop.run_until_complete(async {
        let limit = Duration::from_secs(1);
        let (done, mut pending) = wait(tasks, WaitUntil::AllCompleted).timeout(limit).await?;
        println!("{} done, {} pending", done.len(), pending.len());
        Ok::<_, io::Error>(pending.remove(0))
    })??;
    println!("done: {}", task.is_done());

    queue.put_nowait("bar")?;
    println!("done: {}", task.is_done());

    task.on_done(|_| stop());
    event_loop.run_forever()?;
    println!("done: {}", task.is_done());
    println!("{:?}", event_loop.run_until_complete(task)???);
    Ok(())
}
