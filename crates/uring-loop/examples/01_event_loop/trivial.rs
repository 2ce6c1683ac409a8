//! A run ends with its coroutine and gives what that returned. Then the loop may run again.
//!
//! In Python: *Concepts of asynchronous I/O*, `trivial()`.

use std::io;

use crate::course::{event_loop, println};

async fn trivial() -> &'static str {
    "Hello world!"
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    println!("{:?}", event_loop.run_until_complete(trivial())?);
    println!("{:?}", event_loop.run_until_complete(trivial())?);
    Ok(())
}
