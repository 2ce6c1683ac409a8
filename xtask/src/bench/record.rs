//! The record of a bench: environment, every sample, summaries and verdicts, as one JSON file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::drive::Measured;
use super::plan::Plan;
use super::sample::Sample;
use super::summary::{Fate, Row, Summary};
use super::verdict;
use crate::workspace;

/// Raised when the shape of the JSON changes.
const FORMAT: u32 = 2;

/// Writes `path`, or `target/bench/DATE.json`, and returns where it is.
pub(super) fn write(
    path: Option<&Path>,
    environment: &Value,
    plan: &Plan,
    measured: &Measured,
    summaries: &[Summary],
) -> Result<PathBuf> {
    let path = path.map_or_else(|| default_path(environment), Path::to_owned);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let text = format!("{:#}\n", record(environment, plan, measured, summaries));
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

fn default_path(environment: &Value) -> PathBuf {
    let time = environment["time"].as_u64().unwrap_or_default();
    workspace::root().join("target/bench").join(format!("{}.json", date(time)))
}

fn record(environment: &Value, plan: &Plan, measured: &Measured, summaries: &[Summary]) -> Value {
    let cores = environment["allowed_cores"].as_array().map_or(1, Vec::len);
    json!({
        "format": FORMAT,
        "kind": "bench",
        "environment": environment,
        "quick": plan.quick,
        "rounds": measured.rounds,
        "seconds": measured.took.as_secs_f64(),
        "workloads": summaries.iter().map(|s| workload(s, cores)).collect::<Vec<_>>(),
        "failures": measured.failures,
        "skipped": measured.skipped,
        "samples": measured.samples.iter().map(sample).collect::<Vec<_>>(),
    })
}

fn workload(summary: &Summary, cores: usize) -> Value {
    let models: BTreeMap<&str, Value> =
        summary.rows.iter().map(|row| (row.model.name, model(row))).collect();
    json!({
        "workload": summary.workload.name,
        "about": summary.workload.about,
        "size": summary.size,
        "unit": summary.workload.unit,
        "verdict": verdict::sentence(summary, cores),
        "models": models,
        "curve": summary.curve,
    })
}

/// A run without its histogram, which is in the summary, added to those of the other rounds.
fn sample(sample: &Sample) -> Value {
    let mut value = json!(sample);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("histogram");
    }
    value
}

fn model(row: &Row) -> Value {
    match &row.fate {
        Fate::Measured(figures) => json!(figures),
        Fate::Refused(why) => json!({ "refused": why }),
        Fate::Missing => json!({ "missing": true }),
    }
}

/// `2026-11-21T12-29-33Z` from seconds since 1970, in UTC; no colons, for the name of a file.
///
/// The calendar is Howard Hinnant's `civil_from_days`.
fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Counted from March.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}-{second:02}Z")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::fixture::{report, summary, timed};
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01T00-00-00Z");
        assert_eq!(date(951_782_399), "2000-02-28T23-59-59Z");
        assert_eq!(date(951_782_400), "2000-02-29T00-00-00Z");
        assert_eq!(date(1_709_251_199), "2024-02-29T23-59-59Z");
        assert_eq!(date(1_795_264_173), "2026-11-21T12-29-33Z");
    }

    #[test]
    fn the_record_holds_environment_samples_and_verdicts() {
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
        let plan = Plan::new(Some("echo"), false);
        let summaries = [summary("echo", &runs, 9)];
        let record = record(&environment, &plan, &measured, &summaries);
        assert_eq!((&record["format"], &record["rounds"]), (&json!(2), &json!(9)));
        assert_eq!(record["environment"]["kernel"], "6.18");
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
    fn the_file_is_written_where_it_is_asked_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("deep/er.json");
        let measured = Measured::default();
        let plan = Plan::new(None, true);
        let written = write(Some(&path), &json!({}), &plan, &measured, &[]).expect("written");
        let text = fs::read_to_string(written).expect("readable");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["kind"], "bench");
    }
}
