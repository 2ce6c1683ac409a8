//! A callback takes no arguments: it captures what it needs. So that one can still see what it is,
//! it may have a name; and there is the place where it was scheduled.
//!
//! Python has `functools.partial` for both.
//!
//! In Python: *Concepts of asynchronous I/O*, partial functions.

use std::io;

use uring_loop::{Handle, RunError};

use crate::course::{event_loop, println};

fn stop_loop(handle: &Handle) {
    // The loop is there: it is calling us.
    let _stopped = handle.stop();
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    let handle = event_loop.handle();
    let callback = event_loop.call_soon(move || stop_loop(&handle)).named("stop_loop");
    println!("{}", callback.name());
    println!("{callback:?}");
    let ran: Result<(), RunError> = event_loop.run_forever();
    println!("{callback:?}");
    Ok(ran?)
}
