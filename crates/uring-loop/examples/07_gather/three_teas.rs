//! A gathering is a future like any other. As a task, it runs by itself and is done or not.
//!
//! In Python: *Concepts of asynchronous I/O*, `asyncio.gather`.

use std::io;

use uring_loop::gather;

use crate::course::{event_loop, println};

async fn make_tea(variety: &str) -> String {
    println!("Now making {variety} tea.");
    format!("{variety} tea")
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    let teas = ["chamomile", "green", "herbal"].map(|variety| event_loop.spawn(make_tea(variety)));
    let mut meta_task = event_loop.spawn(gather(teas));
    println!("done: {}", meta_task.is_done());
    println!("{:?}", event_loop.run_until_complete(&mut meta_task)???);
    println!("done: {}", meta_task.is_done());
    Ok(())
}
