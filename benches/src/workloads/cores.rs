//! One event loop on this thread with its share of the work, and processes that each have one:
//! this program started again as `workload part`, which reads its part from stdin.
//!
//! The end of a serving part comes with the end of its stdin.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::rc::Rc;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use shard::{Shard, Shards};
use uring_loop::EventLoop;

use super::job::{Done, Job};
use super::million::{self, Schedule, Slept};
use super::report::Pin;
use super::server;
use super::service::Service;
use super::{file_ops, meter};

/// A job and its place among all jobs.
pub type Placed<T> = (usize, T);

/// This machine has no event loop to offer; the text says why.
#[derive(Debug)]
pub struct NoLoop(pub String);

impl fmt::Display for NoLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoLoop {}

/// Makes an event loop for this thread.
///
/// # Errors
///
/// [`NoLoop`], when the kernel refuses.
pub fn event_loop() -> anyhow::Result<EventLoop> {
    EventLoop::new().map_err(|error| NoLoop(error.to_string()).into())
}

/// Starts a shard on each of `cores`, and `service` on each. What fails there fails here, with the
/// shard's number.
///
/// # Errors
///
/// [`NoLoop`], when a shard gets no thread, core or loop.
pub fn shards<S, F, T>(cores: &[usize], service: S) -> anyhow::Result<Shards<T>>
where
    S: FnOnce(Shard) -> F + Clone + Send + 'static,
    F: Future<Output = anyhow::Result<T>> + 'static,
    T: Send + 'static,
{
    let service = move |shard| async move {
        service(shard).await.map_err(|error| io::Error::other(format!("{error:#}")))
    };
    let shards = Shards::builder().cpus(cores.iter().copied()).name("loop").spawn(service);
    shards.map_err(|error| NoLoop(error.to_string()).into())
}

/// Deals the jobs out, one to each share in turn.
#[must_use]
pub fn deal(jobs: Vec<Job>, shares: usize) -> Vec<Vec<Placed<Job>>> {
    let mut dealt = vec![Vec::new(); shares];
    for (place, job) in jobs.into_iter().enumerate() {
        dealt[place % shares].push((place, job));
    }
    dealt
}

/// Puts results into the order of the jobs.
///
/// # Errors
///
/// When a result is missing or came twice.
pub fn collect(count: usize, results: Vec<Placed<Done>>) -> anyhow::Result<Vec<Done>> {
    let mut places = vec![None; count];
    for (place, done) in results {
        ensure!(places[place].replace(done).is_none(), "job {place} was done twice");
    }
    let missing = places.iter().filter(|done| done.is_none()).count();
    ensure!(missing == 0, "{missing} jobs were lost");
    Ok(places.into_iter().flatten().collect())
}

/// Runs jobs as coroutines on a new loop of this thread, `lanes` at a time.
///
/// # Errors
///
/// [`NoLoop`], and the first error of a job.
pub fn on_one_loop(jobs: Vec<Placed<Job>>, lanes: usize) -> anyhow::Result<Vec<Placed<Done>>> {
    event_loop()?.run_until_complete(on_this_loop(jobs, lanes))?
}

/// Runs jobs as coroutines on the loop of this thread, `lanes` at a time.
///
/// # Errors
///
/// The first error of a job.
///
/// # Cancel safety
///
/// None: the jobs that have begun go on and their results are lost.
pub async fn on_this_loop(
    jobs: Vec<Placed<Job>>,
    lanes: usize,
) -> anyhow::Result<Vec<Placed<Done>>> {
    let lanes = lanes.min(jobs.len());
    let queue = Rc::new(RefCell::new(VecDeque::from(jobs)));
    let tasks: Vec<_> = (0..lanes).map(|_| uring_loop::spawn(lane(Rc::clone(&queue)))).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.extend(task.await.map_err(io::Error::from)??);
    }
    Ok(results)
}

/// Takes jobs until none is left.
async fn lane(queue: Rc<RefCell<VecDeque<Placed<Job>>>>) -> anyhow::Result<Vec<Placed<Done>>> {
    let mut results = Vec::new();
    loop {
        let next = queue.borrow_mut().pop_front();
        let Some((place, job)) = next else { return Ok(results) };
        let done = job.coroutine().await.with_context(|| format!("job {place}"))?;
        results.push((place, done));
    }
}

/// What a process on one core is to do.
#[derive(Debug, Serialize, Deserialize)]
pub struct Part {
    /// Where it runs.
    pub core: usize,
    /// After so many seconds it ends in any case.
    pub life: u32,
    /// What it does.
    pub what: What,
}

/// The kinds of work.
#[derive(Debug, Serialize, Deserialize)]
pub enum What {
    /// Jobs, so many at a time.
    Jobs(Vec<Placed<Job>>, usize),
    /// Serve at this port, which others may share.
    Serve(u16, Service),
    /// Have a loop, and nothing to do.
    Idle,
    /// So many waits at once.
    Sleep(usize, Schedule),
}

/// What a part has to tell when it ends.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct PartDone {
    refused: Option<String>,
    done: Vec<Placed<Done>>,
    slept: Option<Slept>,
    pins: Vec<Pin>,
}

/// A part under way.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts this program again with `part`.
    ///
    /// # Errors
    ///
    /// When it can't be started or doesn't listen.
    pub fn start(part: &Part) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("part")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a process for a core")?;
        let stdout = BufReader::new(child.stdout.take().context("a child without stdout")?);
        let mut worker = Self { child, stdout };
        let mut line = serde_json::to_vec(part)?;
        line.push(b'\n');
        let stdin = worker.child.stdin.as_mut().context("a child without stdin")?;
        stdin.write_all(&line).context("telling a process its part")?;
        Ok(worker)
    }

    /// Waits until it serves.
    ///
    /// # Errors
    ///
    /// When it ends instead.
    pub fn wait_ready(&mut self) -> anyhow::Result<()> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        ensure!(line == "ready\n", "a process on a core said {line:?} instead of being ready");
        Ok(())
    }

    /// Waits for its end, and notes its pins.
    ///
    /// # Errors
    ///
    /// When it failed, or had no loop.
    pub fn finish(self) -> anyhow::Result<Vec<Placed<Done>>> {
        Ok(self.told()?.done)
    }

    /// Waits for the end of one that [sleeps](What::Sleep), and notes its pins.
    ///
    /// # Errors
    ///
    /// As [`finish`](Self::finish).
    pub fn finish_sleep(self) -> anyhow::Result<Slept> {
        self.told()?.slept.context("a process was to sleep, and did something else")
    }

    fn told(mut self) -> anyhow::Result<PartDone> {
        drop(self.child.stdin.take());
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "a process on a core failed: {status}");
        let told: PartDone =
            serde_json::from_str(&line).with_context(|| format!("a process said {line:?}"))?;
        if let Some(why) = told.refused {
            bail!(NoLoop(why));
        }
        meter::note_all(&told.pins);
        Ok(told)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Both fail only when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `workload part`: reads what to do from stdin, does it, says what came of it.
///
/// # Errors
///
/// When stdin doesn't say, or the work fails.
pub fn part() -> anyhow::Result<()> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let part: Part = serde_json::from_str(&line).context("reading the part from stdin")?;
    crate::serve::end_after(part.life);
    meter::confine(&[part.core])?;
    meter::note("process with a loop");
    let told = match perform(part.what) {
        Err(error) if error.is::<NoLoop>() => {
            PartDone { refused: Some(error.to_string()), ..PartDone::default() }
        }
        told => PartDone { pins: meter::notes(), ..told? },
    };
    println!("{}", serde_json::to_string(&told)?);
    Ok(())
}

fn perform(what: What) -> anyhow::Result<PartDone> {
    let mut told = PartDone::default();
    match what {
        What::Jobs(jobs, lanes) => told.done = on_one_loop(jobs, lanes)?,
        What::Serve(port, service) => {
            let stop = std::io::stdin().as_fd().try_clone_to_owned()?;
            server::one_of_several(port, service, stop, || println!("ready"))?;
        }
        What::Idle => {
            let stop = std::io::stdin().as_fd().try_clone_to_owned()?;
            event_loop()?.run_until_complete(async {
                println!("ready");
                file_ops::closed(stop).await
            })??;
        }
        What::Sleep(count, schedule) => told.slept = Some(million::part(count, schedule)?),
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn jobs(count: u64) -> Vec<Job> {
        (0..count).map(Job::Prime).collect()
    }

    #[test]
    fn jobs_are_dealt_in_turn_and_collected_in_order() {
        let dealt = deal(jobs(5), 2);
        assert_eq!(dealt[1], [(1, Job::Prime(1)), (3, Job::Prime(3))]);
        let results: Vec<_> = dealt
            .into_iter()
            .rev()
            .flatten()
            .map(|(place, _)| (place, Done { took: Duration::ZERO, answer: place as u64 }))
            .collect();
        let done = collect(5, results.clone()).unwrap();
        assert!(done.iter().enumerate().all(|(place, done)| done.answer == place as u64));
        assert!(collect(6, results.clone()).unwrap_err().to_string().contains("1 jobs were lost"));
        assert!(collect(5, [results.clone(), results].concat()).is_err());
    }

    #[test]
    fn every_job_of_a_loop_is_done_whatever_the_lanes() {
        for lanes in [1, 3, usize::MAX] {
            let results = on_one_loop(deal(jobs(10), 1).remove(0), lanes).unwrap();
            let primes = collect(10, results).unwrap().iter().map(|done| done.answer).sum::<u64>();
            assert_eq!(primes, 4);
        }
    }
}
