//! A loop that was made does not run yet; from inside it always does.
//!
//! In Python: *Concepts of asynchronous I/O*, making a loop.

use std::io;

use uring_loop::Handle;

use crate::course::{event_loop, println};

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    println!("made: {}", event_loop.is_running());
    event_loop.run_until_complete(async {
        println!("from inside: {}", Handle::current().is_running());
    })?;
    println!("afterwards: {}", event_loop.is_running());
    Ok(())
}
