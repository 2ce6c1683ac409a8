//! Pieces of work, each done under seven models of concurrency: `workload`, driven by
//! `cargo xtask bench`. Models that are not ours are in [`crate::foreign`].
//!
//! * What is done: [`primes`], [`files`] (and [`file_ops`], the same on a ring), [`downloads`]
//!   (from [`web`]), [`job`] for the work that comes in jobs; [`kv`] (and [`kv_shards`], the store
//!   as processes), [`service`] for the work that comes over sockets.
//! * What concurrency itself costs: [`switches`], [`thrash`], [`million`], [`memory`].
//! * How: [`batch`] for jobs, [`server`] for sockets, [`cores`] for what runs on each core.
//! * Who asks and who looks on: [`client`] is the load maker, [`orchestra`] starts everything in
//!   processes of their own and watches them, [`stage`] is the frame of a run in the measured
//!   one, [`meter`] and [`pages`] count, [`limits`] says what there is room for, [`report`] is what
//!   comes out.

pub mod batch;
pub mod client;
pub mod cores;
pub mod downloads;
pub mod file_ops;
pub mod files;
pub mod job;
pub mod kv;
pub mod kv_shards;
pub mod limits;
pub mod memory;
pub mod meter;
pub mod million;
pub mod orchestra;
pub mod pages;
pub mod primes;
pub mod report;
pub mod server;
pub mod service;
pub mod stage;
pub mod switches;
pub mod thrash;
pub mod web;

use std::fmt;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::foreign::{self, Foreign};

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Checks numbers for being prime.
    Primes,
    /// Waits, many times 20 ms.
    Sleepers,
    /// Sends back 64 bytes, over 50 connections.
    Echo,
    /// Copies the files of a folder.
    Copy,
    /// Answers requests that need a wait of 2 ms and 1 ms of CPU, over 50 connections.
    Mixed,
    /// Gets 16 KiB by HTTP from a server that takes 20 ms, many times.
    Downloads,
    /// Gets and sets keys of a store, over 50 connections.
    Kv,
    /// Waits, a million at once.
    Million,
    /// Hands over from one unit to another and back, on one core.
    Switches,
    /// Computes in slices, with a lock after each, by 100 workers.
    Thrash,
    /// Has idle units, to see what one more costs.
    Memory,
}

/// How it is organised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// One thread, one job after the other.
    Sequential,
    /// A thread for each job.
    ThreadPerJob,
    /// `pool::ThreadPool`.
    #[serde(rename = "threadpool")]
    ThreadPool,
    /// Coroutines on one event loop.
    Coroutines,
    /// An event loop on each core, in one process.
    LoopPerCore,
    /// `pool::ProcessPool`.
    #[serde(rename = "processpool")]
    ProcessPool,
    /// A process on each core, each with an event loop.
    ProcessPerCore,
    /// Not ours: a program of its own.
    #[serde(untagged)]
    Foreign(Foreign),
}

impl Workload {
    /// All of them, in the order they are shown.
    pub const ALL: [Self; 11] = [
        Self::Primes,
        Self::Sleepers,
        Self::Downloads,
        Self::Echo,
        Self::Kv,
        Self::Copy,
        Self::Mixed,
        Self::Thrash,
        Self::Switches,
        Self::Million,
        Self::Memory,
    ];

    /// Whether requests come over sockets, from a load maker; else there are jobs.
    #[must_use]
    pub fn is_served(self) -> bool {
        matches!(self, Self::Echo | Self::Mixed | Self::Kv)
    }

    /// Whether a process beside the measured one has a part in it: a load maker, or a server.
    #[must_use]
    pub fn has_counterpart(self) -> bool {
        self.is_served() || self == Self::Downloads
    }

    /// Whether its jobs wait for something else than a core, so that a pool wants more threads than
    /// there are cores.
    #[must_use]
    pub fn waits(self) -> bool {
        matches!(self, Self::Sleepers | Self::Downloads)
    }

    /// How many units are at once where nothing else is said: connections, or all jobs.
    #[must_use]
    pub fn usual_load(self, size: usize) -> usize {
        match self {
            Self::Echo | Self::Mixed | Self::Kv => size.min(50),
            Self::Thrash => size.min(100),
            Self::Switches => 2,
            _ => size,
        }
    }

    /// Whether each of its jobs is a unit: all of `size` are given at once.
    #[must_use]
    pub fn is_all_at_once(self) -> bool {
        !self.is_served() && !matches!(self, Self::Thrash | Self::Switches)
    }

    /// Whether it comes in jobs that can be dealt out; else it is served, or asks what concurrency
    /// itself costs.
    #[must_use]
    pub fn has_jobs(self) -> bool {
        matches!(self, Self::Primes | Self::Sleepers | Self::Downloads | Self::Copy)
    }

    /// Whether it needs to know what a millisecond of work is.
    #[must_use]
    pub fn is_calibrated(self) -> bool {
        matches!(self, Self::Mixed | Self::Thrash)
    }

    /// One line about it; `size` is what the numbers of it count.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::Primes => "checks numbers for being prime, by trial division (size: numbers)",
            Self::Sleepers => "waits of 20 ms, all wanted at once (size: waits)",
            Self::Echo => "64 B there and back over 50 connections (size: requests)",
            Self::Copy => "copies a folder of files of 1 to 128 KiB (size: files)",
            Self::Downloads => {
                "gets 16 KiB from a server that takes 20 ms, all wanted at once (size: downloads)"
            }
            Self::Kv => "gets and sets keys of a store over 50 connections (size: requests)",
            Self::Million => "waits on timers of loops, all asleep at once (size: waits)",
            Self::Switches => "two units that wake each other, on one core (size: hand-overs)",
            Self::Thrash => {
                "slices of 50 us of CPU with 5 us under a lock, by 100 workers (size: slices)"
            }
            Self::Memory => "idle units: what one more costs (size: units)",
            Self::Mixed => {
                "answers after a wait of 2 ms and 1 ms of CPU, over 50 connections (size: requests)"
            }
        }
    }
}

impl Model {
    /// All of ours, in the order they are shown. Those of [`Foreign::ALL`] come behind them.
    pub const ALL: [Self; 7] = [
        Self::Sequential,
        Self::ThreadPerJob,
        Self::ThreadPool,
        Self::Coroutines,
        Self::LoopPerCore,
        Self::ProcessPool,
        Self::ProcessPerCore,
    ];

    /// Whether it has more than one core to run on.
    #[must_use]
    pub fn is_parallel(self) -> bool {
        match self {
            Self::Sequential | Self::Coroutines => false,
            Self::Foreign(model) => model.is_parallel(),
            _ => true,
        }
    }

    /// Whether it has processes of its own, which are looked at too.
    #[must_use]
    pub fn has_processes(self) -> bool {
        matches!(
            self,
            Self::ProcessPool | Self::ProcessPerCore | Self::Foreign(Foreign::PythonProcesses)
        )
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::ThreadPerJob => "thread-per-job",
            Self::ThreadPool => "threadpool",
            Self::Coroutines => "coroutines",
            Self::LoopPerCore => "loop-per-core",
            Self::ProcessPool => "processpool",
            Self::ProcessPerCore => "process-per-core",
            Self::Foreign(model) => model.name(),
        }
    }

    /// One line about it.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::Sequential => "one thread, one job after the other",
            Self::ThreadPerJob => "a thread per job (per connection, for servers)",
            Self::ThreadPool => "a ThreadPool: a thread per core, or 64 where jobs wait",
            Self::Coroutines => "coroutines on one event loop, on one core",
            Self::LoopPerCore => "an event loop per core, in one process",
            Self::ProcessPool => "a ProcessPool: a worker process per core",
            Self::ProcessPerCore => "a process per core, each with an event loop",
            Self::Foreign(model) => model.about(),
        }
    }
}

/// Why `model` can't do `workload`; `None` where it can.
#[must_use]
pub fn refusal(workload: Workload, model: Model) -> Option<&'static str> {
    match (workload, model) {
        (Workload::Echo, Model::ProcessPool) => Some(
            "a connection is a descriptor of the process that accepted it; what a job is given \
             crosses to a worker as bytes",
        ),
        (Workload::Kv, Model::ProcessPool) => Some(
            "the workers share no memory and take calls as they are free, so that none of them \
             has a key",
        ),
        (Workload::Thrash, Model::ProcessPool | Model::ProcessPerCore) => {
            Some("the lock and what it guards are memory of one process")
        }
        (
            Workload::Switches,
            Model::Sequential | Model::ThreadPool | Model::LoopPerCore | Model::ProcessPool,
        ) => {
            Some("it has no unit of its own to switch to: those of a thread, a task, a process do")
        }
        (Workload::Memory, Model::Sequential) => {
            Some("it has no unit that there could be one more of")
        }
        (_, Model::Foreign(model)) => foreign::refusal(workload, model),
        _ => None,
    }
}

impl clap::ValueEnum for Model {
    fn value_variants<'a>() -> &'a [Self] {
        static EVERY: LazyLock<Vec<Model>> = LazyLock::new(|| {
            Model::ALL.into_iter().chain(Foreign::ALL.map(Model::Foreign)).collect()
        });
        &EVERY
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(self.name().into())
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = clap::ValueEnum::to_possible_value(self);
        f.pad(value.as_ref().map_or("hidden", |value| value.get_name()))
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn json_and_command_line_use_the_same_names() {
        for workload in Workload::ALL {
            assert_eq!(serde_json::to_value(workload).unwrap(), workload.to_string());
        }
        for &model in Model::value_variants() {
            let json = serde_json::to_value(model).unwrap();
            assert_eq!(json, model.to_string());
            assert_eq!(serde_json::from_value::<Model>(json).unwrap(), model);
        }
    }

    #[test]
    fn every_workload_can_be_done_by_coroutines() {
        for workload in Workload::ALL {
            assert_eq!(refusal(workload, Model::Coroutines), None);
        }
    }
}
