//! Building the `workload` program and running it: interleaved rounds, progress on stderr.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::curve::LeftOut;
use super::plan::{Pair, Plan};
use super::points::Costs;
use super::progress::Progress;
use super::record::Environment;
use super::sample::{Report, Sample};
use super::text::points_of_curves;
use crate::shell::{self, Echo};
use crate::workspace::Workspace;

/// The most that a point of a curve may take, whatever smaller loads took: ten times what it is
/// expected to at the most. A model that thrashes under a load is not waited for.
const POINT: Duration = Duration::from_secs(25);

/// The program, built.
#[derive(Debug)]
pub(super) struct Driver {
    program: PathBuf,
    /// Where the runs put files; emptied after each.
    folder: PathBuf,
}

/// What came of a plan.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) samples: Vec<Sample>,
    pub(super) failures: Vec<String>,
    /// Rounds that every pair had its turn in.
    pub(super) rounds: usize,
    /// Pairs that no time was left for in the round that was broken off.
    pub(super) skipped: Vec<String>,
    /// Points of curves that no time was left for.
    pub(super) skipped_points: usize,
    /// Points of curves that would take too long.
    pub(super) left_out: Vec<LeftOut>,
    /// Points that came to no end; they are not tried again.
    pub(super) endless: Vec<Pair>,
    pub(super) took: Duration,
}

impl Measured {
    fn skip(&mut self, pair: &Pair) {
        match pair.load {
            None => self.skipped.push(pair.title()),
            Some(_) => self.skipped_points += 1,
        }
    }

    fn give_up(&mut self, pair: &Pair, limit: Duration) {
        self.leave_out(LeftOut::without_end(pair, limit));
        self.endless.push(*pair);
    }

    fn leave_out(&mut self, out: LeftOut) {
        let known =
            |of: &LeftOut| (of.workload, of.model, of.load) == (out.workload, out.model, out.load);
        if !self.left_out.iter().any(known) {
            self.left_out.push(out);
        }
    }

    /// How much of the plan was done, in a sentence.
    pub(super) fn coverage(&self, plan: &Plan) -> String {
        let seconds = self.took.as_secs_f64();
        let mut text = format!("{} of {} rounds in {seconds:.0} s", self.rounds, plan.rounds);
        let mut skipped = self.skipped.clone();
        if self.skipped_points > 0 {
            skipped.push(points_of_curves(self.skipped_points));
        }
        if !skipped.is_empty() {
            text += &format!(
                "; the time of --quick was over before {} (the machine is busy or slow: run \
                 without --quick)",
                skipped.join(" and ")
            );
        }
        if !self.left_out.is_empty() {
            let count = self.left_out.len();
            let (were, they) = if count == 1 { ("was", "it takes") } else { ("were", "they take") };
            text += &format!("; {} {were} left out, for {they} too long", points_of_curves(count));
        }
        text
    }
}

impl Driver {
    /// Builds the program in release, and that of other runtimes beside it where they take part;
    /// cargo shows its progress on stderr.
    pub(super) fn build(workspace: &Workspace, with_peers: bool) -> Result<Self> {
        let mut words = vec!["build", "--release", "--package", "benches", "--bin", "workload"];
        if with_peers {
            words.extend(["--bin", "workload_peers"]);
        }
        let mut command = workspace.cargo(words);
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
    pub(super) fn environment(&self) -> Result<Environment> {
        let text = shell::capture(self.command(&["environment"]))?;
        let environment: Environment = serde_json::from_str(&text)?;
        Ok(Environment { command: std::env::args().collect(), ..environment })
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).env("TMPDIR", &self.folder);
        command
    }

    /// Runs every pair that has its turn once per round, each round beginning with another, and in
    /// the first rounds every point of the curves.
    pub(super) fn measure(&self, plan: &Plan) -> Result<Measured> {
        let divisions = shell::capture(self.command(&["calibrate"]))?.trim().to_owned();
        let (progress, start) = (Progress::new(plan), Instant::now());
        let measured = Measured::default();
        let mut session = Session {
            driver: self,
            plan,
            divisions,
            progress,
            start,
            costs: Costs::default(),
            measured,
        };
        let mut longest = [Duration::ZERO; 2];
        for round in 0..plan.rounds {
            for (pairs, longest) in [&plan.pairs, &plan.points].into_iter().zip(&mut longest) {
                let began = Instant::now();
                let turns: Vec<_> =
                    pairs.iter().copied().filter(|pair| plan.has_turn(pair, round)).collect();
                if plan.has_time(start.elapsed(), *longest) {
                    session.round(&turns, round)?;
                }
                *longest = (*longest).max(began.elapsed());
            }
        }
        session.measured.took = start.elapsed();
        session.progress.finish();
        Ok(session.measured)
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
        let load = pair.load.map(|load| load.to_string());
        if let Some(load) = &load {
            words.extend(["--load", load]);
        }
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

/// A measurement under way.
struct Session<'run> {
    driver: &'run Driver,
    plan: &'run Plan,
    divisions: String,
    progress: Progress,
    start: Instant,
    costs: Costs,
    measured: Measured,
}

impl Session<'_> {
    /// Every pair has its turn, or all points have.
    fn round(&mut self, pairs: &[Pair], round: usize) -> Result<()> {
        let skipped = self.measured.skipped.len() + self.measured.skipped_points;
        for turn in 0..pairs.len() {
            let pair = &pairs[(round + turn) % pairs.len()];
            self.progress.begin(round, pair);
            let took = self.turn(pair, round)?;
            self.progress.end(pair, took);
        }
        let whole = skipped == self.measured.skipped.len() + self.measured.skipped_points;
        let of_table = pairs.iter().any(|pair| pair.load.is_none());
        self.measured.rounds += usize::from(whole && of_table);
        Ok(())
    }

    /// How long it took, or `None` when it was not run.
    fn turn(&mut self, pair: &Pair, round: usize) -> Result<Option<Duration>> {
        let Some(limit) = self.plan.limit(self.start.elapsed()) else {
            self.measured.skip(pair);
            return Ok(None);
        };
        if let (Some(load), Some(why)) =
            (pair.load, self.costs.too_long(pair, self.plan.longest_point()))
        {
            let (workload, model) = (pair.workload.name, pair.model.name);
            self.measured.leave_out(LeftOut { workload, model, load, why });
            return Ok(None);
        }
        if self.measured.endless.contains(pair) {
            return Ok(None);
        }
        let limit = pair.load.map_or(limit, |_| limit.min(POINT));
        let averages = load_averages();
        let began = Instant::now();
        match self.driver.once(pair, &self.divisions, limit)? {
            Ok(report) => {
                if report.refused.is_none() {
                    self.costs.note(pair, began.elapsed(), report.done);
                }
                self.measured.samples.push(Sample { round, point: pair.load, averages, report });
            }
            Err(_) if self.plan.limit(self.start.elapsed()).is_none() => self.measured.skip(pair),
            Err(_) if pair.load.is_some() && began.elapsed() >= limit => {
                self.measured.give_up(pair, limit);
            }
            Err(failure) => self.measured.failures.push(format!(
                "{}, round {}: {failure}",
                pair.title(),
                round + 1
            )),
        }
        Ok(Some(began.elapsed()))
    }
}

fn load_averages() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_that_came_to_no_end_is_left_out_and_not_tried_again() {
        let plan = Plan::new(Some("echo"), false);
        let mut measured = Measured::default();
        measured.give_up(&plan.points[0], POINT);
        assert_eq!(measured.endless, plan.points[..1]);
        assert_eq!(measured.left_out[0].why, "no end within 25 s");
    }

    #[test]
    fn what_was_left_out_is_told() {
        let plan = Plan::new(None, true);
        let mut measured =
            Measured { rounds: 2, took: Duration::from_secs(57), ..Measured::default() };
        measured.skip(&plan.pairs[0]);
        plan.points[..3].iter().for_each(|point| measured.skip(point));
        let (workload, model, why) = ("echo", "sequential", "about 9 s".to_owned());
        measured.leave_out(LeftOut { workload, model, load: 10, why: why.clone() });
        measured.leave_out(LeftOut { workload, model, load: 10, why });
        let text = measured.coverage(&plan);
        assert!(text.starts_with("2 of 5 rounds in 57 s"), "{text}");
        assert!(text.contains("before primes, one thread in sequence and 3 points of"), "{text}");
        assert!(
            text.ends_with("; 1 point of a curve was left out, for it takes too long"),
            "{text}"
        );
    }

    #[test]
    fn one_point_of_a_curve_is_no_points_of_curves() {
        let plan = Plan::new(None, true);
        let mut measured = Measured::default();
        measured.skip(&plan.points[0]);
        for load in [10, 100] {
            let (workload, model, why) = ("echo", "sequential", "about 9 s".to_owned());
            measured.leave_out(LeftOut { workload, model, load, why });
        }
        let text = measured.coverage(&plan);
        assert!(text.contains("was over before 1 point of a curve ("), "{text}");
        assert!(
            text.ends_with("; 2 points of curves were left out, for they take too long"),
            "{text}"
        );
    }
}
