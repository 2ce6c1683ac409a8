//! Ours: `pool::ThreadPool`.

use std::time::Duration;

use benches::pools::{self, CHUNK, Pool};
use pool::ThreadPool;

struct Ours(ThreadPool);

impl Pool for Ours {
    fn new(workers: usize) -> Self {
        Self(ThreadPool::builder().threads(workers).eager(true).build().expect("a thread pool"))
    }

    fn double(&mut self, number: u64) -> u64 {
        self.0.spawn(move || 2 * number).wait().expect("no panic")
    }

    fn submissions(&mut self, count: u64) -> Option<(Duration, Duration)> {
        Some(pools::count_down(count, |task| drop(self.0.spawn(|| task.run()))))
    }

    fn map(&mut self, items: &[u64]) -> Option<Vec<u64>> {
        let doubled = self.0.map(|number: u64| 2 * number, items.iter().copied());
        Some(doubled.chunk(CHUNK).collect::<Result<_, _>>().expect("no panic"))
    }
}

fn main() -> anyhow::Result<()> {
    pools::main::<Ours>()
}
