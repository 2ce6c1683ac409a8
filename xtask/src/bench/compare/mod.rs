//! `cargo xtask bench --compare A B`: what changed between two records beyond noise, what did not,
//! and what only one of them has.
//!
//! [`ratio`] says how a change is told from noise, [`words`] how it is told to people, and
//! [`places`] what makes the two runs differ in more than the program.

mod places;
mod ratio;
mod words;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use self::ratio::Ratio;
use super::record::{self, Record};
use super::sample::Report;
use super::stats;

/// Raised when the shape of the JSON changes.
const FORMAT: u32 = 1;
/// A change of less is not told: two builds of the same program differ by as much, by where their
/// code and data happen to lie.
const MARGIN: f64 = 0.02;
/// All runs together have to differ by so much before the machine is held responsible.
const DRIFT: f64 = 0.03;

/// What was compared, and what came of it.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    format: u32,
    kind: &'static str,
    a: Side,
    b: Side,
    /// Why the two may differ though no program has changed.
    warnings: Vec<String>,
    /// How many times as long everything took in B: its median over all subjects.
    drift: Option<stats::Summary>,
    changes: Vec<Change>,
    only_a: Vec<Subject>,
    only_b: Vec<Subject>,
    /// Measured in both, but not the same amount of work.
    other_size: Vec<Subject>,
}

/// One of the two records.
#[derive(Debug, Serialize)]
struct Side {
    path: String,
    time: u64,
    commit: String,
    rounds: usize,
}

/// A model at a piece of work, under its usual load or another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Subject {
    workload: String,
    load: Option<usize>,
    model: String,
}

/// One measure of a subject in both records.
#[derive(Debug, Serialize)]
struct Change {
    #[serde(flatten)]
    subject: Subject,
    /// What the load counts, if it is another than the usual one.
    #[serde(skip)]
    unit: String,
    measure: Measure,
    a: f64,
    b: f64,
    /// B in units of A.
    #[serde(flatten)]
    ratio: Ratio,
    verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Measure {
    Time,
    CpuTime,
    P99,
    Memory,
}

/// Of B against A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Less,
    More,
    /// Noise explains what there is.
    Level,
    /// There are too few rounds to tell.
    Unknown,
}

/// The runs of a subject.
type Runs<'a> = BTreeMap<Subject, Vec<&'a Report>>;

/// Reads both records and prints how they differ, as JSON to a file or stdout if that is asked for.
pub(super) fn run(a: &Path, b: &Path, json: Option<Option<&Path>>) -> Result<()> {
    let comparison = of((a, &record::read(a)?), (b, &record::read(b)?));
    let text = match json {
        None => comparison.in_words(),
        Some(_) => format!("{}\n", serde_json::to_string_pretty(&comparison)?),
    };
    match json.flatten() {
        Some(file) => {
            std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))?
        }
        None => write!(anstream::stdout(), "{text}")?,
    }
    Ok(())
}

fn of((path_a, a): (&Path, &Record), (path_b, b): (&Path, &Record)) -> Comparison {
    let (runs_a, runs_b) = (runs(a), runs(b));
    let only = |one: &Runs<'_>, other: &Runs<'_>| {
        one.keys().filter(|subject| !other.contains_key(subject)).cloned().collect::<Vec<_>>()
    };
    let (mut changes, mut other_size) = (Vec::new(), Vec::new());
    for (subject, before) in &runs_a {
        let Some(after) = runs_b.get(subject) else { continue };
        // A part that was brought up to the whole is compared as the whole.
        if before.iter().chain(after).any(|run| run.size != before[0].size) {
            other_size.push(subject.clone());
            continue;
        }
        let unit = unit(b, &subject.workload);
        changes.extend(
            Measure::ALL
                .into_iter()
                .filter_map(|measure| change(subject, &unit, measure, before, after)),
        );
    }
    let times = changes.iter().filter(|change| change.measure == Measure::Time);
    let drift = stats::summarise(&times.map(|change| change.ratio.ratio).collect::<Vec<_>>());
    Comparison {
        format: FORMAT,
        kind: "bench-compare",
        a: Side::of(path_a, a),
        b: Side::of(path_b, b),
        warnings: places::differences(a, b),
        drift,
        only_a: only(&runs_a, &runs_b),
        only_b: only(&runs_b, &runs_a),
        changes,
        other_size,
    }
}

fn runs(record: &Record) -> Runs<'_> {
    let mut runs = Runs::new();
    for sample in record.samples.iter().filter(|sample| sample.report.refused.is_none()) {
        let subject = Subject {
            workload: sample.report.workload.clone(),
            load: sample.point,
            model: sample.report.model.clone(),
        };
        runs.entry(subject).or_default().push(&sample.report);
    }
    runs
}

/// What the load of a workload counts.
fn unit(record: &Record, workload: &str) -> String {
    let of = record.workloads.iter().find(|of| of.workload == workload);
    let curve = of.and_then(|of| of.curve.as_ref());
    curve.map_or_else(|| "units".to_owned(), |curve| curve.unit.clone())
}

fn change(
    subject: &Subject,
    unit: &str,
    measure: Measure,
    before: &[&Report],
    after: &[&Report],
) -> Option<Change> {
    let values =
        |runs: &[&Report]| -> Vec<f64> { runs.iter().map(|run| measure.of(run)).collect() };
    let (before, after) = (values(before), values(after));
    let ratio = ratio::ratio(&after, &before)?;
    Some(Change {
        subject: subject.clone(),
        unit: unit.to_owned(),
        measure,
        a: stats::summarise(&before)?.median,
        b: stats::summarise(&after)?.median,
        ratio,
        verdict: Verdict::of(&ratio),
    })
}

impl Side {
    fn of(path: &Path, record: &Record) -> Self {
        Self {
            path: path.display().to_string(),
            time: record.environment.time,
            commit: record.environment.commit.clone(),
            rounds: record.rounds,
        }
    }
}

impl Measure {
    const ALL: [Self; 4] = [Self::Time, Self::CpuTime, Self::P99, Self::Memory];

    fn of(self, run: &Report) -> f64 {
        match self {
            Self::Time => run.wall(),
            Self::CpuTime => run.whole(run.cpu_ns) / 1e9,
            Self::P99 => run.p99_ns as f64 / 1e9,
            Self::Memory => run.peak_bytes as f64,
        }
    }
}

impl Verdict {
    fn of(ratio: &Ratio) -> Self {
        match ratio.interval {
            None => Self::Unknown,
            Some(at) if at.high < 1.0 && ratio.ratio < 1.0 - MARGIN => Self::Less,
            Some(at) if at.low > 1.0 && ratio.ratio > 1.0 + MARGIN => Self::More,
            Some(_) => Self::Level,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::timed;
    use super::super::sample::Sample;
    use super::*;

    /// A record of so many rounds: each run takes its own seconds, and a little more each time.
    pub(super) fn record(runs: &[(&str, &str, f64)], rounds: usize) -> Record {
        let mut samples = Vec::new();
        for round in 0..rounds {
            for (workload, model, wall) in runs {
                let report = timed(workload, model, wall * (1.0 + round as f64 / 100.0), 0.5);
                samples.push(Sample { round, point: None, averages: String::new(), report });
            }
        }
        let value = json!({
            "format": 2, "kind": "bench", "quick": false, "rounds": rounds, "seconds": 9.0,
            "environment": {
                "time": 1_795_264_173, "commit": "abc", "kernel": "6.18", "processor": "P",
                "allowed_cores": [0, 1], "load": "0.1 0.1 0.1", "governor": "none",
            },
            "warnings": [], "workloads": [], "failures": [], "skipped": [], "samples": [],
        });
        let record: Record = serde_json::from_value(value).expect("a record");
        Record { samples, ..record }
    }

    pub(super) fn compared(a: &Record, b: &Record) -> Comparison {
        of((Path::new("a.json"), a), (Path::new("b.json"), b))
    }

    fn verdict(comparison: &Comparison, model: &str, measure: Measure) -> Verdict {
        let mut changes = comparison.changes.iter();
        let of = |change: &&Change| change.subject.model == model && change.measure == measure;
        changes.find(of).expect("compared").verdict
    }

    #[test]
    fn a_change_is_told_from_noise() {
        let before = record(&[("echo", "coroutines", 1.0), ("echo", "threadpool", 2.0)], 9);
        let after = record(&[("echo", "coroutines", 0.8), ("echo", "threadpool", 2.02)], 9);
        let comparison = compared(&before, &after);
        assert_eq!(verdict(&comparison, "coroutines", Measure::Time), Verdict::Less);
        assert_eq!(verdict(&comparison, "coroutines", Measure::CpuTime), Verdict::Level);
        assert_eq!(verdict(&comparison, "threadpool", Measure::Time), Verdict::Level);
        let back = compared(&after, &before);
        assert_eq!(verdict(&back, "coroutines", Measure::Time), Verdict::More);
    }

    #[test]
    fn a_steady_change_below_the_margin_is_none() {
        let steady = |wall| {
            let mut record = record(&[("echo", "coroutines", wall)], 9);
            record.samples.iter_mut().for_each(|s| s.report.wall_ns = (wall * 1e9) as u64);
            record
        };
        let comparison = compared(&steady(1.0), &steady(1.01));
        assert_eq!(verdict(&comparison, "coroutines", Measure::Time), Verdict::Level);
        let comparison = compared(&steady(1.0), &steady(1.03));
        assert_eq!(verdict(&comparison, "coroutines", Measure::Time), Verdict::More);
    }

    #[test]
    fn few_rounds_leave_it_open() {
        let comparison = compared(
            &record(&[("echo", "coroutines", 1.0)], 2),
            &record(&[("echo", "coroutines", 9.0)], 2),
        );
        assert_eq!(verdict(&comparison, "coroutines", Measure::Time), Verdict::Unknown);
    }

    #[test]
    fn what_only_one_has_and_what_is_of_another_size_is_kept_apart() {
        let before = record(&[("echo", "coroutines", 1.0), ("copy", "threadpool", 1.0)], 9);
        let mut after = record(&[("echo", "coroutines", 1.0), ("kv", "coroutines", 1.0)], 9);
        after.samples.iter_mut().for_each(|sample| sample.report.size = 500);
        let comparison = compared(&before, &after);
        assert_eq!(comparison.only_a[0].workload, "copy");
        assert_eq!(comparison.only_b[0].workload, "kv");
        assert_eq!(comparison.other_size[0].workload, "echo");
        assert!(comparison.changes.is_empty());
    }

    #[test]
    fn points_of_a_curve_are_subjects_of_their_own() {
        let mut before = record(&[("echo", "coroutines", 1.0)], 9);
        let points: Vec<Sample> = before
            .samples
            .iter()
            .map(|sample| Sample { point: Some(100), ..sample.clone() })
            .collect();
        before.samples.extend(points);
        let comparison = compared(&before, &before.clone());
        let loads: Vec<_> = comparison.changes.iter().map(|change| change.subject.load).collect();
        assert!(loads.contains(&None) && loads.contains(&Some(100)), "{loads:?}");
    }

    #[test]
    fn the_json_names_what_was_found() {
        let before = record(&[("echo", "coroutines", 1.0)], 9);
        let after = record(&[("echo", "coroutines", 0.5)], 9);
        let value = serde_json::to_value(compared(&before, &after)).expect("JSON");
        let change = &value["changes"][0];
        assert_eq!((&change["workload"], &change["measure"]), (&json!("echo"), &json!("time")));
        assert_eq!(change["verdict"], "less");
        assert!(change["interval"]["high"].as_f64().is_some_and(|high| high < 0.6), "{change}");
        assert_eq!(value["a"]["path"], "a.json");
    }
}
