//! Operations: a slot, an entry, a completion and a wake, for the operation that does nothing. The
//! kernel's part of it is in the figures, for there is no completion without it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use uring_loop::op::{Driver, Nop};

use crate::{Group, MANY, each, event_loop, run};

pub(crate) fn all(group: &mut Group<'_>) {
    group.bench_function("operations: a nop, alone", |bencher| {
        let mut event_loop = event_loop();
        bencher.iter_custom(|count| run(&mut event_loop, one_by_one(count)));
    });
    group.bench_function("operations: a nop, each of 1000", |bencher| {
        let mut event_loop = event_loop();
        bencher.iter_custom(|count| run(&mut event_loop, many(count)));
    });
}

async fn one_by_one(count: u64) -> Duration {
    let driver = Driver::current();
    let begin = Instant::now();
    for _ in 0..count {
        driver.submit(Nop).await.expect("nothing can fail");
    }
    begin.elapsed()
}

async fn many(batches: u64) -> Duration {
    let driver = Driver::current();
    let mut under_way = Vec::with_capacity(MANY as usize);
    let begin = Instant::now();
    for _ in 0..batches {
        under_way.extend((0..MANY).map(|_| driver.submit(Nop)));
        // All are polled, and so submitted, before one is waited for.
        poll_fn(|cx| {
            let waits = under_way.iter_mut().all(|nop| Pin::new(nop).poll(cx).is_pending());
            assert!(waits, "complete before the kernel was asked");
            Poll::Ready(())
        })
        .await;
        for nop in under_way.drain(..) {
            nop.await.expect("nothing can fail");
        }
    }
    each(begin.elapsed())
}
