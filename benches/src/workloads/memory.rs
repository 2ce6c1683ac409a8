//! What one more idle unit costs in memory: a thread, a thread of a pool, a task, a worker, a
//! process with a loop. It is what was added between two counts, so that what there is once for all
//! (the program, a pool, a ring) is in neither.

use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Barrier, Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use pool::{ProcessPool, ThreadPool};
use uring_loop::net::TcpListener;

use super::cores::{self, Part, What, Worker};
use super::pages::{Bytes, Pages};
use super::report::{Finding, Order};
use super::stage::Stage;
use super::{Model, limits, meter};
use crate::foreign::Foreign;

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(3600);

/// Connections that a loop holds, at most, to see what one costs.
const CONNECTIONS: usize = 2000;

/// Does what is ordered, and measures it.
///
/// # Errors
///
/// When a unit can't be started; [`cores::NoLoop`].
pub fn run(order: &Order) -> anyhow::Result<Finding> {
    let (units, reduced) = units(order);
    let mut remarks = Vec::new();
    if order.model == Model::Coroutines {
        // Before there is memory that was used and is free again.
        remarks.push(with_connections(order)?);
    }
    let mut stage = Stage::begin(order)?;
    let each = match order.model {
        Model::ThreadPerJob => threads(&mut stage, units)?,
        Model::ThreadPool => pool_threads(&mut stage, units)?,
        Model::Coroutines => tasks(&mut stage, units)?,
        Model::LoopPerCore => tasks_on_shards(&mut stage, units)?,
        Model::ProcessPool => workers(&mut stage, units)?,
        Model::ProcessPerCore => processes(&mut stage, units)?,
        other => bail!("{other} has no unit that there could be one more of"),
    };
    remarks.push(format!(
        "one more costs the kernel {} (growth of the whole machine, so it is noisy)",
        each.kernel
    ));
    let finding = stage.end(units, Vec::new())?;
    Ok(Finding { reduced, remarks, unit_bytes: Some(each.user), ..finding })
}

/// How many there are at the second look, and why there are fewer than ordered if there are.
#[must_use]
pub fn units(order: &Order) -> (usize, Option<String>) {
    let (most, limit) = match order.model {
        Model::ThreadPerJob | Model::ThreadPool | Model::Foreign(Foreign::PythonThreads) => {
            limits::most_threads()
        }
        _ => (usize::MAX, ""),
    };
    let units = order.count().min(most).max(2);
    let reduced = || format!("{limit} leaves room for {most} threads");
    (units, (units < order.count()).then(reduced))
}

/// How many there are at the first look.
#[must_use]
pub fn first(units: usize) -> usize {
    (units / 10).max(1)
}

/// What a thread costs that waits.
///
/// # Errors
///
/// When one can't be started.
pub fn threads(stage: &mut Stage<'_>, units: usize) -> anyhow::Result<Pages> {
    let gate = Arc::new(Gate::default());
    let mut threads = Vec::with_capacity(units);
    let mut looks = Vec::new();
    for count in [first(units), units] {
        let started = Arc::new(Barrier::new(count - threads.len() + 1));
        while threads.len() < count {
            let (gate, started) = (Arc::clone(&gate), Arc::clone(&started));
            let thread = std::thread::Builder::new().spawn(move || {
                started.wait();
                gate.wait();
            });
            threads.push(thread.with_context(|| format!("thread {}", threads.len() + 1))?);
        }
        started.wait();
        looks.push(Pages::now()?);
    }
    stage.last();
    gate.open();
    threads.into_iter().for_each(|thread| thread.join().expect("it only waits"));
    Ok(looks[1].each(looks[0], units - first(units)))
}

/// What a thread of a pool costs whose job waits.
fn pool_threads(stage: &mut Stage<'_>, units: usize) -> anyhow::Result<Pages> {
    let gate = Arc::new(Gate::default());
    let (mut pools, mut looks) = (Vec::new(), Vec::new());
    for count in [first(units), units - first(units)] {
        let pool = ThreadPool::builder().threads(count).build()?;
        let started = Arc::new(Barrier::new(count + 1));
        for _ in 0..count {
            let (gate, started) = (Arc::clone(&gate), Arc::clone(&started));
            drop(pool.spawn(move || {
                started.wait();
                gate.wait();
            }));
        }
        started.wait();
        pools.push(pool);
        looks.push(Pages::now()?);
    }
    stage.last();
    gate.open();
    pools.into_iter().for_each(|pool| pool.shutdown(true, false));
    Ok(looks[1].each(looks[0], units - first(units)))
}

/// What waits until it is opened.
#[derive(Debug, Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn wait(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        while !*open {
            open = self.opened.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn open(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.opened.notify_all();
    }
}

/// What a task costs that sleeps.
fn tasks(stage: &mut Stage<'_>, units: usize) -> anyhow::Result<Pages> {
    meter::note("loop thread");
    let mut event_loop = cores::event_loop()?;
    let mut looks = Vec::new();
    for count in [first(units), units - first(units)] {
        event_loop.run_until_complete(sleepers(count))?;
        looks.push(Pages::now()?);
    }
    stage.last();
    Ok(looks[1].each(looks[0], units - first(units)))
}

/// Starts sleepers, and returns when all sleep.
async fn sleepers(count: usize) {
    let others = uring_loop::Statistics::current().timers;
    for _ in 0..count {
        drop(uring_loop::spawn(uring_loop::time::sleep(LONG)));
    }
    while uring_loop::Statistics::current().timers < others + count {
        uring_loop::yield_now().await;
    }
}

/// What a task costs that has a connection, in a sentence.
fn with_connections(order: &Order) -> anyhow::Result<String> {
    crate::pin::raise_file_limit()?;
    meter::confine(&order.cores[..1])?;
    let each = cores::event_loop()?.run_until_complete(connections())??;
    Ok(format!(
        "a task with an idle connection costs {}, and the kernel {}, the client's end included",
        Bytes(each.user),
        Bytes(each.kernel.sum())
    ))
}

/// What a connection costs whose receive is pending, the task that waits for it included.
async fn connections() -> anyhow::Result<Pages> {
    // Both ends are of this process.
    let most = CONNECTIONS.min(limits::most_files() / 3).max(2);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let (mut clients, mut looks) = (Vec::with_capacity(most), Vec::new());
    for count in [first(most), most] {
        while clients.len() < count {
            clients.push(std::net::TcpStream::connect(address)?);
            let mut stream = listener.accept().await?;
            drop(uring_loop::spawn(async move {
                let ended = stream.recv().await;
                drop(ended);
            }));
        }
        // All have their first step.
        uring_loop::time::sleep(Duration::from_millis(10)).await;
        looks.push(Pages::now()?);
    }
    Ok(looks[1].each(looks[0], most - first(most)))
}

/// What a task costs that sleeps on one of several loops.
fn tasks_on_shards(stage: &mut Stage<'_>, units: usize) -> anyhow::Result<Pages> {
    let cores = &stage.order.cores;
    let here = units.div_ceil(cores.len());
    // All loops, and who looks.
    let step = Arc::new(Barrier::new(cores.len() + 1));
    let seen = Arc::clone(&step);
    let shards = cores::shards(cores, move |_| async move {
        meter::note("loop thread");
        for count in [first(here), here - first(here)] {
            sleepers(count).await;
            // The loop stands still until it was looked at.
            seen.wait();
            seen.wait();
        }
        Ok(())
    })?;
    let mut looks = Vec::new();
    for _ in 0..2 {
        step.wait();
        looks.push(Pages::now()?);
        if looks.len() == 2 {
            stage.last();
        }
        step.wait();
    }
    let ended = shards.join()?;
    ensure!(ended.len() == stage.order.cores.len(), "a loop was lost");
    let added = (here - first(here)) * ended.len();
    Ok(looks[1].each(looks[0], added))
}

/// What a worker of a pool costs that has done a job and waits for the next.
///
/// # Errors
///
/// When one can't be started.
pub fn workers(stage: &mut Stage<'_>, units: usize) -> anyhow::Result<Pages> {
    let (mut pools, mut looks) = (Vec::new(), Vec::new());
    for count in [first(units), units - first(units)] {
        let workers = NonZeroUsize::new(count).context("a pool without workers")?;
        let pool = ProcessPool::builder().workers(workers.get()).build()?;
        // As long as all of them are at work, none takes a second.
        let jobs: Vec<_> = (0..count).map(|_| pool.submit(rest, (50,))).collect();
        jobs.into_iter().try_for_each(|job| job.wait())?;
        pools.push(pool);
        looks.push(Pages::now()?);
    }
    stage.last();
    stage.watch.look_and_note("worker process");
    pools.into_iter().for_each(|pool| pool.shutdown(true, false));
    Ok(looks[1].each(looks[0], units - first(units)))
}

fn rest(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// What a process with an idle loop costs.
fn processes(stage: &mut Stage<'_>, units: usize) -> anyhow::Result<Pages> {
    let cores = &stage.order.cores;
    let (mut processes, mut looks) = (Vec::new(), Vec::new());
    for count in [first(units), units] {
        let old = processes.len();
        while processes.len() < count {
            let core = cores[processes.len() % cores.len()];
            let part = Part { core, life: stage.order.life, what: What::Idle };
            processes.push(Worker::start(&part)?);
        }
        processes[old..].iter_mut().try_for_each(Worker::wait_ready)?;
        looks.push(Pages::now()?);
    }
    stage.last();
    for process in processes {
        process.finish()?;
    }
    Ok(looks[1].each(looks[0], units - first(units)))
}

#[cfg(test)]
mod tests {
    // What a unit costs is looked at in processes of its own: tests/it/workloads.rs.
    use super::super::Workload;
    use super::*;

    #[test]
    fn what_has_no_units_is_refused() {
        let order = Order::new(Workload::Memory, Model::Sequential);
        assert!(run(&order).unwrap_err().to_string().contains("no unit"));
    }
}
