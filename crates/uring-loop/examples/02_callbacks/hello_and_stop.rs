//! Callbacks are called in the order in which they were given to the loop.
//!
//! In Python: *Concepts of asynchronous I/O*, `call_soon`.

use std::io;

use uring_loop::stop;

use crate::course::{event_loop, println};

fn hello_word() {
    println!("Hello word!");
}

fn stop_loop() {
    println!("Stopping loop.");
    stop();
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    event_loop.call_soon(hello_word);
    event_loop.call_soon(stop_loop);
    Ok(event_loop.run_forever()?)
}
