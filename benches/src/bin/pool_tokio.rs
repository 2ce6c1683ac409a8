//! Peer: tokio's spawn_blocking.

use std::time::Duration;

use benches::pools::{self, Pool};
use tokio::runtime::{Builder, Runtime};

struct Tokio(Runtime);

impl Pool for Tokio {
    fn new(workers: usize) -> Self {
        let runtime = Builder::new_current_thread().max_blocking_threads(workers).build();
        Self(runtime.expect("a tokio runtime"))
    }

    fn double(&mut self, number: u64) -> u64 {
        let task = self.0.spawn_blocking(move || 2 * number);
        self.0.block_on(task).expect("no panic")
    }

    fn submissions(&mut self, count: u64) -> Option<(Duration, Duration)> {
        Some(pools::count_down(count, |task| drop(self.0.spawn_blocking(|| task.run()))))
    }
}

fn main() -> anyhow::Result<()> {
    pools::main::<Tokio>()
}
