//! Ten that end at the same moment, taken one by one.
//!
//! In Python: *Coroutines*, `asyncio.as_completed`.

use std::io;
use std::time::Duration;

use uring_loop::time::sleep;
use uring_loop::{as_completed, spawn_all};

use crate::course::{println, run};

async fn count(m: u32) -> u32 {
    sleep(Duration::from_secs(5)).await;
    m
}

pub(crate) fn main() -> io::Result<()> {
    run(async {
        let mut counts = as_completed(spawn_all((0..10).map(count)));
        while let Some((_index, result)) = counts.next().await {
            println!("{}", result?);
        }
        Ok(())
    })?
}
