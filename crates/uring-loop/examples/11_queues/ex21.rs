//! A producer puts work into a queue that is short, two consumers take it out. The producer waits
//! until all is done.
//!
//! In Python: *A guide to asyncio*, ex21.py.

use std::io;
use std::time::Duration;

use uring_loop::queue::Queue;
use uring_loop::time::sleep;
use uring_loop::{gather, spawn};

use crate::course::{event_loop, println};

/// `None` says that there is no more.
type Work = Queue<Option<u32>>;

async fn consumer(n: usize, queue: Work) -> io::Result<()> {
    println!("consumer {n}: starting");
    loop {
        println!("consumer {n}: waiting for item");
        match queue.get().await? {
            Some(item) => {
                println!("consumer {n}: has item {item}");
                sleep(Duration::from_millis(10) * item).await;
                queue.task_done()?;
            }
            None => {
                println!("consumer {n}: has item None");
                queue.task_done()?;
                break;
            }
        }
    }
    println!("consumer {n}: ending");
    Ok(())
}

async fn producer(queue: Work, num_workers: u32) -> io::Result<()> {
    println!("producer: starting");
    for i in 0..num_workers * 3 {
        queue.put(Some(i)).await?;
        println!("producer: add task {i} to the queue");
    }
    println!("producer: adding stop signals to the queue");
    for _ in 0..num_workers {
        queue.put(None).await?;
    }
    println!("producer: waiting for queue to empty");
    queue.join().await;
    println!("producer: ending");
    Ok(())
}

async fn produce_and_consume(num_consumers: u32) -> io::Result<()> {
    let queue = Queue::bounded(num_consumers as usize);
    let mut tasks = Vec::new();
    for n in 0..num_consumers as usize {
        tasks.push(spawn(consumer(n, queue.clone())));
    }
    tasks.push(spawn(producer(queue, num_consumers)));
    gather(tasks).await?.into_iter().collect()
}

pub(crate) fn main() -> io::Result<()> {
    event_loop()?.run_until_complete(produce_and_consume(2))?
}
