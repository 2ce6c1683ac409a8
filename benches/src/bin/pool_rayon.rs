//! Peer: rayon's pool: install, spawn, and an indexed parallel map.

use std::time::Duration;

use benches::pools::{self, CHUNK, Pool};
use rayon::prelude::*;

struct Rayon(rayon::ThreadPool);

impl Pool for Rayon {
    fn new(workers: usize) -> Self {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(workers).build();
        Self(pool.expect("a rayon pool"))
    }

    fn double(&mut self, number: u64) -> u64 {
        self.0.install(move || 2 * number)
    }

    fn submissions(&mut self, count: u64) -> Option<(Duration, Duration)> {
        Some(pools::count_down(count, |task| self.0.spawn(|| task.run())))
    }

    fn map(&mut self, items: &[u64]) -> Option<Vec<u64>> {
        let chunks = items.par_iter().with_min_len(CHUNK).with_max_len(CHUNK);
        Some(self.0.install(|| chunks.map(|number| 2 * number).collect()))
    }
}

fn main() -> anyhow::Result<()> {
    pools::main::<Rayon>()
}
