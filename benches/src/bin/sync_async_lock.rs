//! Peer: async-lock's locks and async-channel's queue, which run anywhere, on our loop.

use std::rc::Rc;
use std::time::{Duration, Instant};

use async_lock::{Mutex, Semaphore};
use benches::exec::Yield;
use benches::sync::{self, PERMITS, Peer, ROOM, TASKS};
use uring_loop::{gather, spawn};

fn main() -> anyhow::Result<()> {
    sync::main(Peer { lock, lock_contended, semaphore, semaphore_contended, queue, gather: None })
}

fn run<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    let main = async { spawn(future).await.expect("no panic") };
    uring_loop::run(main).expect("an event loop")
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
        let lock = Rc::new(Mutex::new(0_u64));
        let one = |lock: Rc<Mutex<u64>>| async move {
            for _ in 0..count.div_ceil(TASKS) {
                let mut held = lock.lock().await;
                *held += 1;
                Yield::default().await;
            }
        };
        let begin = Instant::now();
        gather((0..TASKS).map(|_| spawn(one(lock.clone())))).await.expect("no panic");
        begin.elapsed()
    })
}

fn semaphore(count: u64) -> Duration {
    run(async move {
        let semaphore = Semaphore::new(1);
        let begin = Instant::now();
        for _ in 0..count {
            drop(semaphore.acquire().await);
        }
        begin.elapsed()
    })
}

fn semaphore_contended(count: u64) -> Duration {
    run(async move {
        let semaphore = Rc::new(Semaphore::new(PERMITS));
        let one = |semaphore: Rc<Semaphore>| async move {
            for _ in 0..count.div_ceil(TASKS) {
                let _permit = semaphore.acquire().await;
                Yield::default().await;
            }
        };
        let begin = Instant::now();
        gather((0..TASKS).map(|_| spawn(one(semaphore.clone())))).await.expect("no panic");
        begin.elapsed()
    })
}

fn queue(count: u64) -> Duration {
    run(async move {
        let (sender, receiver) = async_channel::bounded(ROOM);
        let begin = Instant::now();
        let producer = spawn(async move {
            for number in 0..count {
                sender.send(number).await.expect("open");
            }
        });
        for number in 0..count {
            assert_eq!(receiver.recv().await, Ok(number));
        }
        producer.await.expect("no panic");
        begin.elapsed()
    })
}
