//! Two coroutines wait for a lock. It is released by whoever has its guard, by dropping that, and
//! goes to them in the order in which they came.
//!
//! In Python: *A guide to asyncio*, ex18.py.

use std::io;
use std::time::Duration;

use uring_loop::join;
use uring_loop::sync::{Lock, LockGuard};
use uring_loop::time::sleep;

use crate::course::{event_loop, println};

async fn unlock_later(guard: LockGuard<'_, ()>) {
    sleep(Duration::from_millis(100)).await;
    println!("callback releasing lock");
    drop(guard);
}

async fn coro1(lock: &Lock<()>) {
    println!("coro1 waiting for the lock");
    {
        let _guard = lock.lock().await;
        println!("coro1 acquired lock");
    }
    println!("coro1 released lock");
}

async fn coro2(lock: &Lock<()>) {
    println!("coro2 waiting for the lock");
    let guard = lock.lock().await;
    println!("coro2 acrquired lock");
    println!("coro2 released lock");
    drop(guard);
}

async fn lock_and_wait() {
    let lock = Lock::new(());
    println!("acquiring the lock before starting coroutines");
    let guard = lock.lock().await;
    println!("lock acquired: {}", lock.locked());

    println!("waiting for coroutines");
    join((unlock_later(guard), coro1(&lock), coro2(&lock))).await;
}

pub(crate) fn main() -> io::Result<()> {
    Ok(event_loop()?.run_until_complete(lock_and_wait())?)
}
