//! Ten coroutines sleep for five seconds each, all at the same time.
//!
//! In Python: *Coroutines*, `asyncio.gather`.

use std::io;
use std::time::Duration;

use uring_loop::time::sleep;
use uring_loop::{gather, spawn_all};

use crate::course::{println, run};

async fn count(m: u32) -> u32 {
    sleep(Duration::from_secs(5)).await;
    m
}

pub(crate) fn main() -> io::Result<()> {
    run(async {
        let tasks = spawn_all((0..10).map(count));
        println!("{:?}", gather(tasks).await?);
        Ok(())
    })?
}
