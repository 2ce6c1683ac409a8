//! A loop that runs for ever, until a callback stops it.
//!
//! In Python: *Concepts of asynchronous I/O*, a function run by the loop.

use std::io;

use uring_loop::stop;

use crate::course::{event_loop, println};

fn hello_word() {
    println!("hello word");
    stop();
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    event_loop.call_soon(hello_word);
    Ok(event_loop.run_forever()?)
}
