//! One coroutine waits, the other ends at once; the callback comes when both have ended.
//!
//! In Python: *The asyncio module*, the example.

use std::io;
use std::time::Duration;

use uring_loop::gather;
use uring_loop::time::sleep;

use crate::course::{event_loop, println};

async fn hello_world() -> &'static str {
    println!("Hello World!");
    sleep(Duration::from_secs(3)).await;
    println!("Bye World!");
    "Hello World"
}

async fn hello_lfzyx() -> &'static str {
    println!("Hello lfzyx!");
    println!("Bye lfzyx!");
    "lfzyx"
}

fn callback(results: &[&str]) {
    println!("Callback:  {results:?}");
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    let both = [event_loop.spawn(hello_world()), event_loop.spawn(hello_lfzyx())];
    let all = gather(both).into_task();
    all.on_done(|results| {
        if let Ok(results) = results {
            callback(results);
        }
    });
    event_loop.run_until_complete(all)??;
    event_loop.close();
    Ok(())
}
