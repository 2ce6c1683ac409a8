//! Callbacks that are called after some time. Meanwhile the thread sleeps.
//!
//! In Python: *Concepts of asynchronous I/O*, `call_later`.

use std::io;
use std::time::Duration;

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
    event_loop.call_later(Duration::from_secs(10), hello_word);
    event_loop.call_later(Duration::from_secs(20), stop_loop);
    Ok(event_loop.run_forever()?)
}
