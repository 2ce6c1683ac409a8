//! The interface of the programs that compare pools (`pool_*`), of threads and of processes.
//!
//! A program implements [`Pool`] and calls [`main`]. Tasks are trivial: what is measured is getting
//! them there and knowing that they are done. `cpython` runs the same rows in Python.

pub mod cpython;
pub mod lives;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};

use self::lives::Killed;
use crate::once::{self, Length};
use crate::process::print_metrics;
use crate::usage;

/// One pool, alive from `new` until dropped. What a pool has not it leaves out.
pub trait Pool {
    /// Makes a pool of so many workers.
    fn new(workers: usize) -> Self;

    /// Has a worker double `number`, and waits for the result.
    fn double(&mut self, number: u64) -> u64;

    /// Submits `count` trivial tasks without waiting for any; the time until all are submitted, and
    /// the time until the last has run. Where tasks are closures this is [`count_down`].
    fn submissions(&mut self, _count: u64) -> Option<(Duration, Duration)> {
        None
    }

    /// Doubles every item, in chunks of [`CHUNK`].
    fn map(&mut self, _items: &[u64]) -> Option<Vec<u64>> {
        None
    }

    /// Kills the worker process that runs a job, by [`lives::Sign`]; then has another job run.
    fn kill(&mut self) -> Option<Killed> {
        None
    }

    /// Has a worker process [`look`] at so many bytes, `count` times; the time that took, without
    /// the making of the bytes.
    fn payload(&mut self, _length: usize, _count: u64) -> Option<Duration> {
        None
    }
}

/// Items of one chunk in [`Pool::map`].
pub const CHUNK: usize = 1000;
const MAP_ITEMS: u64 = 1_000_000;

/// How far apart the bytes are that [`look`] looks at.
const PAGE: usize = 4096;

/// After its last job a pool is left alone for so long before it counts as idle.
const SETTLING: Duration = Duration::from_millis(100);

/// Measures one thing about a pool and prints one line of JSON.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    length: Length,
    /// Workers of the pool
    #[arg(long, default_value_t = 2, global = true)]
    workers: usize,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Submit one task and wait for its result
    RoundTrip {
        /// Microseconds to sleep before each, not counted: the workers go to sleep, too
        #[arg(long, default_value_t = 0)]
        pause: u64,
    },
    /// Submit many: the time to submit, and until all are done, per task
    Submit,
    /// Map over a million items in chunks, per item
    Map,
    /// Make a pool of one worker and wait for its first result
    Start,
    /// Kill the one worker process under its job: until that has ended, until another has run
    Kill,
    /// Have a worker process look at a byte of each page of a large payload
    Payload {
        /// MiB of it
        #[arg(long, default_value_t = 1024)]
        mib: usize,
    },
    /// CPU time of a pool that has nothing to do, of all its threads and processes, per second
    Idle,
}

/// The whole of a `pool_*` program. For what its pool has not it prints an empty object.
///
/// # Errors
///
/// When what the kernel tells of processes cannot be read.
pub fn main<P: Pool>() -> anyhow::Result<()> {
    let Options { what, length, workers } = Options::parse();
    once::limit_life();
    let pool = || P::new(workers);
    match what {
        What::RoundTrip { pause } => {
            let mut pool = pool();
            let pause = Duration::from_micros(pause);
            let ns = length.nanoseconds_per_unit(|count| round_trips(&mut pool, count, pause));
            print_metrics([("ns", ns)]);
        }
        What::Submit => {
            let mut pool = pool();
            let ns = two_times(length, |count| pool.submissions(count));
            print_metrics(
                ns.into_iter().flat_map(|(submit, done)| [("submit_ns", submit), ("ns", done)]),
            );
        }
        What::Map => print_metrics(map(&mut pool(), length).map(|ns| ("ns", ns))),
        What::Start => print_metrics([("ns", length.nanoseconds_per_unit(starts::<P>))]),
        What::Kill => {
            let mut pool = P::new(1);
            let ns = two_times(length, |count| kills(&mut pool, count));
            print_metrics(
                ns.into_iter()
                    .flat_map(|(noticed, replaced)| [("noticed_ns", noticed), ("ns", replaced)]),
            );
        }
        What::Payload { mib } => {
            let mut pool = P::new(1);
            let ns = optional(length, |count| pool.payload(mib << 20, count));
            print_metrics(ns.map(|ns| ("ns", ns)));
        }
        What::Idle => {
            let per_second = idle(&mut pool(), Duration::from_millis(length.milliseconds()))?;
            print_metrics([("cpu_ns_per_s", per_second)]);
        }
    }
    Ok(())
}

/// Nanoseconds per unit of what a pool may not have.
fn optional(length: Length, mut work: impl FnMut(u64) -> Option<Duration>) -> Option<f64> {
    two_times(length, |count| work(count).map(|time| (Duration::ZERO, time))).map(|(_, ns)| ns)
}

/// The same of work that is timed twice: until a first moment, and in all.
fn two_times(
    length: Length,
    mut work: impl FnMut(u64) -> Option<(Duration, Duration)>,
) -> Option<(f64, f64)> {
    let (first, missing) = (Cell::new(0.0), Cell::new(false));
    let ns = length.nanoseconds_per_unit(|count| match work(count) {
        Some((until, whole)) => {
            first.set(until.as_nanos() as f64 / count as f64);
            whole
        }
        None => {
            missing.set(true);
            Duration::MAX
        }
    });
    (!missing.get()).then(|| (first.get(), ns))
}

fn round_trips(pool: &mut impl Pool, count: u64, pause: Duration) -> Duration {
    let mut one = |number| assert_eq!(pool.double(number), 2 * number);
    if pause.is_zero() {
        let begin = Instant::now();
        (0..count).for_each(one);
        return begin.elapsed();
    }
    let timed = (0..count).map(|number| {
        std::thread::sleep(pause);
        let begin = Instant::now();
        one(number);
        begin.elapsed()
    });
    timed.sum()
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

fn starts<P: Pool>(count: u64) -> Duration {
    let timed = (0..count).map(|number| {
        let begin = Instant::now();
        let mut pool = P::new(1);
        assert_eq!(pool.double(number), 2 * number);
        // How long the pool takes to end does not count.
        begin.elapsed()
    });
    timed.sum()
}

fn kills(pool: &mut impl Pool, count: u64) -> Option<(Duration, Duration)> {
    let (mut noticed, mut replaced) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..count {
        let killed = pool.kill()?;
        noticed += killed.noticed;
        replaced += killed.replaced;
    }
    Some((noticed, replaced))
}

/// What a worker does with a payload: a byte of each page, added up.
#[must_use]
pub fn look(bytes: &[u8]) -> u64 {
    bytes.iter().step_by(PAGE).map(|&byte| u64::from(byte)).sum()
}

/// What [`look`] gives for a payload of so many bytes that are all 1.
#[must_use]
pub fn seen(length: usize) -> u64 {
    length.div_ceil(PAGE) as u64
}

/// Nanoseconds of CPU time that a pool takes in a second in which it has nothing to do.
fn idle(pool: &mut impl Pool, time: Duration) -> anyhow::Result<f64> {
    // All workers are there, and have worked.
    (0..100).for_each(|number| assert_eq!(pool.double(number), 2 * number));
    std::thread::sleep(SETTLING);
    let before = usage::cpu_of_all_but_main()?;
    let begin = Instant::now();
    std::thread::sleep(time);
    let (after, slept) = (usage::cpu_of_all_but_main()?, begin.elapsed());
    Ok(after.saturating_sub(before).as_nanos() as f64 / slept.as_secs_f64())
}
