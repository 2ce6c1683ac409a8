//! The parts of the loop, the channel and the pools, each alone, through their public items.
//!
//! These are for somebody who works on a part: has it become slower? What it costs beside another
//! runtime, and what the kernel adds, the programs that `compare` drives tell.
//!
//! They are grouped as the crates are, and named by the part. `cargo bench -p benches` runs all,
//! `cargo bench -p benches -- pool/` those of a crate, `-- timers` those of a part.
//! Whatever is called "each of 1000" was done a thousand times, and the time is that of one.

mod channel;
mod door;
mod operations;
mod processes;
mod tasks;
mod threads;
mod timers;

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group};
use uring_loop::EventLoop;

/// Those of one crate.
type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// Things done at once where one alone would measure the turn of the loop.
const MANY: u64 = 1000;

/// Two seconds for each; `-- --measurement-time 10` for a closer look.
fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500))
        .sample_size(30)
}

/// A loop whose memory is warm after the first sample, for all samples of a measurement.
fn event_loop() -> EventLoop {
    EventLoop::new().expect("an event loop")
}

/// Runs `timed` as the main task.
fn run(event_loop: &mut EventLoop, timed: impl Future<Output = Duration>) -> Duration {
    event_loop.run_until_complete(timed).expect("nobody cancels the main task")
}

/// The time of `batches` batches of [`MANY`], per thing.
fn each(batches: Duration) -> Duration {
    batches / MANY as u32
}

fn of_uring_loop(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("uring-loop");
    timers::all(&mut group);
    tasks::all(&mut group);
    door::all(&mut group);
    operations::all(&mut group);
}

fn of_shard(criterion: &mut Criterion) {
    channel::all(&mut criterion.benchmark_group("shard"));
}

fn of_pool(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pool");
    threads::all(&mut group);
    processes::all(&mut group);
}

criterion_group! {
    name = parts;
    config = short();
    targets = of_uring_loop, of_shard, of_pool
}

fn main() {
    // The workers of a process pool are this program, and turn aside here.
    pool::init();
    parts();
    Criterion::default().configure_from_args().final_summary();
}
