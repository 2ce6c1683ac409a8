//! What goes in and what comes out, as JSON: the order for a run, what the measured process found,
//! and the line that `workload run` prints.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{Model, Workload};

/// Version of the layout of [`Report`].
pub const FORMAT: u32 = 2;

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
    /// How many units are at once: jobs given at once, or connections of the load maker.
    pub load: usize,
    /// It is asked what so great a load costs: what the machine has no room for is refused, not
    /// made smaller.
    pub exact: bool,
    /// What is copied and where to.
    pub folder: Option<(PathBuf, PathBuf)>,
    /// Where is downloaded from.
    pub servers: Vec<SocketAddr>,
    /// After so many seconds every process of the run ends, whatever it is doing.
    pub life: u32,
}

impl Order {
    /// One unit of work on core 0, alone.
    #[must_use]
    pub fn new(workload: Workload, model: Model) -> Self {
        Self {
            workload,
            model,
            size: 1,
            sample: None,
            cores: vec![0],
            load_core: 0,
            divisions: 0,
            load: 1,
            exact: false,
            folder: None,
            servers: Vec::new(),
            life: 300,
        }
    }

    /// How many connections the load maker opens: none without a request to send.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.load.min(self.count())
    }

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

/// [`Latency`], and how the times lie between.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// Three of them.
    #[serde(flatten)]
    pub latency: Latency,
    /// The buckets that are not empty, ascending: the longest time that falls into it in
    /// nanoseconds, and how many did. There are 16 of equal width to a doubling.
    pub histogram: Vec<(u64, u64)>,
}

impl Times {
    /// Sorts the times (nearest-rank percentiles) and counts them.
    #[must_use]
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let ns = |time: &Duration| time.as_nanos() as u64;
        let at = |share: f64| {
            let rank = (share * times.len() as f64).ceil() as usize;
            times.get(rank.saturating_sub(1)).map_or(0, ns)
        };
        let latency = Latency { p50_ns: at(0.5), p99_ns: at(0.99), max_ns: at(1.0) };
        // One digit that counts: 32 buckets, of which the upper half is kept at each doubling.
        let mut histogram = Histogram::<u64>::new(1).expect("one digit is allowed");
        for time in &times {
            // It grows to whatever is recorded, as far as memory goes.
            histogram.record(ns(time)).expect("a histogram that resizes takes every time");
        }
        let buckets = histogram.iter_recorded();
        let histogram =
            buckets.map(|step| (step.value_iterated_to(), step.count_at_value())).collect();
        Self { latency, histogram }
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
    pub times: Times,
    /// What one more unit costs in bytes of user memory, if that was asked.
    pub unit_bytes: Option<u64>,
    /// What else one should know.
    pub remarks: Vec<String>,
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
    /// How many units were at once: jobs given at once, or connections of the load maker.
    pub load: usize,
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
    pub times: Times,
    /// What one more unit costs in bytes of user memory; none where it isn't asked.
    pub unit_bytes: Option<u64>,
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
        assert_eq!(Times::of(times).latency, Latency { p50_ns: 100, p99_ns: 198, max_ns: 200 });
        let one = Times::of(vec![Duration::from_nanos(7)]);
        assert_eq!(one.latency, Latency { p50_ns: 7, p99_ns: 7, max_ns: 7 });
        assert_eq!(Times::of(Vec::new()), Times::default());
    }

    #[test]
    fn a_histogram_has_every_time_in_a_bucket_that_is_not_much_wider() {
        let times: Vec<u64> = (0..30).map(|power| 3_u64.pow(power).min(5_000_000_000)).collect();
        let all = Times::of(times.iter().copied().map(Duration::from_nanos).collect()).histogram;
        assert_eq!(all.iter().map(|(_, count)| count).sum::<u64>(), 30);
        assert!(all.is_sorted_by(|a, b| a.0 < b.0) && all.iter().all(|(_, count)| *count > 0));
        for time in times {
            let (upper, _) = all.iter().find(|(upper, _)| *upper >= time).unwrap();
            assert!(*upper as f64 <= time as f64 * 17.0 / 16.0, "{time} is in {upper}");
        }
    }

    #[test]
    fn a_report_has_its_times_at_the_top() {
        let times = Times::of(vec![Duration::from_nanos(40); 3]);
        let value = serde_json::to_value(&times).unwrap();
        assert_eq!(value["p50_ns"], 40);
        assert_eq!(value["histogram"], serde_json::json!([[41, 3]]));
        assert_eq!(serde_json::from_value::<Times>(value).unwrap(), times);
    }
}
