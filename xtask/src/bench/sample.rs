//! One run: the line that `workload run` prints, and its numbers brought up to the whole workload
//! where only a part was run.

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

/// The layout this program understands.
const FORMAT: u32 = 2;

/// What `workload run --json-line` prints. All numbers are for the `done` jobs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) format: u32,
    pub(super) workload: String,
    pub(super) model: String,
    pub(super) refused: Option<String>,
    /// Units at once: jobs given, or connections.
    pub(super) load: usize,
    pub(super) size: usize,
    pub(super) done: usize,
    pub(super) sampled: Option<String>,
    pub(super) wall_ns: u64,
    pub(super) cpu_ns: u64,
    pub(super) voluntary: u64,
    pub(super) involuntary: u64,
    pub(super) threads: u64,
    pub(super) processes: u64,
    pub(super) peak_bytes: u64,
    pub(super) p50_ns: u64,
    pub(super) p99_ns: u64,
    pub(super) max_ns: u64,
    /// Buckets of the jobs' times: the longest that falls into it in nanoseconds, and how many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) histogram: Vec<(u64, u64)>,
    /// What one more unit costs.
    pub(super) unit_bytes: Option<u64>,
    pub(super) pins: Vec<Pin>,
    pub(super) load_cpu_ns: Option<u64>,
    pub(super) remarks: Vec<String>,
}

/// Which cores a thread or process may run on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pin {
    pub(super) who: String,
    pub(super) cores: String,
    pub(super) count: usize,
}

/// A run and when it was.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Sample {
    pub(super) round: usize,
    /// The point of the curve that it is of; none when it is of the table.
    pub(super) point: Option<usize>,
    /// Load averages before it began.
    #[serde(rename = "load_averages")]
    pub(super) averages: String,
    #[serde(flatten)]
    pub(super) report: Report,
}

impl Report {
    /// Finds the line of JSON in what a run wrote.
    pub(super) fn find(text: &str) -> Result<Self> {
        let line = text.lines().rev().find(|line| line.starts_with('{'));
        let line = line.with_context(|| format!("no line of JSON in {text:?}"))?;
        let report: Self = serde_json::from_str(line).with_context(|| format!("in {line:?}"))?;
        ensure!(report.format == FORMAT, "a report of format {}, not {FORMAT}", report.format);
        ensure!(
            report.refused.is_some() || (report.done > 0 && report.done <= report.size),
            "a report of {} jobs done out of {}",
            report.done,
            report.size
        );
        Ok(report)
    }

    /// Whether only a part of the workload was run.
    pub(super) fn extrapolated(&self) -> bool {
        self.refused.is_none() && self.done < self.size
    }

    /// What a number that grows with the work would be for all of it.
    pub(super) fn whole(&self, number: u64) -> f64 {
        number as f64 * self.size as f64 / self.done.max(1) as f64
    }

    /// Seconds for the whole workload.
    pub(super) fn wall(&self) -> f64 {
        self.whole(self.wall_ns) / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn the_line_is_found_behind_warnings() {
        let line = serde_json::to_string(&fixture::report("primes", "sequential")).unwrap();
        let report = Report::find(&format!("a warning\n{line}\n")).expect("found");
        assert_eq!((report.workload.as_str(), report.done), ("primes", 100));
        assert!(Report::find("nothing at all").is_err());
    }

    #[test]
    fn another_format_and_impossible_counts_are_refused() {
        let mut report = fixture::report("primes", "sequential");
        report.format = 1;
        let line = serde_json::to_string(&report).unwrap();
        assert!(Report::find(&line).unwrap_err().to_string().contains("format 1"));
        report.format = FORMAT;
        report.done = report.size + 1;
        assert!(Report::find(&serde_json::to_string(&report).unwrap()).is_err());
    }

    #[test]
    fn a_part_is_brought_up_to_the_whole() {
        let mut report = fixture::report("sleepers", "sequential");
        assert!(!report.extrapolated());
        report.done = 20;
        report.size = 10_000;
        report.wall_ns = 400_000_000;
        assert!(report.extrapolated());
        assert_eq!(report.wall(), 200.0);
    }
}
