//! Three hikers, each at their own pace, wait for one another at every hut. One of them, whoever
//! came first, writes into its book.
//!
//! In Python: `asyncio.Barrier`.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::sync::Barrier;
use uring_loop::time::sleep;
use uring_loop::{gather, spawn_all};

use crate::course::{println, run};

async fn hike(name: &'static str, seconds: u64, hut: Rc<Barrier>) -> io::Result<()> {
    for stage in 1..=2 {
        sleep(Duration::from_secs(seconds)).await;
        println!("{name} is at hut {stage}");
        let arrived = hut.wait().await?;
        if arrived == 0 {
            println!("{name} was the first, and writes into the book of hut {stage}");
        }
    }
    Ok(())
}

async fn three_hikers() -> io::Result<()> {
    let hut = Rc::new(Barrier::new(3));
    let hikers = [("Anna", 3), ("Ben", 1), ("Carl", 2)];
    let hikers = hikers.map(|(name, seconds)| hike(name, seconds, hut.clone()));
    gather(spawn_all(hikers)).await?.into_iter().collect()
}

pub(crate) fn main() -> io::Result<()> {
    run(three_hikers())?
}
