//! Three callbacks from inside of a coroutine: two after some time, the last as soon as possible.
//!
//! In Python: *A guide to asyncio*, ex05.py.

use std::io;
use std::time::Duration;

use uring_loop::time::sleep;
use uring_loop::{call_later, call_soon};

use crate::course::{event_loop, println};

fn callback(n: u32) {
    println!("callback {n} invoked");
}

async fn register() {
    println!("registering callbacks");
    call_later(Duration::from_millis(200), || callback(1));
    call_later(Duration::from_millis(100), || callback(2));
    call_soon(|| callback(3));

    sleep(Duration::from_millis(400)).await;
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    println!("entering event loop");
    event_loop.run_until_complete(register())?;
    println!("closing event loop");
    event_loop.close();
    Ok(())
}
