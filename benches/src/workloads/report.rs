//! What goes in and what comes out, as JSON: the order for a run, what the measured process found,
//! and the line that `workload run` prints.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Model, Workload};

/// Version of the layout of [`Report`].
pub const FORMAT: u32 = 1;

/// One run: what, how, how much, where.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// What is done.
    pub workload: Workload,
    /// How.
    pub model: Model,
    /// Jobs or requests of the whole workload.
    pub size: usize,
    /// Do only so many of them.
    pub sample: Option<usize>,
    /// The cores of the measured processes.
    pub cores: Vec<usize>,
    /// The core of the load maker.
    pub load_core: usize,
    /// Divisions in a millisecond of CPU time.
    pub divisions: u64,
    /// Connections of the load maker.
    pub connections: usize,
    /// What is copied and where to.
    pub folder: Option<(PathBuf, PathBuf)>,
    /// After so many seconds every process of the run ends, whatever it is doing.
    pub life: u32,
}

impl Order {
    /// How many jobs or requests are in fact done, unless the machine allows fewer.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sample.map_or(self.size, |sample| sample.min(self.size))
    }
}

/// Which cores a thread or process may run on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pin {
    /// What it is.
    pub who: String,
    /// The kernel's list of cores, as `0` or `0-1`.
    pub cores: String,
    /// How many of them were looked at.
    pub count: usize,
}

/// The most that was seen at a time, of all processes of the model together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Threads.
    pub threads: u64,
    /// Processes.
    pub processes: u64,
    /// The peaks of the processes' resident memory, added up, in bytes.
    pub peak_bytes: u64,
}

impl Seen {
    /// The greater of both, field by field.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            threads: self.threads.max(other.threads),
            processes: self.processes.max(other.processes),
            peak_bytes: self.peak_bytes.max(other.peak_bytes),
        }
    }
}

/// CPU time and switches, of a process and those that it waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// User and system time.
    pub cpu: Duration,
    /// Times a thread gave the CPU up to wait.
    pub voluntary: u64,
    /// Times a thread had it taken away.
    pub involuntary: u64,
}

/// Times from the begin of a job to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of the jobs took no longer, in nanoseconds.
    pub p50_ns: u64,
    /// 99 of 100 took no longer.
    pub p99_ns: u64,
    /// None took longer.
    pub max_ns: u64,
}

impl Latency {
    /// Sorts the times (nearest-rank percentiles).
    #[must_use]
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |share: f64| {
            let rank = (share * times.len() as f64).ceil() as usize;
            times.get(rank.saturating_sub(1)).map_or(0, |time| time.as_nanos() as u64)
        };
        Self { p50_ns: at(0.5), p99_ns: at(0.99), max_ns: at(1.0) }
    }
}

/// What the measured process, or the load maker, has to tell when it ends.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Finding {
    /// Why it could not be done at all; the rest means nothing then.
    pub refused: Option<String>,
    /// Jobs or requests done.
    pub done: usize,
    /// Why fewer than ordered.
    pub reduced: Option<String>,
    /// From the begin of the first job to the end of the last, the start of the model's threads
    /// and processes included.
    pub wall: Duration,
    /// What that took; the end of threads and processes included.
    pub cost: Cost,
    /// Per job.
    pub latency: Latency,
    /// Where the threads and processes were allowed to run.
    pub pins: Vec<Pin>,
    /// What the process saw of itself.
    pub seen: Seen,
}

/// The line that `workload run` prints.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// What was done.
    pub workload: Workload,
    /// How.
    pub model: Model,
    /// Why it could not be done; the numbers are 0 then.
    pub refused: Option<String>,
    /// Jobs or requests of the whole workload.
    pub size: usize,
    /// Those that were done. All numbers below are for these.
    pub done: usize,
    /// Why these are fewer.
    pub sampled: Option<String>,
    /// Nanoseconds from the first begin to the last end.
    pub wall_ns: u64,
    /// CPU time of the model's processes in nanoseconds.
    pub cpu_ns: u64,
    /// Switches to wait.
    pub voluntary: u64,
    /// Switches forced.
    pub involuntary: u64,
    /// At a time.
    #[serde(flatten)]
    pub seen: Seen,
    /// Per job, or per request as the load maker sees it.
    #[serde(flatten)]
    pub latency: Latency,
    /// The cores of every thread and process, the load maker's included.
    pub pins: Vec<Pin>,
    /// CPU time of the load maker; it is not in `cpu_ns`.
    pub load_cpu_ns: Option<u64>,
    /// What else one should know.
    pub remarks: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let times = (1..=200).map(Duration::from_nanos).rev().collect();
        assert_eq!(Latency::of(times), Latency { p50_ns: 100, p99_ns: 198, max_ns: 200 });
        let one = Latency::of(vec![Duration::from_nanos(7)]);
        assert_eq!(one, Latency { p50_ns: 7, p99_ns: 7, max_ns: 7 });
        assert_eq!(Latency::of(Vec::new()), Latency::default());
    }
}
