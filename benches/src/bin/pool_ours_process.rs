//! Ours: `pool::ProcessPool`, whose workers are processes. Beside threads this shows what the wall
//! between processes costs: results are collected, for there is no shared counter.

use std::time::{Duration, Instant};

use benches::pools::{self, CHUNK, Pool};
use pool::{Job, ProcessPool};

struct Ours(ProcessPool);

fn double(number: u64) -> u64 {
    2 * number
}

impl Pool for Ours {
    fn new(workers: usize) -> Self {
        Self(ProcessPool::builder().workers(workers).build().expect("a process pool"))
    }

    fn double(&mut self, number: u64) -> u64 {
        self.0.submit(double, (number,)).wait().expect("the worker lives")
    }

    fn submissions(&mut self, count: u64) -> (Duration, Duration) {
        let begin = Instant::now();
        let jobs: Vec<Job<u64>> = (0..count).map(|n| self.0.submit(double, (n,))).collect();
        let submitted = begin.elapsed();
        let doubled = jobs.into_iter().map(|job| job.wait().expect("the worker lives"));
        assert!(doubled.eq((0..count).map(double)), "a job gave another's result");
        (submitted, begin.elapsed())
    }

    fn map(&mut self, items: &[u64]) -> Option<Vec<u64>> {
        let doubled = self.0.map(double, items.iter().copied()).chunk(CHUNK);
        Some(doubled.collect::<Result<_, _>>().expect("the workers live"))
    }
}

fn main() -> anyhow::Result<()> {
    pool::init();
    pools::main::<Ours>()
}
