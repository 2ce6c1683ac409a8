//! Two coroutines wait for a lock. A callback has its guard, and releases it by dropping that; it
//! goes to them in the order in which they came.
//!
//! In Python: *A guide to asyncio*, ex18.py.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::sync::{Lock, OwnedLockGuard};
use uring_loop::{call_later, join};

use crate::course::{event_loop, println};

fn unlock(guard: OwnedLockGuard<()>) {
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
    let lock = Rc::new(Lock::new(()));
    println!("acquiring the lock before starting coroutines");
    let guard = lock.clone().lock_owned().await;
    println!("lock acquired: {}", lock.locked());

    call_later(Duration::from_millis(100), move || unlock(guard));

    println!("waiting for coroutines");
    join((coro1(&lock), coro2(&lock))).await;
}

pub(crate) fn main() -> io::Result<()> {
    Ok(event_loop()?.run_until_complete(lock_and_wait())?)
}
