//! Two loops on two threads, and between them a channel with room for two. When it is full, who
//! sends waits until something was received: the fast one cannot drown the slow one.
//!
//! In Python: a `queue.Queue(maxsize=2)` between threads, whose `put` stops the whole loop.

use std::io;
use std::time::Duration;

use uring_loop::channel::mpsc::{self, Sender};
use uring_loop::channel::{Closed, TrySendError};
use uring_loop::time::sleep;
use uring_loop::{Handle, LoopThread};

use crate::course::{builder, println, run};

/// Sends without waiting, as far as there is room. The number that found none.
fn fill(sender: &Sender<u32>) -> Option<u32> {
    for number in 1.. {
        match sender.try_send(number) {
            Ok(()) => println!("sent {number}"),
            Err(TrySendError::Full(number)) => {
                println!("no room for {number}");
                return Some(number);
            }
            Err(TrySendError::Closed(_)) => break,
        }
    }
    None
}

async fn send_from(first: u32, sender: Sender<u32>) -> Result<(), Closed<u32>> {
    for number in first..=6 {
        sender.send(number).await?; // waits for room
    }
    Ok(())
}

async fn receive_slowly(other: &Handle) -> io::Result<()> {
    let (sender, mut receiver) = mpsc::bounded(2);
    let filling = other.spawn(move || async move { (fill(&sender), sender) });
    let (next, sender) = filling.await?;
    let sending = other.spawn(move || send_from(next.unwrap_or_default(), sender));
    while let Some(number) = receiver.recv().await {
        println!("received {number}");
        sleep(Duration::from_secs(1)).await; // work
    }
    sending.await??;
    println!("that was all");
    Ok(())
}

pub(crate) fn main() -> io::Result<()> {
    let other = LoopThread::start(builder())?;
    run(receive_slowly(other.handle()))?
}
