//! A million waits at once, on timers of loops: all sleep before the first is woken, and they are
//! woken one after the other, a million in a second. What is told is what one costs in memory, and
//! how late each was woken.
//!
//! Models whose units are threads or processes have no room for so many: the refusal says what all
//! would take, by what a few take here and now.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use uring_loop::Statistics;
use uring_loop::time::{now, sleep_until};

use super::cores::{self, Part, What, Worker};
use super::pages::{Bytes, Pages};
use super::report::{Finding, Order};
use super::stage::Stage;
use super::{Model, limits, memory, meter};

/// The moments of waking lie so far apart: some three times what waking one takes.
pub const APART: Duration = Duration::from_micros(1);

/// The first is woken so long after the start …
pub const AT_LEAST: Duration = Duration::from_millis(150);
/// … or after so much for each: making one takes less, unless somebody else has the core.
pub const FOR_EACH: Duration = Duration::from_nanos(800);

/// Tries with more and more time to fall asleep in.
pub const TRIES: u32 = 5;

/// Threads, and workers, that are made to see what one takes.
const FEW_THREADS: usize = 200;
const FEW_WORKERS: usize = 4;

/// When sleepers wake: the same for all loops, however many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The first so long after the start …
    lead: Duration,
    /// … and all within this time.
    over: Duration,
}

/// What became of the waits on one loop.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Slept {
    /// When all slept, in nanoseconds of the clock that all processes share.
    asleep_ns: u64,
    /// When the first was to be woken.
    first_ns: u64,
    /// What was added to the memory until all slept, if that was looked at.
    grown: u64,
    /// How late each was woken, in nanoseconds.
    late: Vec<u32>,
    /// How many were woken too early.
    early: usize,
}

fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

/// Sleeps `count` times at once on the loop of this thread. When all sleep, `asleep` is called.
///
/// # Cancel safety
///
/// None: the sleepers go on.
pub async fn on_this_loop(count: usize, schedule: Schedule, asleep: impl FnOnce() -> u64) -> Slept {
    let woken = Rc::new(RefCell::new(Slept::default()));
    // Its pages are not the sleepers' memory.
    woken.borrow_mut().late.resize(count, 0);
    woken.borrow_mut().late.clear();
    let (base, timers) = (monotonic(), Statistics::current().timers);
    let first = now() + schedule.lead;
    for index in 0..count {
        let (moment, woken) = (first + moment(index, count, schedule.over), Rc::clone(&woken));
        drop(uring_loop::spawn(sleeper(moment, woken)));
    }
    // One that has not had its first step does not sleep.
    while Statistics::current().timers < timers + count && now() < first {
        uring_loop::yield_now().await;
    }
    let asleep_ns = monotonic().as_nanos() as u64;
    let grown = asleep();
    sleep_until(first + schedule.over).await;
    while woken.borrow().late.len() < count {
        uring_loop::yield_now().await;
    }
    let first_ns = (base + schedule.lead).as_nanos() as u64;
    Slept { asleep_ns, first_ns, grown, ..woken.take() }
}

async fn sleeper(moment: Instant, woken: Rc<RefCell<Slept>>) {
    sleep_until(moment).await;
    let late = Instant::now().checked_duration_since(moment);
    let mut woken = woken.borrow_mut();
    woken.early += usize::from(late.is_none());
    woken.late.push(late.unwrap_or_default().as_nanos().try_into().unwrap_or(u32::MAX));
}

/// When one wakes: all moments lie equally far apart, and come in no order.
#[must_use]
pub fn moment(index: usize, count: usize, over: Duration) -> Duration {
    /// Above all counts, and a prime: a multiplier without common divisor with any of them.
    const STEP: u64 = 4_294_967_311;
    let place = index as u64 * STEP % count as u64;
    Duration::from_nanos(over.as_nanos() as u64 * place / count as u64)
}

/// How many of them a loop has.
fn share(count: usize, loops: usize, index: usize) -> usize {
    count / loops + usize::from(index < count % loops)
}

/// Does what is ordered, and measures it.
///
/// # Errors
///
/// When a sleeper was woken early or is lost, or they never sleep all at once; [`cores::NoLoop`].
pub fn run(order: &Order) -> anyhow::Result<Finding> {
    let count = order.count();
    let usual = AT_LEAST.max(FOR_EACH * u32::try_from(count)?);
    let mut grown = 0;
    for attempt in 0..TRIES {
        let lead = usual * 2_u32.pow(attempt);
        let schedule = Schedule { lead, over: APART * u32::try_from(count)? };
        let mut stage = Stage::begin(order)?;
        let all = match order.model {
            Model::Coroutines => one_loop(count, schedule)?,
            Model::LoopPerCore => loop_per_core(&mut stage, count, schedule)?,
            Model::ProcessPerCore => process_per_core(&mut stage, count, schedule)?,
            other => bail!("{other} has no room for {count} waits"),
        };
        stage.last();
        // The most of all tries: a later one finds memory that an earlier one has left behind.
        grown = grown.max(all.iter().map(|slept| slept.grown).sum::<u64>());
        let asleep = all.iter().map(|slept| slept.asleep_ns).max().unwrap_or_default();
        if all.iter().any(|slept| slept.first_ns < asleep) {
            // The first was woken before the last slept: somebody else has the cores.
            continue;
        }
        let late: Vec<Duration> = all
            .iter()
            .flat_map(|slept| &slept.late)
            .map(|late| Duration::from_nanos(u64::from(*late)))
            .collect();
        ensure!(late.len() == count, "{count} slept, and {} were woken", late.len());
        let early: usize = all.iter().map(|slept| slept.early).sum();
        ensure!(early == 0, "{early} sleepers were woken too early");
        let finding = stage.end(count, late)?;
        let remarks = vec![format!(
            "all slept at once, woken from {lead:?} on over {:?}; latency is how late each woke",
            schedule.over
        )];
        return Ok(Finding { remarks, unit_bytes: Some(grown / count as u64), ..finding });
    }
    bail!("{count} sleepers never slept all at once: making them takes too long here")
}

fn one_loop(count: usize, schedule: Schedule) -> anyhow::Result<Vec<Slept>> {
    meter::note("loop thread");
    let mut event_loop = cores::event_loop()?;
    let before = Pages::now()?;
    let slept = event_loop.run_until_complete(on_this_loop(count, schedule, || grown(before)))?;
    Ok(vec![slept])
}

/// What was added to the memory of this process and its children.
fn grown(before: Pages) -> u64 {
    // Without /proc nothing is known, as before.
    Pages::now().map_or(0, |after| after.each(before, 1).user)
}

fn loop_per_core(
    stage: &mut Stage<'_>,
    count: usize,
    schedule: Schedule,
) -> anyhow::Result<Vec<Slept>> {
    let loops = stage.order.cores.len();
    // The loops are there before memory is looked at, and begin together.
    let started = Arc::new(std::sync::Barrier::new(loops));
    let before = Arc::new(Mutex::new(Pages::default()));
    let asleep = Arc::new(AtomicUsize::new(0));
    let shards = cores::shards(&stage.order.cores, move |shard| async move {
        meter::note("loop thread");
        if started.wait().is_leader() {
            *before.lock().unwrap_or_else(PoisonError::into_inner) = Pages::now()?;
        }
        started.wait();
        let before = *before.lock().unwrap_or_else(PoisonError::into_inner);
        // The last to have all asleep looks.
        let look = move || match asleep.fetch_add(1, Ordering::Relaxed) + 1 {
            all if all == loops => grown(before),
            _ => 0,
        };
        Ok(on_this_loop(share(count, loops, shard.index()), schedule, look).await)
    })?;
    stage.watch.look();
    let ended = shards.join()?.into_iter();
    ended.map(|ended| ended.returned().context("a shard was stopped")).collect()
}

fn process_per_core(
    stage: &mut Stage<'_>,
    count: usize,
    schedule: Schedule,
) -> anyhow::Result<Vec<Slept>> {
    let (cores, life) = (&stage.order.cores, stage.order.life);
    let part = |(index, &core): (usize, &usize)| {
        let what = What::Sleep(share(count, cores.len(), index), schedule);
        Worker::start(&Part { core, life, what })
    };
    let workers: Vec<Worker> = cores.iter().enumerate().map(part).collect::<anyhow::Result<_>>()?;
    stage.watch.look();
    workers.into_iter().map(Worker::finish_sleep).collect()
}

/// The part of a process.
///
/// # Errors
///
/// [`cores::NoLoop`].
pub fn part(count: usize, schedule: Schedule) -> anyhow::Result<Slept> {
    Ok(one_loop(count, schedule)?.remove(0))
}

/// Why a model has no room for so many, and what all would take by what a few do; `None` if it has.
///
/// # Errors
///
/// When not even a few can be made.
pub fn refusal(order: &Order) -> anyhow::Result<Option<String>> {
    let count = order.count();
    let all = |each: u64| Bytes(each * count as u64);
    let few = |units| Order { size: units, sample: None, ..order.clone() };
    Ok(Some(match order.model {
        Model::Sequential => {
            format!("one thread waits for one thing at a time; {count} at once need as many")
        }
        Model::ThreadPerJob | Model::ThreadPool => {
            let each = memory::threads(&mut Stage::begin(&few(FEW_THREADS))?, FEW_THREADS)?;
            let (most, limit) = limits::most_threads();
            let kernel = each.kernel.stacks + each.kernel.tables;
            let room = match most < count {
                true => format!(": {limit} leaves room for {most}"),
                false => String::new(),
            };
            format!(
                "a thread waits for one thing at a time{room}, and {count} of them would take {} \
                 and {} of the kernel's",
                all(each.user),
                all(kernel)
            )
        }
        Model::ProcessPool => {
            let each = memory::workers(&mut Stage::begin(&few(FEW_WORKERS))?, FEW_WORKERS)?;
            format!(
                "a worker process waits for one thing at a time: {count} of them would take {}",
                all(each.user)
            )
        }
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::Workload;
    use super::*;

    #[test]
    fn moments_are_all_different_and_within_the_time() {
        let over = Duration::from_secs(1);
        for count in [1, 2, 1000, 4096, 99_991] {
            let mut all: Vec<Duration> =
                (0..count).map(|index| moment(index, count, over)).collect();
            all.sort_unstable();
            all.dedup();
            assert_eq!((all.len(), all[0]), (count, Duration::ZERO));
            assert!(all[count - 1] < over);
        }
    }

    #[test]
    fn every_wait_has_its_loop() {
        for (count, loops) in [(7, 2), (1, 3), (6, 3)] {
            assert_eq!((0..loops).map(|index| share(count, loops, index)).sum::<usize>(), count);
        }
    }

    #[test]
    fn threads_are_refused_with_what_they_would_take() {
        let order = |model| Order { size: 1_000_000, ..Order::new(Workload::Million, model) };
        let threads = refusal(&order(Model::ThreadPerJob)).unwrap().unwrap();
        assert!(
            threads.contains("1000000 of them would take") && threads.contains("iB"),
            "{threads}"
        );
        assert_eq!(refusal(&order(Model::Coroutines)).unwrap(), None);
    }
}
