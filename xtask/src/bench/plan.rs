//! What is run: the pairs of workload and model, how much of each, how often, and under which load.

use std::fmt::Write as _;
use std::time::Duration;

use super::kinds::{MODELS, SUBSAMPLES, WORKLOADS};
pub(super) use super::kinds::{Model, SEQUENTIAL, Workload};
use super::others::{Others, Whose};

/// How long all runs of `--quick` may take together.
const QUICK: Duration = Duration::from_secs(60);
/// What is kept of that for tables and the record, and for a run that is slower than before.
const RESERVE: Duration = Duration::from_secs(4);

/// One thing to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) workload: &'static Workload,
    pub(super) model: &'static Model,
    pub(super) size: usize,
    /// Do only so many.
    pub(super) sample: Option<usize>,
    /// Units at once, where it is a point of a curve; else the usual ones.
    pub(super) load: Option<usize>,
}

/// All that is to be run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) quick: bool,
    pub(super) rounds: usize,
    /// The rows of the tables.
    pub(super) pairs: Vec<Pair>,
    /// In so many of the rounds the points have their turn too.
    pub(super) point_rounds: usize,
    /// The points of the curves, those of a workload by ascending load.
    pub(super) points: Vec<Pair>,
    /// The rows of Python's models have their turn in each so-manieth round: they take most of the
    /// time, and what they are compared for shows in three.
    pub(super) python_every: usize,
}

impl Plan {
    /// [`Plan::among`] our own models.
    #[cfg(test)]
    pub(super) fn new(filter: Option<&str>, quick: bool) -> Self {
        Self::among(filter, quick, Others::default())
    }

    /// Everything whose workload or model has `filter` in its name, and for each workload the
    /// sequential run that the others are compared with. `WORKLOAD/MODEL` names one pair.
    pub(super) fn among(filter: Option<&str>, quick: bool, others: Others) -> Self {
        let (mut pairs, mut points) = (Vec::new(), Vec::new());
        for workload in &WORKLOADS {
            let wanted = |model: &&Model| {
                let named = filter.is_some_and(|f| names_model(f, model));
                others.take(model, named) && filter.is_none_or(|f| matches(f, workload, model))
            };
            if !MODELS.iter().any(|model| wanted(&model)) {
                continue;
            }
            let models = MODELS.iter().filter(|model| model.name == SEQUENTIAL || wanted(model));
            pairs.extend(models.clone().map(|model| Pair::new(workload, model, quick)));
            let Some(curve) = &workload.curve else { continue };
            for &load in if quick { curve.quick_loads } else { curve.loads } {
                let point = |model| Pair {
                    workload,
                    model,
                    size: curve.size(load, quick),
                    sample: None,
                    load: Some(load),
                };
                points.extend(models.clone().map(point));
            }
        }
        let (rounds, point_rounds) = if quick { (5, 1) } else { (9, 3) };
        // Whoever asks for something asks for all rounds of it.
        let python_every = if quick || filter.is_some() { 1 } else { 3 };
        Self { quick, rounds, pairs, point_rounds, points, python_every }
    }

    /// Whether the pair has its turn in this round, the first of which is 0.
    pub(super) fn has_turn(&self, pair: &Pair, round: usize) -> bool {
        if pair.load.is_some() {
            return round < self.point_rounds;
        }
        pair.model.whose != Whose::Python || round.is_multiple_of(self.python_every)
    }

    /// In how many rounds the pair has its turn.
    pub(super) fn turns(&self, pair: &Pair) -> usize {
        (0..self.rounds).filter(|round| self.has_turn(pair, *round)).count()
    }

    /// Whether there is time for another round, after `elapsed`, when the longest took `longest`.
    pub(super) fn has_time(&self, elapsed: Duration, longest: Duration) -> bool {
        !self.quick || elapsed + longest.mul_f64(1.1) + RESERVE <= QUICK
    }

    /// How long one run may still take after `elapsed`.
    pub(super) fn limit(&self, elapsed: Duration) -> Option<Duration> {
        let whole = if self.quick { QUICK.checked_sub(elapsed + RESERVE / 2)? } else { RUN };
        Some(whole.min(RUN)).filter(|limit| *limit >= Duration::from_secs(1))
    }

    /// The most that a point may take by what smaller loads took; else it is left out.
    pub(super) fn longest_point(&self) -> Duration {
        if self.quick { Duration::from_millis(700) } else { Duration::from_millis(2_500) }
    }

    /// Whether `workload_peers` is needed.
    pub(super) fn has_peers(&self) -> bool {
        self.pairs.iter().any(|pair| pair.model.whose == Whose::Peer)
    }

    /// The workloads that take part.
    pub(super) fn workloads(&self) -> impl Iterator<Item = &'static Workload> {
        WORKLOADS.iter().filter(|w| self.pairs.iter().any(|pair| pair.workload == *w))
    }

    /// What would be run, for eyes.
    pub(super) fn list(&self) -> String {
        let mut text = String::new();
        for workload in self.workloads() {
            let size = self.pairs.iter().find(|pair| pair.workload == workload).map(|p| p.size);
            let size = size.unwrap_or_default();
            let _ =
                writeln!(text, "{}: {} ({size} {})", workload.name, workload.about, workload.unit);
            for pair in self.pairs.iter().filter(|pair| pair.workload == workload) {
                let sample = pair.sample.map_or(String::new(), |n| format!(", {n} of them"));
                let name = format!("{}/{}", workload.name, pair.model.name);
                let _ = writeln!(text, "  {name:<26} {}{sample}", pair.model.label);
            }
            let points = self.points.iter().filter(|pair| pair.workload == workload);
            let mut loads: Vec<String> =
                points.filter_map(|pair| Some(pair.load?.to_string())).collect();
            loads.dedup();
            if let (Some(curve), false) = (&workload.curve, loads.is_empty()) {
                let _ = writeln!(text, "  and each with {} {}", loads.join(", "), curve.unit);
            }
        }
        text
    }
}

/// The most one run may take: far more than any needs.
const RUN: Duration = Duration::from_secs(120);

impl Pair {
    fn new(workload: &'static Workload, model: &'static Model, quick: bool) -> Self {
        let size = if quick { workload.quick_size } else { workload.size };
        let sub = SUBSAMPLES.iter().find(|sub| sub.0 == workload.name && sub.1 == model.name);
        let sample = sub.and_then(|sub| if quick { Some(sub.3) } else { sub.2 });
        Self { workload, model, size, sample, load: None }
    }

    /// `primes, a thread per job`, and the load of a point.
    pub(super) fn title(&self) -> String {
        let unit = self.workload.curve.as_ref().map_or("units", |curve| curve.unit);
        let load = self.load.map_or(String::new(), |load| format!(", {load} {unit}"));
        format!("{}, {}{load}", self.workload.name, self.model.label)
    }
}

/// Every name a filter can match.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    WORKLOADS.iter().map(|workload| workload.name).chain(MODELS.iter().map(|model| model.name))
}

/// Whether the filter has part of the model's name in it.
fn names_model(filter: &str, model: &Model) -> bool {
    names_of(filter).any(|name| {
        let name = name.split_once('/').map_or(name, |(_, model)| model);
        !name.is_empty() && model.name.contains(name)
    })
}

/// The names that commas part.
fn names_of(filter: &str) -> impl Iterator<Item = &str> {
    filter.split(',').map(str::trim).filter(|name| !name.is_empty())
}

/// Whether one of the names in `filter`, which commas part, is meant.
fn matches(filter: &str, workload: &Workload, model: &Model) -> bool {
    names_of(filter).any(|name| match name.split_once('/') {
        Some((w, m)) => workload.name.contains(w) && model.name.contains(m),
        None => workload.name.contains(name) || model.name.contains(name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(filter: &str) -> usize {
        Plan::new(Some(filter), false).pairs.len()
    }

    #[test]
    fn pythons_rows_have_their_turn_in_each_third_round_unless_asked_for() {
        let others = Others { python: true, peers: false };
        let turns = |filter, quick| {
            let plan = Plan::among(filter, quick, others);
            let of = |whose| {
                let pair = plan.pairs.iter().find(|pair| pair.model.whose == whose).unwrap();
                plan.turns(pair)
            };
            (of(Whose::Ours), of(Whose::Python), plan.turns(&plan.points[0]))
        };
        assert_eq!(turns(None, false), (9, 3, 3));
        assert_eq!(turns(Some("echo"), false), (9, 9, 3));
        assert_eq!(turns(None, true), (5, 5, 1));
    }

    #[test]
    fn without_a_filter_every_pair_is_run() {
        let others = Others { python: true, peers: true };
        let all = Plan::among(None, true, others);
        assert_eq!(all.pairs.len(), WORKLOADS.len() * MODELS.len());
    }

    #[test]
    fn a_filter_matches_workloads_models_and_pairs_and_keeps_the_baseline() {
        assert_eq!(count("echo"), 7);
        assert_eq!(count("coroutines"), 2 * WORKLOADS.len(), "each with its sequential run");
        assert_eq!(count("pool"), 3 * WORKLOADS.len());
        assert_eq!(count("primes/threadpool"), 2);
        assert_eq!(count("sequential"), WORKLOADS.len());
        assert_eq!(count("nonsense"), 0);
        assert_eq!(count("echo,copy"), 2 * count("echo"));
        assert_eq!(count("echo, primes/threadpool,"), count("echo") + 2);
    }

    #[test]
    fn points_climb_with_all_models_at_each_load() {
        let plan = Plan::new(Some("echo"), false);
        let loads: Vec<_> = plan.points.iter().filter_map(|pair| pair.load).collect();
        assert!(loads.is_sorted() && plan.pairs.iter().all(|pair| pair.load.is_none()));
        assert_eq!(loads.len() % plan.pairs.len(), 0);
        assert!(plan.points.iter().all(|pair| pair.size >= 10_000 && pair.sample.is_none()));
        assert!(plan.points[0].title().ends_with("in sequence, 1 connections"));
        let quick = Plan::new(None, true);
        assert!(quick.points.len() < 50 && quick.point_rounds == 1);
    }

    #[test]
    fn every_subsample_is_of_a_pair_that_exists() {
        for (workload, model, full, quick) in SUBSAMPLES {
            let pairs = Plan::new(Some(&format!("{workload}/{model}")), true).pairs;
            let pair = pairs.iter().find(|pair| pair.model.name == *model);
            let pair = pair.expect("the pair exists");
            assert_eq!(pair.sample, Some(*quick));
            assert!(full.is_none_or(|full| full < pair.workload.size) && *quick < pair.size);
        }
    }

    #[test]
    fn quick_begins_no_round_that_would_end_too_late() {
        let s = Duration::from_secs;
        let quick = Plan::new(None, true);
        assert!(quick.has_time(s(15), s(15)));
        assert!(quick.has_time(s(30), s(15)));
        assert!(!quick.has_time(s(45), s(15)));
        assert!(Plan::new(None, false).has_time(s(4500), s(150)));
        assert!(quick.limit(s(10)).is_some_and(|limit| limit <= s(48)));
        assert_eq!(quick.limit(s(58)), None);
    }

    #[test]
    fn the_list_names_what_would_be_run() {
        let list = Plan::new(Some("sleepers"), true).list();
        assert!(list.contains("10000 waits"), "{list}");
        assert!(list.contains("sleepers/processpool"), "{list}");
        assert!(list.contains("20 of them"), "{list}");
        assert!(list.contains("and each with 1, 100, 1000 jobs"), "{list}");
        assert!(!list.contains("echo"), "{list}");
    }
}
