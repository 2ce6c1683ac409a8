//! Jobs under each model: primes, sleepers, copy, downloads. Runs in the measured process.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use pool::{ProcessPool, ThreadPool};

use super::cores::{self, Part, What, Worker};
use super::job::{Done, Job};
use super::meter;
use super::report::{Finding, Order};
use super::stage::Stage;
use super::{Model, Workload, limits, primes};

/// How long each sleeper sleeps.
pub const NAP: Duration = Duration::from_millis(20);

/// Threads of the thread pool where jobs wait.
pub const WAITING_THREADS: usize = 64;

/// Does what is ordered, and measures it.
///
/// # Errors
///
/// When a job fails or its result is wrong; [`cores::NoLoop`].
pub fn run(order: &Order) -> anyhow::Result<Finding> {
    measure(order, |stage, jobs| match order.model {
        Model::Sequential => sequential(stage, jobs),
        Model::ThreadPerJob => thread_per_job(stage, jobs),
        Model::ThreadPool => thread_pool(stage, jobs),
        Model::Coroutines => coroutines(stage, jobs),
        Model::LoopPerCore => loop_per_core(stage, jobs),
        Model::ProcessPool => process_pool(stage, jobs),
        Model::ProcessPerCore => process_per_core(stage, jobs),
        Model::Foreign(model) => bail!("{model} is a program of its own"),
    })
}

/// Measures how `work` does the jobs that are ordered, on the cores of the model, and checks what
/// came of them.
///
/// # Errors
///
/// When a job fails or its result is wrong; those of `work`.
pub fn measure(
    order: &Order,
    work: impl FnOnce(&mut Stage<'_>, Vec<Job>) -> anyhow::Result<Vec<Done>>,
) -> anyhow::Result<Finding> {
    let (jobs, reduced) = jobs(order)?;
    let mut stage = Stage::begin(order)?;
    let done = work(&mut stage, jobs.clone())?;
    // What comes now is no part of the work.
    let finding = stage.end(done.len(), done.iter().map(|done| done.took).collect())?;
    ensure!(done.len() == jobs.len(), "{} jobs gave {} results", jobs.len(), done.len());
    for (job, done) in jobs.iter().zip(&done) {
        job.verify(done)?;
    }
    Ok(Finding { reduced, ..finding })
}

/// The jobs, and why there are fewer than ordered if there are.
///
/// # Errors
///
/// When the workload has none.
pub fn jobs(order: &Order) -> anyhow::Result<(Vec<Job>, Option<String>)> {
    let room = limits::room(order);
    let count = room.as_ref().map_or(order.count(), |(most, _)| *most);
    let reduced = room.map(|(_, why)| why);
    let jobs = match order.workload {
        // Under growing load what grows is the number of jobs, not their weight.
        Workload::Primes if order.exact => primes::hard_numbers(count).map(Job::Prime).collect(),
        Workload::Primes => primes::sample(order.size, count).map(Job::Prime).collect(),
        Workload::Sleepers => vec![Job::Sleep(NAP); count],
        Workload::Copy => {
            let (from, to) = order.folder.as_ref().context("an order to copy without a folder")?;
            let job = |number| {
                let name = format!("{number:06}");
                Job::Copy { from: from.join(&name), to: to.join(&name) }
            };
            (0..count).map(job).collect()
        }
        Workload::Downloads => {
            ensure!(!order.servers.is_empty(), "an order to download without a server");
            let servers = order.servers.iter().cycle();
            let job = |(number, &server)| Job::Download { server, number };
            (0..count as u64).zip(servers).map(job).collect()
        }
        other => anyhow::bail!("{other} has no jobs"),
    };
    Ok((jobs, reduced))
}

fn sequential(stage: &mut Stage<'_>, jobs: Vec<Job>) -> anyhow::Result<Vec<Done>> {
    let done = jobs.into_iter().map(Job::blocking).collect();
    stage.last();
    done
}

fn thread_per_job(stage: &mut Stage<'_>, jobs: Vec<Job>) -> anyhow::Result<Vec<Done>> {
    /// All are alike: it is enough to look at some.
    const LOOKED_AT: usize = 8;
    let mut threads = Vec::with_capacity(jobs.len());
    for (number, job) in jobs.into_iter().enumerate() {
        let thread = std::thread::Builder::new().spawn(move || {
            if number < LOOKED_AT {
                meter::note("job thread");
            }
            job.blocking()
        });
        threads.push(thread.with_context(|| format!("starting thread {}", number + 1))?);
    }
    stage.watch.look();
    let done = threads.into_iter().map(|thread| thread.join().expect("a job panicked")).collect();
    stage.last();
    done
}

fn thread_pool(stage: &mut Stage<'_>, jobs: Vec<Job>) -> anyhow::Result<Vec<Done>> {
    let waits = stage.order.workload.waits();
    let threads = if waits { WAITING_THREADS } else { stage.order.cores.len() };
    let pool = ThreadPool::builder()
        .threads(threads)
        .pin_cores(!waits)
        .initializer(|| meter::note("pool thread"))
        .build()?;
    let jobs: Vec<_> = jobs.into_iter().map(|job| pool.spawn(move || job.blocking())).collect();
    let done = jobs.into_iter().map(|job| job.wait()?).collect();
    stage.last();
    done
}

fn coroutines(stage: &mut Stage<'_>, jobs: Vec<Job>) -> anyhow::Result<Vec<Done>> {
    let count = jobs.len();
    let jobs = cores::deal(jobs, 1).remove(0);
    let results = cores::on_one_loop(jobs, Job::at_a_time(stage.order.workload))?;
    stage.last();
    cores::collect(count, results)
}

fn loop_per_core(stage: &mut Stage<'_>, jobs: Vec<Job>) -> anyhow::Result<Vec<Done>> {
    let count = jobs.len();
    let lanes = Job::at_a_time(stage.order.workload);
    let shares = Arc::new(Mutex::new(cores::deal(jobs, stage.order.cores.len())));
    let shards = cores::shards(&stage.order.cores, move |shard| async move {
        meter::note("loop thread");
        let share = {
            let mut all = shares.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut all[shard.index()])
        };
        cores::on_this_loop(share, lanes).await
    })?;
    stage.watch.look();
    let mut results = Vec::with_capacity(count);
    for ended in shards.join()? {
        results.extend(ended.returned().context("a shard was stopped")?);
    }
    stage.last();
    cores::collect(count, results)
}

/// What crosses to a worker process: it has no `anyhow::Error` to send back.
fn in_a_worker(job: Job) -> Result<Done, String> {
    job.blocking().map_err(|error| format!("{error:#}"))
}

fn process_pool(stage: &mut Stage<'_>, jobs: Vec<Job>) -> anyhow::Result<Vec<Done>> {
    let workers = NonZeroUsize::new(stage.order.cores.len()).map_or(1, NonZeroUsize::get);
    let pool = ProcessPool::builder().workers(workers).build()?;
    let jobs: Vec<_> = jobs.into_iter().map(|job| pool.submit(in_a_worker, (job,))).collect();
    let done = jobs.into_iter().map(|job| job.wait()?.map_err(anyhow::Error::msg)).collect();
    stage.last();
    stage.watch.look_and_note("worker process");
    // The children's cost is known when they have been waited for.
    pool.shutdown(true, false);
    done
}

fn process_per_core(stage: &mut Stage<'_>, jobs: Vec<Job>) -> anyhow::Result<Vec<Done>> {
    let count = jobs.len();
    let lanes = Job::at_a_time(stage.order.workload);
    let shares = cores::deal(jobs, stage.order.cores.len());
    let parts = shares.into_iter().zip(&stage.order.cores).map(|(share, &core)| Part {
        core,
        life: stage.order.life,
        what: What::Jobs(share, lanes),
    });
    let workers: Vec<Worker> =
        parts.map(|part| Worker::start(&part)).collect::<anyhow::Result<_>>()?;
    stage.watch.look();
    let mut results = Vec::with_capacity(count);
    for worker in workers {
        results.extend(worker.finish()?);
    }
    stage.last();
    cores::collect(count, results)
}
