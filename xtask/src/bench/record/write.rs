//! Making a record of what was measured, and writing it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{Environment, FORMAT, Outcome, Record, Workload, date};
use crate::bench::drive::Measured;
use crate::bench::plan::Plan;
use crate::bench::sample::{Report, Sample};
use crate::bench::summary::{Fate, Row, Summary};
use crate::bench::verdict;
use crate::bench::warn::Warning;
use crate::workspace;

/// Puts a record together.
pub(in crate::bench) fn of(
    environment: Environment,
    warnings: Vec<Warning>,
    plan: &Plan,
    measured: &Measured,
    summaries: &[Summary],
) -> Record {
    let cores = environment.cores();
    Record {
        format: FORMAT,
        kind: "bench".to_owned(),
        environment,
        warnings,
        quick: plan.quick,
        rounds: measured.rounds,
        seconds: measured.took.as_secs_f64(),
        workloads: summaries.iter().map(|summary| workload(summary, cores)).collect(),
        failures: measured.failures.clone(),
        skipped: measured.skipped.clone(),
        skipped_points: measured.skipped_points,
        samples: measured.samples.iter().map(without_histogram).collect(),
    }
}

fn without_histogram(sample: &Sample) -> Sample {
    let report = Report { histogram: Vec::new(), ..sample.report.clone() };
    Sample { report, ..sample.clone() }
}

fn workload(summary: &Summary, cores: usize) -> Workload {
    let models: BTreeMap<String, Outcome> =
        summary.rows.iter().map(|row| (row.model.name.to_owned(), outcome(row))).collect();
    Workload {
        workload: summary.workload.name.to_owned(),
        about: summary.workload.about.to_owned(),
        size: summary.size,
        unit: summary.workload.unit.to_owned(),
        verdict: verdict::sentence(summary, cores),
        answer: verdict::answer(summary, cores),
        models,
        curve: summary.curve.clone(),
    }
}

fn outcome(row: &Row) -> Outcome {
    match &row.fate {
        Fate::Measured(figures) => Outcome::Measured(figures.clone()),
        Fate::Refused(why) => Outcome::Refused { refused: why.clone() },
        Fate::Missing => Outcome::Missing { missing: true },
    }
}

/// `target/bench/DATE.json`
pub(in crate::bench) fn default_path(environment: &Environment) -> PathBuf {
    let name = format!("{}.json", date::date(environment.time));
    workspace::root().join("target/bench").join(name)
}

/// The file of the same name with another ending, as `html`.
pub(in crate::bench) fn beside(record: &Path, ending: &str) -> PathBuf {
    record.with_extension(ending)
}

/// Writes the record, and makes the folder for it.
///
/// # Errors
/// When that fails.
pub(in crate::bench) fn write(path: &Path, record: &Record) -> Result<()> {
    let mut text = serde_json::to_string_pretty(record).context("writing the record as JSON")?;
    text.push('\n');
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::bench::fixture::{report, summary, timed};
    use crate::bench::record;

    fn made() -> Record {
        let mut refused = report("echo", "processpool");
        refused.refused = Some("descriptors stay".into());
        let runs = [
            timed("echo", "sequential", 2.0, 0.5),
            timed("echo", "coroutines", 1.0, 0.5),
            refused.clone(),
        ];
        let measured = Measured {
            samples: vec![Sample {
                round: 0,
                point: None,
                averages: "0.1".into(),
                report: refused,
            }],
            failures: vec!["echo, ThreadPool, round 1: exit status: 1".into()],
            rounds: 9,
            took: Duration::from_secs(90),
            ..Measured::default()
        };
        let environment = json!({"time": 0, "allowed_cores": [0, 1], "kernel": "6.18"});
        let environment = serde_json::from_value(environment).expect("an environment");
        let plan = Plan::new(Some("echo"), false);
        let warnings = vec![Warning::new("two cores", "take four")];
        of(environment, warnings, &plan, &measured, &[summary("echo", &runs, 9)])
    }

    #[test]
    fn the_record_holds_environment_samples_and_verdicts() {
        let record = serde_json::to_value(made()).expect("JSON");
        assert_eq!((&record["format"], &record["rounds"]), (&json!(FORMAT), &json!(9)));
        assert_eq!(record["environment"]["kernel"], "6.18");
        assert_eq!(record["warnings"][0]["mend"], "take four");
        let echo = &record["workloads"][0];
        assert!(echo["verdict"].as_str().is_some_and(|v| v.starts_with("Coroutines")), "{echo}");
        assert_eq!(echo["models"]["processpool"]["refused"], "descriptors stay");
        assert_eq!(echo["models"]["threadpool"]["missing"], true);
        let coroutines = &echo["models"]["coroutines"];
        assert_eq!(coroutines["speed_up"]["median"], 2.0);
        assert_eq!(coroutines["walls"].as_array().map(Vec::len), Some(9));
        assert_eq!(coroutines["extrapolated_from"], Value::Null);
        assert_eq!(record["samples"][0]["model"], "processpool");
        assert_eq!(record["samples"][0]["load_averages"], "0.1");
        assert_eq!(coroutines["histogram"][0], json!([10_485_759, 540]));
        assert_eq!(echo["curve"]["points"][0]["models"]["coroutines"]["missing"], true);
        assert_eq!(record["failures"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn what_was_written_reads_the_same() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("deep/er.json");
        let made = made();
        write(&path, &made).expect("written");
        let read = record::read(&path).expect("read");
        let value = |record: &Record| serde_json::to_value(record).expect("JSON");
        assert_eq!(value(&read), value(&made));
        assert!(matches!(read.workloads[0].models["processpool"], Outcome::Refused { .. }));
        assert!(matches!(read.workloads[0].models["threadpool"], Outcome::Missing { .. }));
        assert_eq!(read.workloads[0].measured().count(), 2);
        assert_eq!(beside(&path, "html"), folder.path().join("deep/er.html"));
    }
}
