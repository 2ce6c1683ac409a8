//! The pool of processes: how long a worker takes to start, what it costs to kill a job, and what a
//! gigabyte costs that goes to a worker, beside copying it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use pool::{JobState, ProcessPool, SharedBuf, SharedBufMut};

use crate::Group;

/// A payload.
const LARGE: usize = 1 << 30;

fn pool() -> ProcessPool {
    ProcessPool::builder().workers(1).build().expect("a process pool")
}

fn never() {
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Looks at a byte of each page, as somebody does who has got all of it.
fn look(bytes: &[u8]) -> u64 {
    bytes.iter().step_by(4096).map(|byte| u64::from(*byte)).sum()
}

fn look_at_shared(bytes: SharedBuf) -> u64 {
    look(&bytes)
}

pub(crate) fn all(group: &mut Group<'_>) {
    group.bench_function("processes: start, to the first result", |bencher| {
        bencher.iter_custom(|times| {
            let one = |_| {
                let begin = Instant::now();
                let pool = pool();
                assert_eq!(pool.submit(|| 1, ()).wait(), Ok(1));
                begin.elapsed()
            };
            (0..times).map(one).sum()
        });
    });
    group.bench_function("processes: kill, until the job has ended", |bencher| {
        let pool = pool();
        bencher.iter_custom(|times| (0..times).map(|_| kill(&pool).0).sum());
    });
    group.bench_function("processes: kill, to the next worker's first result", |bencher| {
        let pool = pool();
        bencher.iter_custom(|times| (0..times).map(|_| kill(&pool).1).sum());
    });
    let payload = || {
        let mut buffer = SharedBufMut::new(LARGE).expect("memory for it");
        buffer.fill(1);
        buffer
    };
    group.bench_function("processes: 1 GiB to a worker in a shared buffer", |bencher| {
        let pool = pool();
        let buffer = payload().freeze().expect("it can be sealed");
        bencher.iter(|| {
            let seen = pool.submit(look_at_shared, (buffer.clone(),)).wait();
            assert_eq!(seen, Ok((LARGE / 4096) as u64));
        });
    });
    group.bench_function("memory: 1 GiB copied, and looked at", |bencher| {
        let from = payload();
        let mut to = vec![0; LARGE];
        bencher.iter(|| {
            black_box(&mut to).copy_from_slice(&from);
            assert_eq!(look(black_box(&to)), (LARGE / 4096) as u64);
        });
    });
}

/// Kills a job that runs: the time until it has ended, and until another has run.
fn kill(pool: &ProcessPool) -> (Duration, Duration) {
    let job = pool.submit(never, ());
    while job.state() != JobState::Running {
        std::thread::yield_now();
    }
    let begin = Instant::now();
    assert!(job.kill());
    assert!(job.wait().is_err());
    let ended = begin.elapsed();
    assert_eq!(pool.submit(|| 1, ()).wait(), Ok(1));
    (ended, begin.elapsed())
}
