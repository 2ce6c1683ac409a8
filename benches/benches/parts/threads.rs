//! The pool of threads: what it costs the submitter, and how long until a result is there.

use std::hint::black_box;
use std::time::Instant;

use pool::ThreadPool;

use crate::{Group, MANY, each};

const WORKERS: usize = 2;

fn pool() -> ThreadPool {
    ThreadPool::builder().threads(WORKERS).eager(true).build().expect("a thread pool")
}

pub(crate) fn all(group: &mut Group<'_>) {
    group.bench_function("threads: submit one and wait for it", |bencher| {
        let pool = pool();
        bencher.iter(|| pool.spawn(|| black_box(1)).wait().expect("no panic"));
    });
    group.bench_function("threads: submit, each of 1000", |bencher| {
        let pool = pool();
        // Only the submission is timed; every batch begins with idle workers.
        bencher.iter_custom(|batches| {
            let mut jobs = Vec::with_capacity(MANY as usize);
            let submissions = (0..batches).map(|_| {
                let begin = Instant::now();
                jobs.extend((0..MANY).map(|number| pool.spawn(move || black_box(number))));
                let took = begin.elapsed();
                jobs.drain(..).for_each(|job| assert!(job.wait().is_ok()));
                took
            });
            each(submissions.sum())
        });
    });
    group.bench_function("threads: map, each of 1000 in chunks of 100", |bencher| {
        let pool = pool();
        bencher.iter_custom(|batches| {
            let begin = Instant::now();
            for _ in 0..batches {
                let doubled = pool.map(|number: u64| 2 * number, 0..MANY).chunk(100);
                let last = doubled.last().expect("there are items").expect("no panic");
                assert_eq!(last, 2 * (MANY - 1));
            }
            each(begin.elapsed())
        });
    });
}
