//! Callbacks for a moment. The loop's clock is not the one on the wall: it only goes forward, and
//! counts from anywhere.
//!
//! In Python: *A guide to asyncio*, ex06.py.

use std::io;
use std::time::{Duration, Instant};

use uring_loop::time::{now, sleep};
use uring_loop::{call_at, call_soon};

use crate::course::{event_loop, println, time_of_day};

fn callback(n: u32, start: Instant) {
    println!("callback {n} invoked at {:?}", now() - start);
}

async fn register() {
    let start = now();
    println!("clock time: {}", time_of_day());
    println!("loop  time: {:?}", now() - start);

    println!("registering callbacks");
    call_at(start + Duration::from_millis(200), move || callback(1, start));
    call_at(start + Duration::from_millis(100), move || callback(2, start));
    call_soon(move || callback(3, start));

    sleep(Duration::from_secs(1)).await;
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    println!("entering event loop");
    event_loop.run_until_complete(register())?;
    println!("closing event loop");
    event_loop.close();
    Ok(())
}
