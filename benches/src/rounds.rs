//! Interleaved rounds: A B C, B C A, C A B ... so that drift of the machine meets all alike.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use crate::noise::{self, Disturbance, Watch};
use crate::process::Metrics;
use crate::stats::{self, Summary};

/// How often to measure, and what to do about others on the machine.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Rounds: each subject once in each.
    pub rounds: usize,
    /// Cores that others may keep busy during a sample, and how much slower than its best the
    /// machine may be, as a share.
    pub tolerance: f64,
    /// How often a sample is taken anew while that is exceeded.
    pub retakes: usize,
    /// How long to wait for the others to be quiet before each attempt.
    pub patience: Duration,
}

/// What one subject measured in one round.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// Which round, from 0.
    pub round: usize,
    /// Which subject.
    pub subject: String,
    /// What disturbed it.
    pub disturbance: Disturbance,
    /// Whether that was too much, even after the last retake.
    pub disturbed: bool,
    /// How often it was taken anew because of that.
    pub retaken: usize,
    /// What it measured.
    pub metrics: Metrics,
}

/// The samples of one comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// What was compared, in words.
    pub title: String,
    /// The numbers that describe the work.
    pub parameters: BTreeMap<String, f64>,
    /// Who took part, in the order asked for.
    pub subjects: Vec<String>,
    /// Whom the others are compared with.
    pub against: Vec<String>,
    /// Every sample, in the order taken.
    pub samples: Vec<Sample>,
}

/// Takes a sample, anew while it is disturbed and retakes are left.
fn quiet_sample(
    schedule: Schedule,
    best_pace: &mut f64,
    mut measure: impl FnMut() -> anyhow::Result<Metrics>,
) -> anyhow::Result<Sample> {
    let mut retaken = 0;
    loop {
        noise::wait_for_quiet(*best_pace, schedule.tolerance, schedule.patience)?;
        let watch = Watch::start()?;
        let metrics = measure()?;
        let disturbance = watch.stop()?;
        *best_pace = best_pace.min(disturbance.pace_ns);
        let disturbed = disturbance.others > schedule.tolerance
            || disturbance.pace_ns > *best_pace * (1.0 + schedule.tolerance);
        if !disturbed || retaken == schedule.retakes {
            let subject = String::new();
            return Ok(Sample { round: 0, subject, disturbance, disturbed, retaken, metrics });
        }
        retaken += 1;
    }
}

/// Shows what is going on, in place of what was shown last, where somebody looks.
fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{text}");
    }
}

impl Comparison {
    /// Measures every subject once per round, each round beginning with another. A sample that
    /// was disturbed is taken anew, as often as `schedule` says.
    ///
    /// # Errors
    ///
    /// The first error of `measure`, with the subject and the round.
    pub fn run(
        title: impl Into<String>,
        subjects: &[String],
        schedule: Schedule,
        mut measure: impl FnMut(&str) -> anyhow::Result<Metrics>,
    ) -> anyhow::Result<Self> {
        let title = title.into();
        let rounds = schedule.rounds;
        let mut best_pace = noise::pace()?;
        let mut samples = Vec::with_capacity(subjects.len() * rounds);
        for round in 0..rounds {
            for turn in 0..subjects.len() {
                let subject = &subjects[(round + turn) % subjects.len()];
                progress(&format!("{title}: round {} of {rounds}, {subject}", round + 1));
                let sample = quiet_sample(schedule, &mut best_pace, || measure(subject));
                let context = || format!("{subject}, round {}, {title}", round + 1);
                let sample = sample.with_context(context)?;
                samples.push(Sample { round, subject: subject.clone(), ..sample });
            }
        }
        progress("");
        Ok(Self {
            title,
            parameters: BTreeMap::new(),
            subjects: subjects.to_vec(),
            against: Vec::new(),
            samples,
        })
    }

    /// Sets whom the others are compared with.
    #[must_use]
    pub fn against(mut self, baselines: &[String]) -> Self {
        self.against = baselines.to_vec();
        self
    }

    /// Those of `names` who measured `metric` at least once: not every program has every row.
    #[must_use]
    pub fn who_have<'a>(&self, names: &'a [String], metric: &str) -> Vec<&'a String> {
        names.iter().filter(|name| !self.values(name, metric).is_empty()).collect()
    }

    /// Adds numbers that describe the work.
    #[must_use]
    pub fn with(mut self, parameters: impl IntoIterator<Item = (&'static str, f64)>) -> Self {
        self.parameters
            .extend(parameters.into_iter().map(|(name, value)| (name.to_owned(), value)));
        self
    }

    /// The values of `metric` for `subject`, by round; empty when it has none.
    #[must_use]
    pub fn values(&self, subject: &str, metric: &str) -> Vec<f64> {
        let of_subject = self.samples.iter().filter(|sample| sample.subject == subject);
        of_subject.filter_map(|sample| sample.metrics.get(metric).copied()).collect()
    }

    /// Median and interval of `metric` for `subject`.
    #[must_use]
    pub fn summary(&self, subject: &str, metric: &str) -> Option<Summary> {
        stats::summarise(&self.values(subject, metric))
    }

    /// Median and interval of the ratios `subject` / `baseline`, round by round.
    #[must_use]
    pub fn ratio(&self, subject: &str, baseline: &str, metric: &str) -> Option<Summary> {
        stats::ratios(&self.values(subject, metric), &self.values(baseline, metric))
    }

    /// Every metric that any sample has, in alphabetical order.
    #[must_use]
    pub fn metrics(&self) -> Vec<String> {
        let names = self.samples.iter().flat_map(|sample| sample.metrics.keys().cloned());
        names.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(rounds: usize) -> Schedule {
        Schedule { rounds, tolerance: f64::INFINITY, retakes: 0, patience: Duration::ZERO }
    }

    fn subjects() -> Vec<String> {
        ["a", "b", "c"].map(str::to_owned).to_vec()
    }

    #[test]
    fn every_round_begins_with_another_subject() {
        let mut order = String::new();
        Comparison::run("test", &subjects(), rounds(3), |subject| {
            order.push_str(subject);
            Ok(Metrics::new())
        })
        .unwrap();
        assert_eq!(order, "abcbcacab");
    }

    #[test]
    fn ratios_pair_values_of_the_same_round() {
        let mut clock = 0.0;
        let comparison = Comparison::run("test", &subjects(), rounds(6), |subject| {
            clock += 1.0;
            let round = ((clock - 1.0) / 3.0_f64).floor() + 1.0;
            let factor = if subject == "b" { 2.0 } else { 1.0 };
            Ok(Metrics::from([("ns".to_owned(), round * factor)]))
        })
        .unwrap();
        let ratio = comparison.ratio("b", "a", "ns").unwrap();
        assert_eq!((ratio.min, ratio.max), (2.0, 2.0));
        assert_eq!(comparison.metrics(), ["ns"]);
    }

    #[test]
    fn a_disturbed_sample_is_taken_anew_but_not_for_ever() {
        let never_quiet =
            Schedule { rounds: 1, tolerance: -1.0, retakes: 2, patience: Duration::ZERO };
        let mut taken = 0;
        let comparison = Comparison::run("test", &subjects()[..1], never_quiet, |_| {
            taken += 1;
            Ok(Metrics::new())
        })
        .unwrap();
        assert_eq!((taken, comparison.samples.len(), comparison.samples[0].retaken), (3, 1, 2));
    }

    #[test]
    fn an_error_names_the_subject_and_the_round() {
        let error =
            Comparison::run("test", &subjects(), rounds(1), |_| anyhow::bail!("no")).unwrap_err();
        assert_eq!(format!("{error:#}"), "a, round 1, test: no");
    }
}
