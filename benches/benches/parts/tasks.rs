//! The run queue: spawning, yielding, and wakers.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::hint::black_box;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use uring_loop::{spawn, yield_now};

use crate::{Group, MANY, each, event_loop, run};

pub(crate) fn all(group: &mut Group<'_>) {
    group.bench_function("tasks: spawn and join one", |bencher| {
        let mut event_loop = event_loop();
        bencher.iter_custom(|count| run(&mut event_loop, spawn_one(count)));
    });
    group.bench_function("tasks: spawn and join, each of 1000", |bencher| {
        let mut event_loop = event_loop();
        bencher.iter_custom(|count| run(&mut event_loop, spawn_many(count)));
    });
    group.bench_function("tasks: yield, one task", |bencher| {
        let mut event_loop = event_loop();
        bencher.iter_custom(|count| run(&mut event_loop, yields(1, count)));
    });
    group.bench_function("tasks: yield, each of 1000", |bencher| {
        let mut event_loop = event_loop();
        bencher.iter_custom(|count| each(run(&mut event_loop, yields(MANY, count))));
    });
    group.bench_function("wakers: clone and drop", |bencher| {
        let mut event_loop = event_loop();
        bencher.iter_custom(|count| run(&mut event_loop, clones(count)));
    });
    group.bench_function("wakers: a task wakes another, and back", |bencher| {
        let mut event_loop = event_loop();
        bencher.iter_custom(|count| run(&mut event_loop, back_and_forth(count)));
    });
}

async fn spawn_one(count: u64) -> Duration {
    let begin = Instant::now();
    for number in 0..count {
        black_box(spawn(async move { number }).await.expect("no panic"));
    }
    begin.elapsed()
}

async fn spawn_many(batches: u64) -> Duration {
    let mut tasks = Vec::with_capacity(MANY as usize);
    let begin = Instant::now();
    for _ in 0..batches {
        tasks.extend((0..MANY).map(|number| spawn(async move { number })));
        for task in tasks.drain(..) {
            black_box(task.await.expect("no panic"));
        }
    }
    each(begin.elapsed())
}

async fn yielding(rounds: u64) {
    for _ in 0..rounds {
        yield_now().await;
    }
}

/// So many tasks yield `rounds` times each; the time of all.
async fn yields(tasks: u64, rounds: u64) -> Duration {
    let begin = Instant::now();
    let tasks: Vec<_> = (0..tasks).map(|_| spawn(yielding(rounds))).collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    begin.elapsed()
}

async fn clones(count: u64) -> Duration {
    let in_a_task = poll_fn(move |cx| {
        let begin = Instant::now();
        for _ in 0..count {
            drop(black_box(cx.waker().clone()));
        }
        Poll::Ready(begin.elapsed())
    });
    spawn(in_a_task).await.expect("no panic")
}

/// Whose turn it is, and the waker of the one who waits for his.
#[derive(Default)]
struct Turn {
    second: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Turn {
    /// Waits for the turn of one side, then gives the other its turn.
    async fn take(&self, second: bool) {
        poll_fn(|cx| {
            if self.second.get() == second {
                return Poll::Ready(());
            }
            self.waiting.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
        self.second.set(!second);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

async fn take_turns(turn: Rc<Turn>, second: bool, count: u64) {
    for _ in 0..count {
        turn.take(second).await;
    }
}

async fn back_and_forth(count: u64) -> Duration {
    let turn = Rc::new(Turn::default());
    let begin = Instant::now();
    let sides = [false, true].map(|second| spawn(take_turns(turn.clone(), second, count)));
    for side in sides {
        side.await.expect("no panic");
    }
    begin.elapsed()
}
