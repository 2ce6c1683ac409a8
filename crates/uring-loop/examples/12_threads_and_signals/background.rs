//! A loop runs for ever on a thread of its own; this one goes on. Only a handle may reach it from
//! here, and it can also stop it: Python's `loop.stop` does nothing to a loop that sleeps.
//!
//! In Python: *Concepts of asynchronous I/O*, a loop in the background.

use std::{io, thread};

use uring_loop::LoopThread;

use crate::course::{builder, println};

pub(crate) fn main() -> io::Result<()> {
    let background = LoopThread::start(builder())?;
    println!("{background}");
    println!("running: {}", background.handle().is_running());
    println!("this is {:?}", thread::current().id());
    background.handle().call_soon(|| {
        println!("Hello word from {:?}", thread::current().id());
    })?;
    background.stop();
    Ok(())
}
