//! Getting waits for an item; here there is one.
//!
//! In Python: *Concepts of asynchronous I/O*, `queue.get()`.

use std::io;

use uring_loop::queue::Queue;

use crate::course::{event_loop, println};

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    let queue = Queue::new();
    queue.put_nowait("foo")?;
    println!("{:?}", event_loop.run_until_complete(queue.get())??);
    Ok(())
}
