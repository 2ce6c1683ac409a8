//! Five consumers wait for a condition. One is notified, then two, then all that are left. Each
//! goes on when it has the lock again.
//!
//! In Python: *A guide to asyncio*, ex20.py.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::sync::{Condition, Lock};
use uring_loop::time::sleep;
use uring_loop::{gather, spawn, spawn_all};

use crate::course::{event_loop, println};

/// What the lock guards is what one waits for at the condition; here that is nothing.
#[derive(Default)]
struct Shared {
    lock: Lock<()>,
    condition: Condition,
}

async fn consumer(shared: Rc<Shared>, n: usize) {
    let guard = shared.lock.lock().await;
    println!("consumer {n} is waiting");
    let guard = shared.condition.wait(guard).await;
    println!("consumer {n} triggered");
    drop(guard);
    println!("ending consumer {n}");
}

async fn manipulate_condition(shared: Rc<Shared>) {
    println!("starting manipulate_condition");

    sleep(Duration::from_millis(100)).await; // let consumers start

    for i in 1..3 {
        let guard = shared.lock.lock().await;
        println!("notifying {i} consumers");
        shared.condition.notify(&guard, i);
        drop(guard);
        sleep(Duration::from_millis(100)).await;
    }

    let guard = shared.lock.lock().await;
    println!("notifying remaining consumers");
    shared.condition.notify_all(&guard);
    drop(guard);

    println!("ending manipulate_condition");
}

async fn five_consumers() -> io::Result<()> {
    let shared = Rc::new(Shared::default());
    drop(spawn(manipulate_condition(shared.clone())));
    gather(spawn_all((0..5).map(|n| consumer(shared.clone(), n)))).await?;
    Ok(())
}

pub(crate) fn main() -> io::Result<()> {
    event_loop()?.run_until_complete(five_consumers())?
}
