//! Building the `workload` program and running it: interleaved rounds, progress on stderr.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::plan::{Pair, Plan};
use super::sample::{Report, Sample};
use crate::shell::{self, Echo};
use crate::workspace::Workspace;

/// Above this share of the cores, somebody else is busy.
const BUSY: f64 = 0.4;

/// The program, built.
#[derive(Debug)]
pub(super) struct Driver {
    program: PathBuf,
    /// Where the runs put files; emptied after each.
    folder: PathBuf,
}

/// What came of a plan.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) samples: Vec<Sample>,
    pub(super) failures: Vec<String>,
    /// Rounds that every pair had its turn in.
    pub(super) rounds: usize,
    /// Pairs that no time was left for in the round that was broken off.
    pub(super) skipped: Vec<String>,
    pub(super) took: Duration,
}

impl Measured {
    /// How much of the plan was done, in a sentence.
    pub(super) fn coverage(&self, plan: &Plan) -> String {
        let seconds = self.took.as_secs_f64();
        let mut text = format!("{} of {} rounds in {seconds:.0} s", self.rounds, plan.rounds);
        if !self.skipped.is_empty() {
            text += &format!(
                "; the time of --quick was over before {} (the machine is busy or slow: run \
                 without --quick)",
                self.skipped.join(" and ")
            );
        }
        text
    }
}

impl Driver {
    /// Builds the program in release; cargo shows its progress on stderr.
    pub(super) fn build(workspace: &Workspace) -> Result<Self> {
        let mut command =
            workspace.cargo(["build", "--release", "--package", "benches", "--bin", "workload"]);
        let line = shell::describe(&command);
        let status = command.stdin(Stdio::null()).status();
        let status = status.with_context(|| format!("starting `{line}`"))?;
        ensure!(status.success(), "`{line}`: {status}");
        let program = PathBuf::from(workspace.target_dir("release")).join("workload");
        ensure!(program.is_file(), "cargo has built no {}", program.display());
        let folder = PathBuf::from(workspace.target_dir("bench")).join("files");
        Ok(Self { program, folder })
    }

    /// Where we are: the record of the program, with our own command line.
    pub(super) fn environment(&self) -> Result<Value> {
        let text = shell::capture(self.command(&["environment"]))?;
        let mut environment: Value = serde_json::from_str(&text)?;
        environment["command"] = std::env::args().collect::<Vec<_>>().into();
        Ok(environment)
    }

    /// How many cores the runs may use.
    pub(super) fn cores(&self, environment: &Value) -> usize {
        environment["allowed_cores"].as_array().map_or(1, Vec::len)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).env("TMPDIR", &self.folder);
        command
    }

    /// Runs every pair once per round, each round beginning with another.
    pub(super) fn measure(&self, plan: &Plan) -> Result<Measured> {
        let divisions = shell::capture(self.command(&["calibrate"]))?.trim().to_owned();
        let bar = progress(plan);
        let start = Instant::now();
        let mut measured = Measured {
            samples: Vec::new(),
            failures: Vec::new(),
            rounds: 0,
            skipped: Vec::new(),
            took: Duration::ZERO,
        };
        let mut longest = Duration::ZERO;
        for round in 0..plan.rounds {
            if !plan.has_time(start.elapsed(), longest) {
                break;
            }
            let began = Instant::now();
            self.round(plan, round, start, &divisions, &bar, &mut measured)?;
            longest = longest.max(began.elapsed());
            measured.rounds += usize::from(measured.skipped.is_empty());
        }
        measured.took = start.elapsed();
        bar.finish_and_clear();
        Ok(measured)
    }

    fn round(
        &self,
        plan: &Plan,
        round: usize,
        start: Instant,
        divisions: &str,
        bar: &ProgressBar,
        measured: &mut Measured,
    ) -> Result<()> {
        for turn in 0..plan.pairs.len() {
            let pair = &plan.pairs[(round + turn) % plan.pairs.len()];
            bar.set_message(format!("round {}: {}", round + 1, pair.title()));
            let Some(limit) = plan.limit(start.elapsed()) else {
                measured.skipped.push(pair.title());
                continue;
            };
            let load = load_average();
            match self.once(pair, divisions, limit)? {
                Ok(report) => measured.samples.push(Sample { round, load, report }),
                Err(_) if plan.limit(start.elapsed()).is_none() => {
                    measured.skipped.push(pair.title());
                }
                Err(failure) => {
                    measured.failures.push(format!(
                        "{}, round {}: {failure}",
                        pair.title(),
                        round + 1
                    ));
                }
            }
            bar.inc(1);
        }
        Ok(())
    }

    /// One run: its report, or how it failed.
    fn once(
        &self,
        pair: &Pair,
        divisions: &str,
        limit: Duration,
    ) -> Result<std::result::Result<Report, String>> {
        // It ends by itself a little later, should we be killed; so do its children.
        let life = (limit.as_secs() + 5).to_string();
        let size = pair.size.to_string();
        let mut words = vec!["run", "--workload", pair.workload.name, "--model", pair.model.name];
        words.extend(["--size", &size, "--divisions", divisions, "--life", &life, "--json-line"]);
        let sample = pair.sample.map(|sample| sample.to_string());
        if let Some(sample) = &sample {
            words.extend(["--sample", sample]);
        }
        fs::create_dir_all(&self.folder).context("making a folder for files")?;
        let ran = shell::run(self.command(&words), Echo::Silent, Some(limit));
        let cleaned = fs::remove_dir_all(&self.folder);
        let ran = ran?;
        cleaned.context("removing the files of a run")?;
        if !ran.success() {
            return Ok(Err(format!("{}: {}", ran.how(), ran.text.trim())));
        }
        Ok(Report::find(&ran.text).map_err(|error| format!("{error:#}")))
    }
}

/// What one should know before believing a figure.
pub(super) fn warnings(environment: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    let cores = environment["allowed_cores"].as_array().map_or(1, Vec::len);
    let load = environment["load"].as_str().unwrap_or_default();
    let busy = load.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
    if busy.is_some_and(|busy| busy > BUSY * cores as f64) {
        warnings.push(format!(
            "the machine is busy or was building (load {load} on {cores} cores): figures will be \
             worse than they should be, and spread"
        ));
    }
    if environment["debug"].as_bool() == Some(true) {
        warnings.push("the workloads were built for debugging: figures mean nothing".to_owned());
    }
    if cores < 2 {
        warnings.push("there is one core: no model can be faster than it".to_owned());
    }
    warnings
}

fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// On stderr, and not at all where that is no terminal.
fn progress(plan: &Plan) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}");
    let bar = ProgressBar::new((plan.rounds * plan.pairs.len()) as u64);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_busy_machine_and_a_debug_build_are_warned_of() {
        let quiet = json!({"allowed_cores": [0, 1], "load": "0.10 2.00 2.00", "debug": false});
        assert_eq!(warnings(&quiet), Vec::<String>::new());
        let busy = json!({"allowed_cores": [0, 1], "load": "1.90 0.00 0.00", "debug": true});
        let warnings = warnings(&busy);
        assert!(warnings[0].contains("busy or was building (load 1.90"), "{warnings:?}");
        assert!(warnings[1].contains("debugging"), "{warnings:?}");
    }

    #[test]
    fn what_was_left_out_is_told() {
        let measured = Measured {
            samples: Vec::new(),
            failures: Vec::new(),
            rounds: 2,
            skipped: vec!["mixed, ProcessPool".into()],
            took: Duration::from_secs(57),
        };
        let text = measured.coverage(&Plan::new(None, true));
        assert!(text.starts_with("2 of 5 rounds in 57 s"), "{text}");
        assert!(text.contains("before mixed, ProcessPool"), "{text}");
    }
}
