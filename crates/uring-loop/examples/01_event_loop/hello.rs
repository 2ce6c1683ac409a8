//! A loop is made, runs a coroutine, and is closed. While that waits, the thread is free.
//!
//! In Python: *Concepts of asynchronous I/O*, Demo1.

use std::io;
use std::time::Duration;

use uring_loop::time::sleep;

use crate::course::{event_loop, println};

async fn hello() {
    println!("Hello world!");
    sleep(Duration::from_secs(1)).await;
    println!("Hello again!");
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    event_loop.run_until_complete(hello())?;
    event_loop.close();
    Ok(())
}
