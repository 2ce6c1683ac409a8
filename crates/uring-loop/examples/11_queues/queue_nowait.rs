//! Putting and getting at once needs no loop. What cannot be done at once is an error.
//!
//! In Python: *Concepts of asynchronous I/O*, a simple queue.

use std::io;

use uring_loop::queue::Queue;

use crate::course::println;

pub(crate) fn main() -> io::Result<()> {
    let queue = Queue::new();
    queue.put_nowait("foo")?;
    println!("{}", queue.len());
    println!("{:?}", queue.get_nowait()?);
    println!("{}", queue.len());
    println!("{:?}", queue.get_nowait());
    Ok(())
}
