//! Ours: `pool::ProcessPool`, whose workers are processes. Beside threads this shows what the wall
//! between processes costs: results are collected, for there is no shared counter.

use std::time::{Duration, Instant};

use benches::pools::lives::{self, Killed, Sign};
use benches::pools::{self, CHUNK, Pool};
use pool::{Job, ProcessPool, SharedBuf, SharedBufMut};

struct Ours(ProcessPool);

fn double(number: u64) -> u64 {
    2 * number
}

fn look(bytes: SharedBuf) -> u64 {
    pools::look(&bytes)
}

impl Pool for Ours {
    fn new(workers: usize) -> Self {
        Self(ProcessPool::builder().workers(workers).build().expect("a process pool"))
    }

    fn double(&mut self, number: u64) -> u64 {
        self.0.submit(double, (number,)).wait().expect("the worker lives")
    }

    fn submissions(&mut self, count: u64) -> Option<(Duration, Duration)> {
        let begin = Instant::now();
        let jobs: Vec<Job<u64>> = (0..count).map(|n| self.0.submit(double, (n,))).collect();
        let submitted = begin.elapsed();
        let doubled = jobs.into_iter().map(|job| job.wait().expect("the worker lives"));
        assert!(doubled.eq((0..count).map(double)), "a job gave another's result");
        Some((submitted, begin.elapsed()))
    }

    fn map(&mut self, items: &[u64]) -> Option<Vec<u64>> {
        let doubled = self.0.map(double, items.iter().copied()).chunk(CHUNK);
        Some(doubled.collect::<Result<_, _>>().expect("the workers live"))
    }

    fn kill(&mut self) -> Option<Killed> {
        let sign = Sign::new();
        let job = self.0.submit(lives::stuck, (sign.path(),));
        let begin = sign.kill();
        assert!(job.wait().is_err());
        let noticed = begin.elapsed();
        assert_eq!(self.double(1), 2);
        Some(Killed { noticed, replaced: begin.elapsed() })
    }

    /// In a shared buffer: nothing is copied.
    fn payload(&mut self, length: usize, count: u64) -> Option<Duration> {
        let mut bytes = SharedBufMut::new(length).expect("memory for it");
        bytes.fill(1);
        let bytes = bytes.freeze().expect("it can be sealed");
        let begin = Instant::now();
        for _ in 0..count {
            let seen = self.0.submit(look, (bytes.clone(),)).wait();
            assert_eq!(seen, Ok(pools::seen(length)));
        }
        Some(begin.elapsed())
    }
}

fn main() -> anyhow::Result<()> {
    pool::init();
    pools::main::<Ours>()
}
