//! Printing a comparison as a table and writing it as a JSON record.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::environment::Environment;
use crate::process::NOT_INSTALLED;
use crate::rounds::Comparison;
use crate::stats::Summary;

/// One column group of a table.
#[derive(Debug, Clone)]
pub struct Column {
    metric: &'static str,
    header: &'static str,
    scale: f64,
    digits: usize,
    ratio: bool,
}

impl Column {
    /// Shows the median of `metric`, divided by `scale`, with so many decimal places.
    #[must_use]
    pub fn new(metric: &'static str, header: &'static str, scale: f64, digits: usize) -> Self {
        Self { metric, header, scale, digits, ratio: false }
    }

    /// Adds the half width of the interval, and the ratio to each baseline.
    #[must_use]
    pub fn with_ratios(mut self) -> Self {
        self.ratio = true;
        self
    }
}

/// Renders `comparison`; the ratio columns compare with those it is `against`. Who never measured
/// the first column is left out, unless that is for want of something that is not installed.
#[must_use]
pub fn table(comparison: &Comparison, columns: &[Column]) -> String {
    let first = columns.first().map_or("", |column| column.metric);
    let baselines = comparison.who_have(&comparison.against, first);
    let subjects = comparison.who_have(&comparison.subjects, first);
    let mut header = vec![String::new()];
    for column in columns {
        header.push(column.header.to_owned());
        if column.ratio {
            header.push("±".to_owned());
            header.extend(baselines.iter().map(|name| format!("/ {name}")));
        }
    }
    let width = header.len();
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN).set_header(header);
    for &subject in &subjects {
        let mut row = vec![subject.clone()];
        for column in columns {
            let summary = comparison.summary(subject, column.metric);
            row.push(summary.map_or_else(String::new, |s| median(column, &s)));
            if column.ratio {
                row.push(
                    summary.map_or_else(String::new, |s| format!("{:.1} %", s.spread() * 100.0)),
                );
                row.extend(baselines.iter().map(|baseline| {
                    let ratio = comparison.ratio(subject, baseline, column.metric);
                    let shown = ratio.filter(|_| subject != *baseline);
                    shown.map_or_else(String::new, ratio_text)
                }));
            }
        }
        table.add_row(row);
    }
    for subject in comparison.who_have(&comparison.subjects, NOT_INSTALLED) {
        table.add_row([subject, "not installed"]);
    }
    for index in 1..width {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{}\n\n{table}\n", comparison.title)
}

fn median(column: &Column, summary: &Summary) -> String {
    format!("{:.*}", column.digits, summary.median / column.scale)
}

fn ratio_text(ratio: Summary) -> String {
    format!("{:.3} [{:.3}, {:.3}]", ratio.median, ratio.low, ratio.high)
}

/// The JSON record of a run. It is on the disk, whole, after every comparison: a run that is broken
/// off keeps what it had.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    environment: Environment,
    comparisons: Vec<Comparison>,
}

impl Record {
    /// A record that will be at `path`, or at `target/measurements/KIND-TIME.json`.
    #[must_use]
    pub fn new(kind: &str, path: Option<&Path>, environment: Environment) -> Self {
        let path = path.map_or_else(
            || PathBuf::from(format!("target/measurements/{kind}-{}.json", environment.time)),
            Path::to_owned,
        );
        Self { path, environment, comparisons: Vec::new() }
    }

    /// Writes it down without any comparison, so that a path that cannot be written is refused
    /// before anything was measured.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn begin(&self) -> anyhow::Result<()> {
        self.write()
    }

    /// Adds a comparison.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn add(&mut self, comparison: Comparison) -> anyhow::Result<()> {
        self.comparisons.push(comparison);
        self.write()
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(&self) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(&Layout {
            format: 1,
            environment: &self.environment,
            comparisons: self.comparisons.iter().map(entry).collect(),
        })?;
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        directory
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&self.path, text))
            .with_context(|| format!("writing the record {}", self.path.display()))
    }
}

#[derive(Serialize)]
struct Layout<'a> {
    /// Version of this layout.
    format: u32,
    environment: &'a Environment,
    comparisons: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    #[serde(flatten)]
    comparison: &'a Comparison,
    /// metric, then subject
    summaries: BTreeMap<String, BTreeMap<&'a str, Summary>>,
    /// metric, then "subject / baseline"
    ratios: BTreeMap<String, BTreeMap<String, Summary>>,
}

fn entry(comparison: &Comparison) -> Entry<'_> {
    let mut summaries = BTreeMap::new();
    let mut ratios = BTreeMap::new();
    for metric in comparison.metrics() {
        let mut by_subject = BTreeMap::new();
        let mut by_pair = BTreeMap::new();
        for subject in &comparison.subjects {
            let summary = comparison.summary(subject, &metric);
            by_subject.extend(summary.map(|summary| (subject.as_str(), summary)));
            for baseline in comparison.against.iter().filter(|baseline| *baseline != subject) {
                let ratio = comparison.ratio(subject, baseline, &metric);
                by_pair.extend(ratio.map(|ratio| (format!("{subject} / {baseline}"), ratio)));
            }
        }
        summaries.insert(metric.clone(), by_subject);
        ratios.insert(metric, by_pair);
    }
    Entry { comparison, summaries, ratios }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::process::Metrics;
    use crate::rounds::{Sample, Schedule};

    fn comparison() -> Comparison {
        let subjects = ["ours", "floor"].map(str::to_owned);
        let schedule =
            Schedule { rounds: 9, tolerance: f64::INFINITY, retakes: 0, patience: Duration::ZERO };
        Comparison::run("echo", &subjects, schedule, |subject| {
            let ns = if subject == "floor" { 2000.0 } else { 2100.0 };
            Ok(Metrics::from([("cpu_ns".to_owned(), ns)]))
        })
        .unwrap()
        .against(&["floor".to_owned()])
    }

    #[test]
    fn the_table_shows_medians_and_ratios_to_others() {
        let columns = [Column::new("cpu_ns", "us", 1000.0, 2).with_ratios()];
        let text = table(&comparison(), &columns);
        assert!(text.contains("1.050 [1.050, 1.050]"), "{text}");
        let floor = text.lines().find(|line| line.contains("| floor")).unwrap();
        assert!(floor.contains("2.00") && !floor.contains('['), "{text}");
    }

    #[test]
    fn who_does_not_measure_this_is_left_out() {
        let mut comparison = comparison();
        comparison.subjects.push("absent".to_owned());
        comparison.against.push("absent".to_owned());
        let text = table(&comparison, &[Column::new("cpu_ns", "ns", 1.0, 0).with_ratios()]);
        assert!(!text.contains("absent"), "{text}");
    }

    #[test]
    fn what_is_not_installed_says_so() {
        let mut comparison = comparison();
        comparison.subjects.push("fio".to_owned());
        let metrics = Metrics::from([(NOT_INSTALLED.to_owned(), 1.0)]);
        let sample = comparison.samples[0].clone();
        comparison.samples.push(Sample { subject: "fio".to_owned(), metrics, ..sample });
        let text = table(&comparison, &[Column::new("cpu_ns", "ns", 1.0, 0).with_ratios()]);
        let fio = text.lines().find(|line| line.contains("| fio")).unwrap();
        assert!(fio.contains("not installed"), "{text}");
    }

    #[test]
    fn the_record_holds_samples_summaries_and_ratios() {
        let comparison = comparison();
        let record = entry(&comparison);
        let json = serde_json::to_value(&record).unwrap();
        assert_eq!(json["samples"].as_array().unwrap().len(), 18);
        assert_eq!(json["summaries"]["cpu_ns"]["ours"]["median"], 2100.0);
        assert_eq!(json["ratios"]["cpu_ns"]["ours / floor"]["median"], 1.05);
    }
}
