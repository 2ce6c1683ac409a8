//! A sleep that is not awaited takes no time.
//!
//! In Python: *Basic ideas*, a sleep that nobody awaits.

use std::io;
use std::time::Duration;

use uring_loop::time::sleep;

use crate::course::{event_loop, println};

async fn hello() {
    drop(sleep(Duration::from_secs(1))); // `sleep(…);` would be warned of
    println!("HelloWorld!");
}

pub(crate) fn main() -> io::Result<()> {
    Ok(event_loop()?.run_until_complete(hello())?)
}
