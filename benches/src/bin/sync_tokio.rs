//! Peer: tokio's locks and channels on its current_thread runtime, and `join_all` over its tasks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use benches::exec::Yield;
use benches::sync::{self, MANY, PERMITS, Peer, ROOM, TASKS};
use futures_util::future::join_all;
use tokio::spawn;
use tokio::sync::{Mutex, Semaphore, mpsc};

fn main() -> anyhow::Result<()> {
    let gather = Some(gathering as fn(u64) -> Duration);
    sync::main(Peer { lock, lock_contended, semaphore, semaphore_contended, queue, gather })
}

fn run<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a tokio runtime");
    runtime.block_on(async { spawn(future).await.expect("no panic") })
}

fn lock(count: u64) -> Duration {
    run(async move {
        let lock = Mutex::new(0_u64);
        let begin = Instant::now();
        for _ in 0..count {
            *lock.lock().await += 1;
        }
        begin.elapsed()
    })
}

fn lock_contended(count: u64) -> Duration {
    run(async move {
        let lock = Arc::new(Mutex::new(0_u64));
        let one = |lock: Arc<Mutex<u64>>| async move {
            for _ in 0..count.div_ceil(TASKS) {
                let mut held = lock.lock().await;
                *held += 1;
                Yield::default().await;
            }
        };
        let begin = Instant::now();
        join_all((0..TASKS).map(|_| spawn(one(lock.clone())))).await;
        begin.elapsed()
    })
}

fn semaphore(count: u64) -> Duration {
    run(async move {
        let semaphore = Semaphore::new(1);
        let begin = Instant::now();
        for _ in 0..count {
            drop(semaphore.acquire().await.expect("open"));
        }
        begin.elapsed()
    })
}

fn semaphore_contended(count: u64) -> Duration {
    run(async move {
        let semaphore = Arc::new(Semaphore::new(PERMITS));
        let one = |semaphore: Arc<Semaphore>| async move {
            for _ in 0..count.div_ceil(TASKS) {
                let _permit = semaphore.acquire().await.expect("open");
                Yield::default().await;
            }
        };
        let begin = Instant::now();
        join_all((0..TASKS).map(|_| spawn(one(semaphore.clone())))).await;
        begin.elapsed()
    })
}

fn queue(count: u64) -> Duration {
    run(async move {
        let (sender, mut receiver) = mpsc::channel(ROOM);
        let begin = Instant::now();
        let producer = spawn(async move {
            for number in 0..count {
                sender.send(number).await.expect("open");
            }
        });
        for number in 0..count {
            assert_eq!(receiver.recv().await, Some(number));
        }
        producer.await.expect("no panic");
        begin.elapsed()
    })
}

fn gathering(count: u64) -> Duration {
    run(async move {
        let begin = Instant::now();
        for _ in 0..count.div_ceil(MANY) {
            let task = |number| {
                spawn(async move {
                    Yield::default().await;
                    number
                })
            };
            let results = join_all((0..MANY).map(task)).await;
            assert_eq!(results.len() as u64, MANY);
        }
        begin.elapsed()
    })
}
