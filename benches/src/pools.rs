//! The interface of the thread pool comparison programs (`pool_*`).
//!
//! A program implements [`Pool`] and calls [`main`]. Tasks are trivial: what is measured is getting
//! them there and knowing that they are done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};

use crate::once::{self, Length};
use crate::process::print_metrics;

/// One pool of threads, alive from `new` until dropped.
pub trait Pool {
    /// Starts so many workers.
    fn new(workers: usize) -> Self;

    /// Has a worker double `number`, and waits for the result.
    fn double(&mut self, number: u64) -> u64;

    /// Submits `count` trivial tasks without waiting for any; the time until all are submitted, and
    /// the time until the last has run. Where tasks are closures this is [`count_down`].
    fn submissions(&mut self, count: u64) -> (Duration, Duration);

    /// Doubles every item, in chunks of [`CHUNK`]; `None` when the pool has no such thing.
    fn map(&mut self, items: &[u64]) -> Option<Vec<u64>>;
}

/// Items of one chunk in [`Pool::map`].
pub const CHUNK: usize = 1000;
const MAP_ITEMS: u64 = 1_000_000;

/// Measures one thing about a pool of threads and prints one line of JSON.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    length: Length,
    /// Threads of the pool
    #[arg(long, default_value_t = 2, global = true)]
    workers: usize,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Submit one task and wait for its result
    RoundTrip,
    /// Submit many: the time to submit, and until all are done, per task
    Submit,
    /// Map over a million items in chunks, per item
    Map,
}

/// The whole of a `pool_*` program. One that has no map prints an empty object for it.
///
/// # Errors
///
/// None yet; `Result` for what a program may come to need.
pub fn main<P: Pool>() -> anyhow::Result<()> {
    let options = Options::parse();
    once::limit_life();
    let mut pool = P::new(options.workers);
    match options.what {
        What::RoundTrip => {
            let ns = options.length.nanoseconds_per_unit(|count| round_trips(&mut pool, count));
            print_metrics([("ns", ns)]);
        }
        What::Submit => {
            let mut submitting = Duration::ZERO;
            let mut tasks = 1;
            let done = options.length.nanoseconds_per_unit(|count| {
                tasks = count;
                let (submitted, done) = pool.submissions(count);
                submitting = submitted;
                done
            });
            let submit = submitting.as_nanos() as f64 / tasks as f64;
            print_metrics([("submit_ns", submit), ("ns", done)]);
        }
        What::Map => print_metrics(map(&mut pool, options.length).map(|ns| ("ns", ns))),
    }
    Ok(())
}

fn round_trips(pool: &mut impl Pool, count: u64) -> Duration {
    let begin = Instant::now();
    (0..count).for_each(|number| assert_eq!(pool.double(number), 2 * number));
    begin.elapsed()
}

/// Counts tasks down and wakes the submitter at the last one.
#[derive(Debug)]
struct Countdown {
    left: AtomicU64,
    submitter: Thread,
}

/// A trivial task: it says that it has run.
#[derive(Debug)]
pub struct Task(Arc<Countdown>);

impl Task {
    /// Runs it.
    pub fn run(self) {
        if self.0.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.submitter.unpark();
        }
    }
}

/// Hands `count` tasks to `submit`: the time that took, and the time until the last has run.
pub fn count_down(count: u64, mut submit: impl FnMut(Task)) -> (Duration, Duration) {
    let submitter = std::thread::current();
    let countdown = Arc::new(Countdown { left: AtomicU64::new(count), submitter });
    let begin = Instant::now();
    for _ in 0..count {
        submit(Task(countdown.clone()));
    }
    let submitted = begin.elapsed();
    while countdown.left.load(Ordering::Acquire) > 0 {
        std::thread::park();
    }
    (submitted, begin.elapsed())
}

fn map(pool: &mut impl Pool, length: Length) -> Option<f64> {
    let items: Vec<u64> = (0..MAP_ITEMS).collect();
    pool.map(&items)?; // whether it has one at all, and the warm-up
    let per_map = length.nanoseconds_per_unit(|count| {
        let begin = Instant::now();
        for _ in 0..count {
            let doubled = pool.map(&items);
            assert_eq!(doubled.and_then(|all| all.last().copied()), Some(2 * (MAP_ITEMS - 1)));
        }
        begin.elapsed()
    });
    Some(per_map / MAP_ITEMS as f64)
}
