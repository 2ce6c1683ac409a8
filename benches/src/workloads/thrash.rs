//! Work for the CPU in slices, and after each of them something that only one may do at a time:
//! what happens when far more threads than cores want a lock. A job is a slice, the lock and what
//! is done under it included.
//!
//! What is guarded is a ledger: how many slices were done, and the sum of their answers, which is
//! known beforehand.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use pool::ThreadPool;
use serde::{Deserialize, Serialize};

use super::report::{Finding, Order};
use super::stage::Stage;
use super::{Model, cores, meter, primes};

/// A slice is so much of a millisecond's work …
pub const SLICES: u64 = 20;
/// … and what is done under the lock so much of one.
pub const ENTRIES: u64 = 200;

/// What the lock guards.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// How many were done.
    pub slices: usize,
    /// The answers, added up.
    pub sum: u64,
}

/// One slice of the work.
#[derive(Debug, Clone, Copy)]
pub struct Slice {
    number: usize,
    divisions: u64,
}

impl Slice {
    /// What needs no lock.
    fn compute(self) -> u64 {
        primes::work(self.n(), self.divisions / SLICES)
    }

    fn n(self) -> u64 {
        primes::HARD[self.number % primes::HARD.len()]
    }

    /// What is done under the lock.
    fn enter(self, answer: u64, ledger: &mut Ledger) {
        let entry = primes::work(self.n() ^ answer, self.divisions / ENTRIES);
        ledger.slices += 1;
        ledger.sum = ledger.sum.wrapping_add(answer ^ entry);
    }

    /// All of it, with the lock of threads; the time it took.
    pub fn run(self, ledger: &Mutex<Ledger>) -> Duration {
        let start = Instant::now();
        let answer = self.compute();
        self.enter(answer, &mut ledger.lock().unwrap_or_else(PoisonError::into_inner));
        start.elapsed()
    }
}

/// The slices of each worker: they differ by one at most.
#[must_use]
pub fn shares(order: &Order) -> Vec<Vec<Slice>> {
    let workers = order.load.min(order.count());
    let slice = |number| Slice { number, divisions: order.divisions };
    (0..workers).map(|first| (first..order.count()).step_by(workers).map(slice).collect()).collect()
}

/// Does what is ordered, and measures it.
///
/// # Errors
///
/// When the ledger is wrong, or a worker can't be started; [`cores::NoLoop`].
pub fn run(order: &Order) -> anyhow::Result<Finding> {
    let shares = shares(order);
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let mut stage = Stage::begin(order)?;
    let took = match order.model {
        Model::Sequential => shares.into_iter().flatten().map(|slice| slice.run(&ledger)).collect(),
        Model::ThreadPerJob => threads(&mut stage, shares, &ledger)?,
        Model::ThreadPool => thread_pool(order, shares, &ledger)?,
        Model::Coroutines => coroutines(shares, &ledger)?,
        Model::LoopPerCore => loop_per_core(&mut stage, shares, &ledger)?,
        other => bail!("{other} has no lock to share"),
    };
    stage.last();
    let finding = stage.end(took.len(), took)?;
    verify(order, &ledger.lock().unwrap_or_else(PoisonError::into_inner))?;
    Ok(finding)
}

/// Checks that every slice was entered, once.
///
/// # Errors
///
/// When it was not.
pub fn verify(order: &Order, ledger: &Ledger) -> anyhow::Result<()> {
    let mut expected = Ledger::default();
    // They repeat: the sum of all is that of a few, so many times.
    let each: Vec<u64> = (0..primes::HARD.len())
        .map(|number| {
            let (slice, mut alone) =
                (Slice { number, divisions: order.divisions }, Ledger::default());
            slice.enter(slice.compute(), &mut alone);
            alone.sum
        })
        .collect();
    for number in 0..order.count() {
        expected.slices += 1;
        expected.sum = expected.sum.wrapping_add(each[number % each.len()]);
    }
    ensure!(
        (ledger.slices, ledger.sum) == (expected.slices, expected.sum),
        "the ledger has {} slices of {}, or another sum: the lock did not hold",
        ledger.slices,
        expected.slices
    );
    Ok(())
}

fn threads(
    stage: &mut Stage<'_>,
    shares: Vec<Vec<Slice>>,
    ledger: &Arc<Mutex<Ledger>>,
) -> anyhow::Result<Vec<Duration>> {
    /// All are alike: it is enough to look at some.
    const LOOKED_AT: usize = 8;
    let start = |(number, share): (usize, Vec<Slice>)| {
        let ledger = Arc::clone(ledger);
        std::thread::Builder::new().spawn(move || {
            if number < LOOKED_AT {
                meter::note("worker thread");
            }
            share.into_iter().map(|slice| slice.run(&ledger)).collect::<Vec<_>>()
        })
    };
    let threads: Vec<_> = shares.into_iter().enumerate().map(start).collect::<Result<_, _>>()?;
    stage.watch.look();
    Ok(threads.into_iter().flat_map(|thread| thread.join().expect("it only computes")).collect())
}

fn thread_pool(
    order: &Order,
    shares: Vec<Vec<Slice>>,
    ledger: &Arc<Mutex<Ledger>>,
) -> anyhow::Result<Vec<Duration>> {
    let pool = ThreadPool::builder()
        .threads(order.cores.len())
        .pin_cores(true)
        .initializer(|| meter::note("pool thread"))
        .build()?;
    let job = |share: Vec<Slice>| {
        let ledger = Arc::clone(ledger);
        pool.spawn(move || share.into_iter().map(|slice| slice.run(&ledger)).collect::<Vec<_>>())
    };
    let jobs: Vec<_> = shares.into_iter().map(job).collect();
    let mut took = Vec::with_capacity(order.count());
    for job in jobs {
        took.extend(job.wait()?);
    }
    Ok(took)
}

/// The tasks of one loop need no lock: between two awaits nobody else runs.
fn coroutines(shares: Vec<Vec<Slice>>, ledger: &Mutex<Ledger>) -> anyhow::Result<Vec<Duration>> {
    meter::note("loop thread");
    let own = Rc::new(RefCell::new(Ledger::default()));
    let shared = Rc::clone(&own);
    let took = cores::event_loop()?.run_until_complete(async move {
        let act = move |slice: Slice| {
            let answer = slice.compute();
            slice.enter(answer, &mut shared.borrow_mut());
        };
        on_this_loop(shares, Rc::new(act)).await
    })??;
    *ledger.lock().unwrap_or_else(PoisonError::into_inner) = own.take();
    Ok(took)
}

fn loop_per_core(
    stage: &mut Stage<'_>,
    shares: Vec<Vec<Slice>>,
    ledger: &Arc<Mutex<Ledger>>,
) -> anyhow::Result<Vec<Duration>> {
    let cores = &stage.order.cores;
    let mut dealt = vec![Vec::new(); cores.len()];
    shares.into_iter().enumerate().for_each(|(at, share)| dealt[at % cores.len()].push(share));
    let (dealt, ledger) = (Arc::new(Mutex::new(dealt)), Arc::clone(ledger));
    let shards = cores::shards(cores, move |shard| async move {
        meter::note("loop thread");
        let shares = {
            let mut all = dealt.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut all[shard.index()])
        };
        // The loops are threads, so the lock is that of threads: a loop stands still for it.
        let act = move |slice: Slice| {
            slice.run(&ledger);
        };
        on_this_loop(shares, Rc::new(act)).await
    })?;
    stage.watch.look();
    let mut took = Vec::with_capacity(stage.order.count());
    for ended in shards.join()? {
        took.extend(ended.returned().context("a shard was stopped")?);
    }
    Ok(took)
}

/// A task for each share, which lets the others run after each slice.
async fn on_this_loop(
    shares: Vec<Vec<Slice>>,
    act: Rc<dyn Fn(Slice)>,
) -> anyhow::Result<Vec<Duration>> {
    let worker = |share: Vec<Slice>| {
        let act = Rc::clone(&act);
        uring_loop::spawn(async move {
            let mut took = Vec::with_capacity(share.len());
            for slice in share {
                let start = Instant::now();
                act(slice);
                took.push(start.elapsed());
                uring_loop::yield_now().await;
            }
            took
        })
    };
    let tasks: Vec<_> = shares.into_iter().map(worker).collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.map_err(std::io::Error::from)?);
    }
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::super::Workload;
    use super::*;

    fn order(size: usize, load: usize) -> Order {
        let order = Order::new(Workload::Thrash, Model::ThreadPerJob);
        Order { size, load, divisions: 4000, ..order }
    }

    #[test]
    fn every_slice_belongs_to_one_worker() {
        for (size, load) in [(10, 3), (3, 3), (3, 10), (1, 1)] {
            let shares = shares(&order(size, load));
            assert_eq!(shares.len(), load.min(size));
            let mut all: Vec<usize> = shares.iter().flatten().map(|slice| slice.number).collect();
            all.sort_unstable();
            assert_eq!(all, (0..size).collect::<Vec<_>>());
            assert!(shares.iter().all(|share| share.len().abs_diff(size / shares.len()) <= 1));
        }
    }

    #[test]
    fn a_slice_that_was_not_entered_is_found_out() {
        let order = order(5, 2);
        let ledger = Mutex::default();
        let slices: Vec<Slice> = shares(&order).concat();
        for slice in &slices[1..] {
            slice.run(&ledger);
        }
        assert!(verify(&order, &ledger.lock().unwrap()).is_err());
        slices[0].run(&ledger);
        verify(&order, &ledger.lock().unwrap()).unwrap();
        slices[0].run(&ledger);
        assert!(verify(&order, &ledger.lock().unwrap()).is_err());
    }
}
