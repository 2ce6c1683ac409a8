//! Interleaved rounds: A B C, B C A, C A B ... so that drift of the machine meets all alike.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::process::Metrics;
use crate::stats::{self, Summary};

/// What one subject measured in one round.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// Which round, from 0.
    pub round: usize,
    /// Which subject.
    pub subject: String,
    /// Load averages when it began: above the number of our own processes, someone else was busy.
    pub load: String,
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
    /// Every sample, in the order taken.
    pub samples: Vec<Sample>,
}

impl Comparison {
    /// Measures every subject once per round, each round beginning with another.
    ///
    /// # Errors
    ///
    /// The first error of `measure`, with the subject and the round.
    pub fn run(
        title: impl Into<String>,
        subjects: &[String],
        rounds: usize,
        mut measure: impl FnMut(&str) -> anyhow::Result<Metrics>,
    ) -> anyhow::Result<Self> {
        let title = title.into();
        let mut samples = Vec::with_capacity(subjects.len() * rounds);
        for round in 0..rounds {
            for turn in 0..subjects.len() {
                let subject = &subjects[(round + turn) % subjects.len()];
                eprint!("\r\x1b[K{title}: round {} of {rounds}, {subject}", round + 1);
                let load = crate::environment::load_average();
                let metrics = measure(subject)
                    .map_err(|e| e.context(format!("{subject}, round {}, {title}", round + 1)))?;
                samples.push(Sample { round, subject: subject.clone(), load, metrics });
            }
        }
        eprint!("\r\x1b[K");
        Ok(Self { title, parameters: BTreeMap::new(), subjects: subjects.to_vec(), samples })
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

    fn subjects() -> Vec<String> {
        ["a", "b", "c"].map(str::to_owned).to_vec()
    }

    #[test]
    fn every_round_begins_with_another_subject() {
        let mut order = String::new();
        Comparison::run("test", &subjects(), 3, |subject| {
            order.push_str(subject);
            Ok(Metrics::new())
        })
        .unwrap();
        assert_eq!(order, "abcbcacab");
    }

    #[test]
    fn ratios_pair_values_of_the_same_round() {
        let mut clock = 0.0;
        let comparison = Comparison::run("test", &subjects(), 6, |subject| {
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
    fn an_error_names_the_subject_and_the_round() {
        let error = Comparison::run("test", &subjects(), 1, |_| anyhow::bail!("no")).unwrap_err();
        assert_eq!(format!("{error:#}"), "a, round 1, test: no");
    }
}
