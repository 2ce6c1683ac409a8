//! What is run: the pairs of workload and model, how much of each, and how often.
//!
//! The names are those of `workload --list`; the sizes are chosen for a machine with two cores.

use std::fmt::Write as _;
use std::time::Duration;

/// How long all runs of `--quick` may take together.
const QUICK: Duration = Duration::from_secs(60);
/// What is kept of that for tables and the record, and for a run that is slower than before.
const RESERVE: Duration = Duration::from_secs(4);

/// A kind of work, as `workload` knows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Workload {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// What its size counts.
    pub(super) unit: &'static str,
    size: usize,
    quick_size: usize,
}

/// A way to organise it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
}

pub(super) const WORKLOADS: [Workload; 5] = [
    Workload {
        name: "primes",
        about: "five easy numbers, then primes and semiprimes of 14 and 15 digits",
        unit: "numbers",
        size: 133,
        quick_size: 53,
    },
    Workload {
        name: "sleepers",
        about: "10 000 waits of 20 ms",
        unit: "waits",
        size: 10_000,
        quick_size: 10_000,
    },
    Workload {
        name: "echo",
        about: "64 B there and back over 50 connections",
        unit: "requests",
        size: 100_000,
        quick_size: 15_000,
    },
    Workload {
        name: "copy",
        about: "a folder of files of 1 to 128 KiB",
        unit: "files",
        size: 4_000,
        quick_size: 1_000,
    },
    Workload {
        name: "mixed",
        about: "requests over 50 connections, each with a wait of 2 ms and 1 ms of CPU",
        unit: "requests",
        size: 1_000,
        quick_size: 300,
    },
];

pub(super) const SEQUENTIAL: &str = "sequential";

pub(super) const MODELS: [Model; 7] = [
    Model { name: SEQUENTIAL, label: "one thread in sequence" },
    Model { name: "thread-per-job", label: "a thread per job" },
    Model { name: "threadpool", label: "ThreadPool" },
    Model { name: "coroutines", label: "coroutines on one loop" },
    Model { name: "loop-per-core", label: "a loop per core" },
    Model { name: "processpool", label: "ProcessPool" },
    Model { name: "process-per-core", label: "a process per core" },
];

/// Models that would take minutes for what the others do in milliseconds: how many jobs they do in
/// place of all, and how many with `--quick`.
const SUBSAMPLES: &[(&str, &str, Option<usize>, usize)] = &[
    ("sleepers", SEQUENTIAL, Some(100), 20),
    ("sleepers", "processpool", Some(100), 40),
    ("sleepers", "threadpool", None, 1_280),
    ("echo", SEQUENTIAL, Some(20_000), 5_000),
    ("mixed", SEQUENTIAL, None, 150),
];

/// One thing to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) workload: &'static Workload,
    pub(super) model: &'static Model,
    pub(super) size: usize,
    /// Do only so many.
    pub(super) sample: Option<usize>,
}

/// All that is to be run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) quick: bool,
    pub(super) rounds: usize,
    pub(super) pairs: Vec<Pair>,
}

impl Plan {
    /// Everything whose workload or model has `filter` in its name, and for each workload the
    /// sequential run that the others are compared with. `WORKLOAD/MODEL` names one pair.
    pub(super) fn new(filter: Option<&str>, quick: bool) -> Self {
        let mut pairs = Vec::new();
        for workload in &WORKLOADS {
            let wanted = |model: &&Model| filter.is_none_or(|f| matches(f, workload, model));
            if !MODELS.iter().any(|model| wanted(&model)) {
                continue;
            }
            let models = MODELS.iter().filter(|model| model.name == SEQUENTIAL || wanted(model));
            pairs.extend(models.map(|model| Pair::new(workload, model, quick)));
        }
        Self { quick, rounds: if quick { 5 } else { 9 }, pairs }
    }

    /// Whether there is time for another round, after `elapsed`, when the longest took `longest`.
    pub(super) fn has_time(&self, elapsed: Duration, longest: Duration) -> bool {
        !self.quick || elapsed + longest.mul_f64(1.1) + RESERVE <= QUICK
    }

    /// How long one run may still take after `elapsed`.
    pub(super) fn limit(&self, elapsed: Duration) -> Option<Duration> {
        let whole = if self.quick { QUICK.checked_sub(elapsed + RESERVE / 2)? } else { RUN };
        Some(whole.min(RUN)).filter(|limit| *limit >= Duration::from_secs(1))
    }

    /// The workloads that take part.
    pub(super) fn workloads(&self) -> impl Iterator<Item = &'static Workload> {
        WORKLOADS.iter().filter(|w| self.pairs.iter().any(|pair| pair.workload == *w))
    }

    /// What would be run, for eyes.
    pub(super) fn list(&self) -> String {
        let mut text = String::new();
        for workload in self.workloads() {
            let size = self.pairs.iter().find(|pair| pair.workload == workload).map(|p| p.size);
            let size = size.unwrap_or_default();
            let _ =
                writeln!(text, "{}: {} ({size} {})", workload.name, workload.about, workload.unit);
            for pair in self.pairs.iter().filter(|pair| pair.workload == workload) {
                let sample = pair.sample.map_or(String::new(), |n| format!(", {n} of them"));
                let name = format!("{}/{}", workload.name, pair.model.name);
                let _ = writeln!(text, "  {name:<26} {}{sample}", pair.model.label);
            }
        }
        text
    }
}

/// The most one run may take: far more than any needs.
const RUN: Duration = Duration::from_secs(120);

impl Pair {
    fn new(workload: &'static Workload, model: &'static Model, quick: bool) -> Self {
        let size = if quick { workload.quick_size } else { workload.size };
        let sub = SUBSAMPLES.iter().find(|sub| sub.0 == workload.name && sub.1 == model.name);
        let sample = sub.and_then(|sub| if quick { Some(sub.3) } else { sub.2 });
        Self { workload, model, size, sample }
    }

    /// `primes, a thread per job`
    pub(super) fn title(&self) -> String {
        format!("{}, {}", self.workload.name, self.model.label)
    }
}

/// Every name a filter can match.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    WORKLOADS.iter().map(|workload| workload.name).chain(MODELS.iter().map(|model| model.name))
}

fn matches(filter: &str, workload: &Workload, model: &Model) -> bool {
    match filter.split_once('/') {
        Some((w, m)) => workload.name.contains(w) && model.name.contains(m),
        None => workload.name.contains(filter) || model.name.contains(filter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(filter: &str) -> usize {
        Plan::new(Some(filter), false).pairs.len()
    }

    #[test]
    fn without_a_filter_every_pair_is_run() {
        assert_eq!(Plan::new(None, true).pairs.len(), WORKLOADS.len() * MODELS.len());
    }

    #[test]
    fn a_filter_matches_workloads_models_and_pairs_and_keeps_the_baseline() {
        assert_eq!(count("echo"), 7);
        assert_eq!(count("coroutines"), 10, "five workloads, each with its sequential run");
        assert_eq!(count("pool"), 15);
        assert_eq!(count("primes/threadpool"), 2);
        assert_eq!(count("sequential"), 5);
        assert_eq!(count("nonsense"), 0);
    }

    #[test]
    fn every_subsample_is_of_a_pair_that_exists() {
        for (workload, model, full, quick) in SUBSAMPLES {
            let pairs = Plan::new(Some(&format!("{workload}/{model}")), true).pairs;
            let pair = pairs.iter().find(|pair| pair.model.name == *model);
            let pair = pair.expect("the pair exists");
            assert_eq!(pair.sample, Some(*quick));
            assert!(full.is_none_or(|full| full < pair.workload.size) && *quick < pair.size);
        }
    }

    #[test]
    fn quick_begins_no_round_that_would_end_too_late() {
        let s = Duration::from_secs;
        let quick = Plan::new(None, true);
        assert!(quick.has_time(s(15), s(15)));
        assert!(quick.has_time(s(30), s(15)));
        assert!(!quick.has_time(s(45), s(15)));
        assert!(Plan::new(None, false).has_time(s(4500), s(150)));
        assert!(quick.limit(s(10)).is_some_and(|limit| limit <= s(48)));
        assert_eq!(quick.limit(s(58)), None);
    }

    #[test]
    fn the_list_names_what_would_be_run() {
        let list = Plan::new(Some("sleepers"), true).list();
        assert!(list.contains("10000 waits"), "{list}");
        assert!(list.contains("sleepers/processpool"), "{list}");
        assert!(list.contains("20 of them"), "{list}");
        assert!(!list.contains("echo"), "{list}");
    }
}
