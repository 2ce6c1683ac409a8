//! The door through which others reach a loop: calls and remote tasks.

use std::cell::Cell;
use std::future::poll_fn;
use std::hint::black_box;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use uring_loop::{Handle, yield_now};

use crate::{Group, MANY, each, event_loop, run};

thread_local! {
    /// Calls that have run on this thread's loop.
    static RUN: Cell<u64> = const { Cell::new(0) };
}

pub(crate) fn all(group: &mut Group<'_>) {
    group.bench_function("door: push and take a call, each of 1000", |bencher| {
        let mut event_loop = event_loop();
        bencher.iter_custom(|count| run(&mut event_loop, calls(count)));
    });
    group.bench_function("door: a remote task of the same thread", |bencher| {
        let mut event_loop = event_loop();
        bencher.iter_custom(|count| run(&mut event_loop, remote_tasks(count)));
    });
    group.bench_function("door: calls from another thread, each", |bencher| {
        let mut event_loop = event_loop();
        bencher.iter_custom(|count| run(&mut event_loop, calls_of_another_thread(count)));
    });
}

fn ran() {
    RUN.set(RUN.get() + 1);
}

/// No other thread takes part: the push, the look and the taking, without a cache line on its way
/// between two cores.
async fn calls(batches: u64) -> Duration {
    RUN.set(0);
    let handle = Handle::current();
    let begin = Instant::now();
    for batch in 1..=batches {
        for _ in 0..MANY {
            handle.call_soon(ran).expect("the loop lives");
        }
        while RUN.get() < batch * MANY {
            yield_now().await;
        }
    }
    each(begin.elapsed())
}

async fn remote_tasks(count: u64) -> Duration {
    let handle = Handle::current();
    let begin = Instant::now();
    for number in 0..count {
        black_box(handle.spawn(move || async move { number }).await.expect("no panic"));
    }
    begin.elapsed()
}

/// A thread sends without a pause, and the loop sleeps when it is ahead.
async fn calls_of_another_thread(count: u64) -> Duration {
    RUN.set(0);
    let handle = Handle::current();
    let begin = Instant::now();
    let main = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let sender = thread::spawn(move || {
        for _ in 0..count {
            handle.call_soon(ran).expect("the loop lives");
        }
        handle.call_soon(move || main.wake()).expect("the loop lives");
    });
    poll_fn(|_| if RUN.get() == count { Poll::Ready(()) } else { Poll::Pending }).await;
    let took = begin.elapsed();
    sender.join().expect("no panic");
    took
}
