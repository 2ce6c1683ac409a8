//! News for all who listen. The channel keeps the last two; who does not come for them in time is
//! told how many were missed, and nobody waits for the slow.
//!
//! In Python: a queue for each of the listeners.

use std::io;

use uring_loop::channel::broadcast::{self, Receiver, RecvError};
use uring_loop::{Handle, LoopThread};

use crate::course::{builder, println, run};

async fn listen_late(mut news: Receiver<&'static str>) {
    loop {
        match news.recv().await {
            Ok(item) => println!("late on the other loop: {item}"),
            Err(RecvError::Lagged(missed)) => println!("late on the other loop: {missed} missed"),
            Err(RecvError::Closed) => break,
        }
    }
}

async fn broadcast_news(other: &Handle) -> io::Result<()> {
    let (sender, mut here) = broadcast::channel(2);
    let there = sender.subscribe();
    for item in ["sun", "rain", "snow", "fog"] {
        let listeners = sender.send(item);
        let heard = here.recv().await.map_err(io::Error::other)?;
        println!("one of {listeners} listeners: {heard}");
    }
    drop(sender);
    Ok(other.spawn(move || listen_late(there)).await?)
}

pub(crate) fn main() -> io::Result<()> {
    let other = LoopThread::start(builder())?;
    run(broadcast_news(other.handle()))?
}
