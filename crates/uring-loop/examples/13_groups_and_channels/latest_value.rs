//! A limit that may change at any time. The other loop goes by the latest: of three that are set
//! before it looks, it sees one. It tells what it goes by, the same way.
//!
//! In Python: an attribute, and an `asyncio.Event` that must be set by `call_soon_threadsafe`.

use std::io;
use std::time::Duration;

use uring_loop::channel::watch::{self, Receiver, Sender};
use uring_loop::time::sleep;
use uring_loop::{Handle, LoopThread};

use crate::course::{builder, println, run};

async fn obey(mut limit: Receiver<u32>, obeyed: Sender<u32>) {
    while limit.changed().await.is_ok() {
        let limit = *limit.borrow();
        println!("the other loop goes by {limit} now");
        obeyed.send(limit);
    }
    println!("no limit will come any more");
}

async fn set_limits(other: &Handle) -> io::Result<()> {
    let (limit, seen) = watch::channel(0);
    let (obeyed, mut obeys) = watch::channel(0);
    for new in [80, 100, 120] {
        println!("the limit is {new}");
        limit.send(new);
    }
    let follower = other.spawn(move || obey(seen, obeyed));
    obeys.wait_for(|goes_by| *goes_by == 120).await?;

    sleep(Duration::from_secs(1)).await;
    println!("the limit is 50");
    limit.send(50);
    obeys.wait_for(|goes_by| *goes_by == 50).await?;
    drop(limit);
    Ok(follower.await?)
}

pub(crate) fn main() -> io::Result<()> {
    let other = LoopThread::start(builder())?;
    run(set_limits(other.handle()))?
}
