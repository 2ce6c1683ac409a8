//! What there is to run: the workloads, their sizes and curves, and the models.
//!
//! The names are those of `workload --list`; the sizes are chosen for a machine with two cores.

use super::others::Whose;

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
    /// … and at least this, of which `--quick` does a quarter.
    pub(super) least: usize,
}

/// A way to organise it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) whose: Whose,
}

impl Model {
    const fn ours(name: &'static str, label: &'static str) -> Self {
        Self { name, label, whose: Whose::Ours }
    }

    const fn python(name: &'static str, label: &'static str) -> Self {
        Self { name, label, whose: Whose::Python }
    }

    const fn peer(name: &'static str, label: &'static str) -> Self {
        Self { name, label, whose: Whose::Peer }
    }
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
    pub(super) fn size(&self, load: usize, quick: bool) -> usize {
        let least = if quick { self.least / 4 } else { self.least };
        (self.each * load).max(least)
    }
}

pub(super) const WORKLOADS: [Workload; 11] = [
    Workload {
        name: "primes",
        about: "five easy numbers, then primes and semiprimes of 14 and 15 digits",
        unit: "numbers",
        size: 133,
        quick_size: 29,
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
        quick_size: 400,
        curve: Curve::of_jobs(&[1, 10, 100, 1_000, 10_000], &[]),
    },
    Workload {
        name: "mixed",
        about: "requests over 50 connections, each with a wait of 2 ms and 1 ms of CPU",
        unit: "requests",
        size: 1_000,
        quick_size: 200,
        curve: Curve::of_connections(&[1, 2, 5, 10, 100, 1_000, 10_000], &[], 1, 200),
    },
    Workload {
        name: "thrash",
        about: "slices of 50 us of CPU and 5 us under a lock that 100 workers share",
        unit: "slices",
        size: 20_000,
        quick_size: 4_000,
        curve: Some(Curve {
            unit: "workers",
            loads: &[1, 2, 10, 100, 1_000],
            quick_loads: &[],
            each: 20,
            least: 4_000,
        }),
    },
    Workload {
        name: "switches",
        about: "two units that wake each other, on one core",
        unit: "hand-overs",
        size: 200_000,
        quick_size: 50_000,
        curve: None,
    },
    Workload {
        name: "million",
        about: "waits on timers, all asleep at once; times are how late each was woken",
        unit: "waits",
        size: 1_000_000,
        quick_size: 100_000,
        curve: None,
    },
    Workload {
        name: "memory",
        about: "idle units, to see what one more costs",
        unit: "units",
        size: 100_000,
        quick_size: 50_000,
        curve: None,
    },
];

pub(super) const SEQUENTIAL: &str = "sequential";

pub(super) const MODELS: [Model; 17] = [
    Model::ours(SEQUENTIAL, "one thread in sequence"),
    Model::ours("thread-per-job", "a thread per job"),
    Model::ours("threadpool", "ThreadPool"),
    Model::ours("coroutines", "coroutines on one loop"),
    Model::ours("loop-per-core", "a loop per core"),
    Model::ours("processpool", "ProcessPool"),
    Model::ours("process-per-core", "a process per core"),
    Model::python("python-threads", "Python's threads"),
    Model::python("python-processes", "Python's ProcessPoolExecutor"),
    Model::python("python-asyncio", "Python's asyncio"),
    Model::python("python-gevent", "Python with gevent"),
    Model::peer("tokio", "tokio on one thread"),
    Model::peer("tokio-multi", "tokio on a thread per core"),
    Model::peer("monoio", "monoio"),
    Model::peer("glommio", "glommio"),
    Model::peer("compio", "compio"),
    Model::peer("rayon", "rayon"),
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
    ("mixed", SEQUENTIAL, None, 100),
    ("memory", "thread-per-job", Some(2_000), 500),
    ("memory", "threadpool", Some(2_000), 500),
    ("memory", "processpool", Some(20), 8),
    ("memory", "process-per-core", Some(20), 8),
    // Numbers that cost as much on average as all of them do.
    ("primes", "python-threads", Some(16), 10),
    ("primes", "python-processes", Some(16), 10),
    ("primes", "python-asyncio", Some(16), 10),
    ("primes", "python-gevent", Some(16), 10),
    ("sleepers", "python-threads", None, 1_280),
    ("sleepers", "python-processes", Some(100), 40),
    ("downloads", "python-processes", Some(100), 20),
    ("echo", "python-threads", Some(20_000), 5_000),
    ("echo", "python-asyncio", Some(20_000), 5_000),
    ("echo", "python-gevent", Some(20_000), 5_000),
    ("kv", "python-threads", Some(20_000), 5_000),
    ("kv", "python-asyncio", Some(20_000), 5_000),
    ("kv", "python-gevent", Some(20_000), 5_000),
    ("thrash", "python-threads", Some(2_000), 1_000),
    ("thrash", "python-asyncio", Some(2_000), 1_000),
    ("thrash", "python-gevent", Some(2_000), 1_000),
    ("switches", "python-threads", Some(50_000), 10_000),
    ("switches", "python-processes", Some(50_000), 10_000),
    ("switches", "python-asyncio", Some(100_000), 20_000),
    ("switches", "python-gevent", Some(100_000), 20_000),
    ("million", "python-asyncio", Some(100_000), 20_000),
    ("million", "python-gevent", Some(100_000), 20_000),
    ("memory", "python-threads", Some(1_000), 300),
    ("memory", "python-processes", Some(20), 8),
    ("memory", "python-asyncio", Some(50_000), 20_000),
    ("memory", "python-gevent", Some(20_000), 5_000),
    ("mixed", "python-threads", Some(200), 100),
    ("mixed", "python-processes", Some(200), 100),
    ("mixed", "python-asyncio", Some(200), 100),
    ("mixed", "python-gevent", Some(200), 100),
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
            for quick in [false, true] {
                assert!(curve.loads.iter().all(|&load| curve.size(load, quick) >= load), "{name}");
            }
        }
    }
}
