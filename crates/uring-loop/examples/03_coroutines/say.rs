//! One `await` after the other: the times add up.
//!
//! In Python: *Coroutines*, `asyncio.run`.

use std::io;
use std::time::Duration;

use uring_loop::time::sleep;

use crate::course::{println, run};

async fn say(delay: Duration, what: &str) {
    sleep(delay).await;
    println!("{what}");
}

pub(crate) fn main() -> io::Result<()> {
    run(async {
        say(Duration::from_secs(1), "hello").await;
        say(Duration::from_secs(2), "world").await;
    })
}
