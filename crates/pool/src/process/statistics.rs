//! `Statistics`: what a process pool is doing, worker by worker.

use std::time::{Duration, Instant};

use super::hub::State;
use super::link::Worker;

/// What a process pool is doing; made by
/// [`ProcessPool::statistics`](crate::ProcessPool::statistics). A picture of one moment.
///
/// # Examples
///
/// ```
/// use pool::{PoolState, ProcessPool};
///
/// fn main() -> std::io::Result<()> {
///     pool::init();
///     let pool = ProcessPool::builder().workers(2).build()?;
///     assert_eq!(pool.submit(|n: u32| n + 1, (1,)).wait(), Ok(2));
///     let statistics = pool.statistics();
///     assert_eq!((statistics.done, statistics.deaths), (1, 0));
///     assert_eq!(statistics.state, PoolState::Open);
///     for worker in &statistics.workers {
///         println!("{}: {:?}, {:?} bytes", worker.pid, worker.state, worker.memory);
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Statistics {
    /// The workers that are ready, in no particular order.
    pub workers: Vec<WorkerStatistics>,
    /// Workers that are being started, or are about to be.
    pub starting: usize,
    /// Jobs that no worker has been given.
    pub backlog: usize,
    /// Jobs and chunks of maps that workers have answered.
    pub done: u64,
    /// Workers that have become ready, ever.
    pub started: u64,
    /// Workers that have ended without being told to, ever: crashed, or killed for a job.
    pub deaths: u64,
    /// Whether the pool takes jobs.
    pub state: PoolState,
}

/// Whether a pool takes jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolState {
    /// It does.
    Open,
    /// It was shut down; jobs from before may still run.
    Closing,
    /// It cannot run anything, for this reason.
    Broken(String),
}

/// What one worker process is doing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorkerStatistics {
    /// Its process id.
    pub pid: u32,
    /// What it is doing.
    pub state: WorkerState,
    /// The name of the job it runs.
    pub job: Option<String>,
    /// For how long it has been running that job (or, of a map with a timeout, that item), or has
    /// been idle.
    pub since: Duration,
    /// Jobs in its queue that it has not started.
    pub queued: usize,
    /// Jobs and chunks it has answered.
    pub done: u64,
    /// Its resident memory, in bytes; `None` if the kernel does not tell (any more).
    pub memory: Option<u64>,
}

/// What a worker process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkerState {
    /// It waits for jobs.
    Idle,
    /// It runs one.
    Running,
    /// It is about to end.
    Ending,
}

impl State {
    /// `memory` is left open: asking the kernel for it takes too long under the lock.
    pub(super) fn statistics(&self) -> Statistics {
        let state = match (&self.broken, self.closing) {
            (Some(reason), _) => PoolState::Broken(reason.clone()),
            (None, true) => PoolState::Closing,
            (None, false) => PoolState::Open,
        };
        Statistics {
            workers: self.workers.iter().map(Worker::statistics).collect(),
            starting: self.starting + self.missing(),
            backlog: self.backlog.iter().filter(|cell| !cell.is_over()).count(),
            done: self.done,
            started: self.started,
            deaths: self.deaths,
            state,
        }
    }
}

impl Worker {
    fn statistics(&self) -> WorkerStatistics {
        let running = self.jobs().find(|cell| cell.is_claimed());
        let (state, since) = match running {
            _ if !self.is_sound() => (WorkerState::Ending, Duration::ZERO),
            Some(_) => (WorkerState::Running, self.running_for()),
            None => (WorkerState::Idle, Instant::now() - self.idle_since),
        };
        WorkerStatistics {
            pid: self.pid,
            state,
            job: running.map(|cell| cell.task.to_string()),
            since,
            queued: self.jobs().filter(|cell| !cell.is_claimed() && !cell.is_over()).count(),
            done: self.answered,
            memory: None,
        }
    }
}

/// The resident memory of a process, in bytes.
pub(super) fn resident(pid: u32) -> Option<u64> {
    // The second number, in pages: proc_pid_statm(5).
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok()??;
    Some(pages * page as u64)
}
