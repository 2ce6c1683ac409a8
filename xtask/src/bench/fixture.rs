//! Made-up runs for the tests of this module.

use super::plan::{Plan, Workload};
use super::sample::{Pin, Report, Sample};
use super::summary::{self, Summary};

/// A run of 100 jobs in 1 s, on one of two cores.
pub(super) fn report(workload: &str, model: &str) -> Report {
    Report {
        format: 2,
        workload: workload.to_owned(),
        model: model.to_owned(),
        refused: None,
        load: 100,
        size: 100,
        done: 100,
        sampled: None,
        wall_ns: 1_000_000_000,
        cpu_ns: 1_000_000_000,
        voluntary: 10,
        involuntary: 5,
        threads: 1,
        processes: 1,
        peak_bytes: 4 << 20,
        p50_ns: 10_000_000,
        p99_ns: 20_000_000,
        max_ns: 21_000_000,
        histogram: vec![(10_485_759, 60), (20_971_519, 40)],
        unit_bytes: None,
        pins: vec![Pin { who: "main thread".into(), cores: "0".into(), count: 1 }],
        load_cpu_ns: None,
        remarks: Vec::new(),
    }
}

/// A run that took so many seconds, and so many of CPU time.
pub(super) fn timed(workload: &str, model: &str, wall: f64, cpu: f64) -> Report {
    let ns = |seconds: f64| (seconds * 1e9) as u64;
    Report { wall_ns: ns(wall), cpu_ns: ns(cpu), ..report(workload, model) }
}

/// The same under another name of the workload, which the plan need not have.
pub(super) fn renamed(workload: &'static str, runs: &[Report], rounds: usize) -> Summary {
    let known = summary(&runs[0].workload, runs, rounds);
    let &Workload { about, unit, size, quick_size, .. } = known.workload;
    let workload = Workload { name: workload, about, unit, size, quick_size, curve: None };
    Summary { workload: Box::leak(Box::new(workload)), ..known }
}

/// The rounds of runs, each a few per cent slower than the one before, summarised.
pub(super) fn summary(workload: &str, runs: &[Report], rounds: usize) -> Summary {
    let slower = |round: u64| {
        let slow =
            |run: &Report| Report { wall_ns: run.wall_ns * (50 + round) / 50, ..run.clone() };
        runs.iter().map(slow).collect()
    };
    let rounds: Vec<Vec<Report>> = (0..rounds as u64).map(slower).collect();
    of_rounds(workload, &rounds)
}

/// What was run in each round, summarised.
pub(super) fn of_rounds(workload: &str, rounds: &[Vec<Report>]) -> Summary {
    let sample = |round, report: &Report| Sample {
        round,
        point: None,
        averages: "0.1 0.1 0.1".into(),
        report: report.clone(),
    };
    let samples: Vec<Sample> = rounds
        .iter()
        .enumerate()
        .flat_map(|(round, runs)| runs.iter().map(move |report| sample(round, report)))
        .collect();
    let plan = Plan::new(Some(workload), false);
    summary::summarise(&plan, &samples, &[]).into_iter().next().expect("the workload is planned")
}
