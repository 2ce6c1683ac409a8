//! The record of a bench as one JSON file: environment, every sample, summaries and verdicts.
//!
//! What is written here is also what is read again, for a report or for a comparison.

mod date;
mod write;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(super) use self::date::in_words;
pub(super) use self::write::{beside, default_path, of, write};
use super::curve::Curve;
use super::sample::Sample;
use super::summary::Figures;
use super::verdict::Answer;
use super::warn::Warning;

/// Raised when the shape of the JSON changes.
pub(super) const FORMAT: u32 = 2;

/// One run of `cargo xtask bench`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) format: u32,
    /// Always "bench": other programs write records, too.
    pub(super) kind: String,
    pub(super) environment: Environment,
    /// What makes the figures worth less.
    pub(super) warnings: Vec<Warning>,
    pub(super) quick: bool,
    /// Rounds that every pair had its turn in.
    pub(super) rounds: usize,
    pub(super) seconds: f64,
    pub(super) workloads: Vec<Workload>,
    pub(super) failures: Vec<String>,
    /// Pairs that no time was left for.
    pub(super) skipped: Vec<String>,
    /// Points of curves that no time was left for.
    #[serde(default)]
    pub(super) skipped_points: usize,
    /// Without their histograms, which are in the figures, added up over the rounds.
    pub(super) samples: Vec<Sample>,
}

/// Where it was measured. What `workload environment` says beyond these is kept in `more`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Environment {
    /// Seconds since 1970.
    pub(super) time: u64,
    pub(super) command: Vec<String>,
    pub(super) commit: String,
    pub(super) rustc: String,
    pub(super) kernel: String,
    pub(super) processor: String,
    pub(super) governor: String,
    /// The three load averages before the first run.
    pub(super) load: String,
    pub(super) allowed_cores: Vec<usize>,
    /// The workloads were built without optimisation.
    pub(super) debug: bool,
    #[serde(flatten)]
    pub(super) more: Map<String, Value>,
}

/// One workload: what each model took for it, and what that means.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Workload {
    pub(super) workload: String,
    pub(super) about: String,
    pub(super) size: usize,
    /// What the size counts.
    pub(super) unit: String,
    pub(super) verdict: String,
    /// The verdict in parts; none where there was no choice.
    #[serde(default)]
    pub(super) answer: Option<Answer>,
    pub(super) models: BTreeMap<String, Outcome>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) curve: Option<Curve>,
}

/// What became of a model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Outcome {
    /// It can't do the work, and why.
    Refused {
        refused: String,
    },
    /// No run of it came to an end; see the failures.
    Missing {
        missing: bool,
    },
    Measured(Box<Figures>),
}

impl Environment {
    /// How many cores the runs could use.
    pub(super) fn cores(&self) -> usize {
        self.allowed_cores.len().max(1)
    }

    /// The load average of the last minute.
    pub(super) fn load_now(&self) -> Option<f64> {
        self.load.split_whitespace().next()?.parse().ok()
    }
}

impl Workload {
    /// The models that were measured, by name.
    pub(super) fn measured(&self) -> impl Iterator<Item = (&str, &Figures)> {
        self.models.iter().filter_map(|(name, outcome)| match outcome {
            Outcome::Measured(figures) => Some((name.as_str(), &**figures)),
            _ => None,
        })
    }
}

/// Reads a record.
///
/// # Errors
/// When it can't be read, is none, or is of another format.
pub(super) fn read(path: &Path) -> Result<Record> {
    let name = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("reading {name}"))?;
    let value: Value = serde_json::from_str(&text).with_context(|| format!("{name} is no JSON"))?;
    ensure!(value["kind"] == "bench", "{name} is no record of `cargo xtask bench`");
    let format = &value["format"];
    ensure!(
        *format == FORMAT,
        "{name} is a record of format {format}, and this program reads {FORMAT}: take the commit \
         that it names ({}), or measure anew",
        value["environment"]["commit"].as_str().unwrap_or("unknown")
    );
    serde_json::from_value(value).with_context(|| format!("{name} is not as a record should be"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(value: &Value) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        fs::write(file.path(), value.to_string()).expect("written");
        file
    }

    #[test]
    fn a_record_of_another_format_is_refused_with_what_to_do() {
        let environment = json!({"commit": "abc123"});
        let old = written(&json!({"kind": "bench", "format": 1, "environment": environment}));
        let text = read(old.path()).expect_err("refused").to_string();
        assert!(text.contains("of format 1") && text.contains("abc123"), "{text}");
        let other = written(&json!({"kind": "compare", "format": 2}));
        assert!(read(other.path()).expect_err("refused").to_string().contains("is no record"));
        assert!(read(Path::new("/nowhere/at/all.json")).is_err());
    }

    #[test]
    fn an_environment_keeps_what_it_does_not_know() {
        let given = json!({"time": 3, "kernel": "6.18", "hypervisor": "KVM"});
        let environment: Environment = serde_json::from_value(given).expect("lenient");
        assert_eq!((environment.kernel.as_str(), environment.cores()), ("6.18", 1));
        let again = serde_json::to_value(&environment).expect("written");
        assert_eq!(again["hypervisor"], "KVM");
    }
}
