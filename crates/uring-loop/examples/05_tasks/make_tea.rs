//! A task that was started while no loop ran: it waits for one. It stops the loop itself, and its
//! result is there for a later run.
//!
//! In Python: *Concepts of asynchronous I/O*, `make_tea()`.

use std::io;

use futures_util::FutureExt as _;
use uring_loop::stop;

use crate::course::{event_loop, println};

async fn make_tea(variety: &str) -> String {
    println!("Now making {variety} tea.");
    stop();
    format!("{variety} tea")
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    let mut task = event_loop.spawn(make_tea("chamomile"));
    println!("done: {}", task.is_done());
    // Python would raise InvalidStateError. Here a result that is not there cannot be had.
    println!("result: {:?}", (&mut task).now_or_never().transpose()?);
    event_loop.run_forever()?;
    println!("done: {}", task.is_done());
    println!("result: {:?}", task.now_or_never().transpose()?);
    Ok(())
}
