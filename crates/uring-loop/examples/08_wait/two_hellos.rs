//! Two coroutines wait for the same second, on one thread.
//!
//! In Python: *Concepts of asynchronous I/O*, Demo2.

use std::time::Duration;
use std::{io, thread};

use uring_loop::time::sleep;
use uring_loop::{WaitUntil, spawn_all, wait};

use crate::course::{event_loop, println};

async fn hello() {
    println!("Hello world! ({:?})", thread::current().id());
    sleep(Duration::from_secs(1)).await;
    println!("Hello again! ({:?})", thread::current().id());
}

async fn both() -> io::Result<()> {
    wait(spawn_all([hello(), hello()]), WaitUntil::AllCompleted).await?;
    Ok(())
}

pub(crate) fn main() -> io::Result<()> {
    event_loop()?.run_until_complete(both())?
}
