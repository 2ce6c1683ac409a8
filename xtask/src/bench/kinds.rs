//! What there is to run: the workloads, their sizes and curves, and the models.
//!
//! The names are those of `workload --list`; the sizes are chosen for a machine with two cores.

/// A kind of work, as `workload` knows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Workload {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// What its size counts.
    pub(super) unit: &'static str,
    pub(super) size: usize,
    pub(super) quick_size: usize,
    pub(super) curve: Option<Curve>,
}

/// The loads that a workload is measured under beside the usual one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Curve {
    /// What the load counts.
    pub(super) unit: &'static str,
    /// Ascending.
    pub(super) loads: &'static [usize],
    /// Those of `--quick`, ascending.
    pub(super) quick_loads: &'static [usize],
    /// The size at a load is so much for each unit of it …
    pub(super) each: usize,
    /// … and at least this.
    pub(super) least: usize,
}

/// A way to organise it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
}

impl Curve {
    const fn of_jobs(loads: &'static [usize], quick_loads: &'static [usize]) -> Option<Self> {
        Some(Self { unit: "jobs", loads, quick_loads, each: 1, least: 1 })
    }

    const fn of_connections(
        loads: &'static [usize],
        quick_loads: &'static [usize],
        each: usize,
        least: usize,
    ) -> Option<Self> {
        Some(Self { unit: "connections", loads, quick_loads, each, least })
    }

    /// How much is done under a load.
    pub(super) fn size(&self, load: usize) -> usize {
        (self.each * load).max(self.least)
    }
}

pub(super) const WORKLOADS: [Workload; 7] = [
    Workload {
        name: "primes",
        about: "five easy numbers, then primes and semiprimes of 14 and 15 digits",
        unit: "numbers",
        size: 133,
        quick_size: 53,
        curve: Curve::of_jobs(&[1, 2, 5, 10, 100, 1_000, 10_000], &[]),
    },
    Workload {
        name: "sleepers",
        about: "10 000 waits of 20 ms",
        unit: "waits",
        size: 10_000,
        quick_size: 10_000,
        curve: Curve::of_jobs(&[1, 10, 50, 100, 300, 1_000, 3_000, 10_000], &[1, 100, 1_000]),
    },
    Workload {
        name: "downloads",
        about: "1 000 times 16 KiB by HTTP, from a server that takes 20 ms",
        unit: "downloads",
        size: 1_000,
        quick_size: 400,
        curve: Curve::of_jobs(&[1, 10, 50, 100, 300, 1_000, 3_000, 10_000], &[]),
    },
    Workload {
        name: "echo",
        about: "64 B there and back over 50 connections",
        unit: "requests",
        size: 100_000,
        quick_size: 15_000,
        curve: Curve::of_connections(&[1, 10, 100, 1_000, 10_000], &[1, 10, 100], 3, 10_000),
    },
    Workload {
        name: "kv",
        about: "keys of 64 B are got and set, three to one, over 50 connections",
        unit: "requests",
        size: 100_000,
        quick_size: 15_000,
        curve: Curve::of_connections(&[1, 10, 100, 1_000, 10_000], &[], 3, 10_000),
    },
    Workload {
        name: "copy",
        about: "a folder of files of 1 to 128 KiB",
        unit: "files",
        size: 4_000,
        quick_size: 1_000,
        curve: Curve::of_jobs(&[1, 10, 100, 1_000, 10_000], &[]),
    },
    Workload {
        name: "mixed",
        about: "requests over 50 connections, each with a wait of 2 ms and 1 ms of CPU",
        unit: "requests",
        size: 1_000,
        quick_size: 300,
        curve: Curve::of_connections(&[1, 2, 5, 10, 100, 1_000, 10_000], &[], 1, 200),
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
pub(super) const SUBSAMPLES: &[(&str, &str, Option<usize>, usize)] = &[
    ("sleepers", SEQUENTIAL, Some(100), 20),
    ("sleepers", "processpool", Some(100), 40),
    ("sleepers", "threadpool", None, 1_280),
    ("downloads", SEQUENTIAL, Some(50), 10),
    ("downloads", "processpool", Some(100), 20),
    ("echo", SEQUENTIAL, Some(20_000), 5_000),
    ("kv", SEQUENTIAL, Some(20_000), 5_000),
    ("mixed", SEQUENTIAL, None, 150),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_climb_and_those_of_quick_are_part_of_them() {
        for Workload { name, curve, .. } in &WORKLOADS {
            let Some(curve) = curve else { continue };
            assert!(curve.loads.is_sorted_by(|a, b| a < b) && curve.loads.len() > 1, "{name}");
            assert!(curve.quick_loads.is_sorted_by(|a, b| a < b), "{name}");
            for load in curve.quick_loads {
                assert!(curve.loads.contains(load), "{name}: {load}");
            }
            assert!(curve.loads.iter().all(|&load| curve.size(load) >= load), "{name}");
        }
    }
}
