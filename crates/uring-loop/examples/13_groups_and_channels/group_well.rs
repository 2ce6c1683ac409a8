//! Two tasks in a group. The body ends at once; the group ends when its tasks have.
//!
//! In Python: `asyncio.TaskGroup`, as its documentation shows it.

use std::io;
use std::time::Duration;

use uring_loop::TaskGroup;
use uring_loop::time::sleep;

use crate::course::{println, run};

async fn some_coro(seconds: u64, what: &'static str) -> io::Result<&'static str> {
    sleep(Duration::from_secs(seconds)).await;
    println!("{what} is done");
    Ok(what)
}

async fn two_tasks() -> io::Result<()> {
    let (task1, task2) = TaskGroup::scope(async |group| {
        let task1 = group.spawn(some_coro(2, "the slow one"));
        let task2 = group.spawn(some_coro(1, "the quick one"));
        println!("the body has nothing more to do; {} tasks have", group.len());
        Ok::<_, io::Error>((task1, task2))
    })
    .await?;
    println!("Both tasks have completed now: {}, {}", task1.await?, task2.await?);
    Ok(())
}

pub(crate) fn main() -> io::Result<()> {
    run(two_tasks())?
}
