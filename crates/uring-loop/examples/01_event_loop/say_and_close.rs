//! Python closes the loop in a `finally`. Here dropping does that, on every way out.
//!
//! In Python: *Coroutines*, `asyncio.run` in the words of before 3.7.

use std::io;
use std::time::Duration;

use uring_loop::time::sleep;

use crate::course::{event_loop, println};

async fn say(delay: Duration, what: &str) {
    sleep(delay).await;
    println!("{what}");
}

async fn say_both() {
    say(Duration::from_secs(1), "hello").await;
    say(Duration::from_secs(2), "world").await;
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    Ok(event_loop.run_until_complete(say_both())?)
}
