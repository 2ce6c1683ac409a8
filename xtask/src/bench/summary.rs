//! The runs of one workload put together: a row per model, medians with their intervals.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::curve::{self, Curve, LeftOut};
use super::plan::{Model, Plan, SEQUENTIAL, Workload};
use super::sample::{Pin, Report, Sample};
use super::stats::{self, Summary as Median};

/// All rows of a workload, in the order of the models.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) workload: &'static Workload,
    pub(super) size: usize,
    pub(super) rows: Vec<Row>,
    /// Under other loads.
    pub(super) curve: Option<Curve>,
}

/// What became of a model.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) model: &'static Model,
    pub(super) fate: Fate,
}

#[derive(Debug)]
pub(super) enum Fate {
    /// It can't do the work, and why.
    Refused(String),
    /// No run of it came to an end; the failures are told elsewhere.
    Missing,
    Measured(Box<Figures>),
}

/// Medians over the rounds, for the whole workload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Figures {
    /// Only so many of the jobs were run; times, CPU and switches are extrapolated.
    pub(super) extrapolated_from: Option<usize>,
    pub(super) sampled: Option<String>,
    /// Seconds, by round; the rounds are those of `rounds`.
    pub(super) walls: Vec<f64>,
    pub(super) rounds: Vec<usize>,
    pub(super) wall_s: Median,
    pub(super) cpu_s: Median,
    /// How many times faster than in sequence, round by round.
    pub(super) speed_up: Option<Median>,
    /// The sequential run was extrapolated, so the speed-up is too.
    pub(super) speed_up_extrapolated: bool,
    pub(super) cores_busy: f64,
    pub(super) peak_bytes: f64,
    pub(super) threads: f64,
    pub(super) processes: f64,
    pub(super) voluntary: f64,
    pub(super) involuntary: f64,
    pub(super) p50_s: f64,
    pub(super) p99_s: f64,
    /// Buckets of the jobs' times, over all rounds: the longest in nanoseconds, and how many.
    #[serde(default)]
    pub(super) histogram: Vec<(u64, u64)>,
    /// What one more unit costs, where that is asked.
    #[serde(default)]
    pub(super) unit_bytes: Option<f64>,
    pub(super) pins: Vec<Pin>,
    pub(super) remarks: Vec<String>,
}

impl Figures {
    /// How many times faster than in sequence, unless within the spread it may be no faster.
    pub(super) fn gain(&self) -> Option<Median> {
        self.speed_up.filter(|gain| gain.count < 2 || gain.low > 1.0)
    }
}

impl Summary {
    /// The figures of a model, if it was measured.
    pub(super) fn figures(&self, model: &str) -> Option<&Figures> {
        self.measured().find(|(of, _)| of.name == model).map(|(_, figures)| figures)
    }

    /// The models that were measured.
    pub(super) fn measured(&self) -> impl Iterator<Item = (&'static Model, &Figures)> {
        self.rows.iter().filter_map(|row| match &row.fate {
            Fate::Measured(figures) => Some((row.model, &**figures)),
            _ => None,
        })
    }
}

/// Puts the runs together, workload by workload.
pub(super) fn summarise(plan: &Plan, samples: &[Sample], left_out: &[LeftOut]) -> Vec<Summary> {
    let with_curve = |workload| Summary {
        curve: curve::of(plan, workload, samples, left_out),
        ..one(plan, workload, samples)
    };
    plan.workloads().map(with_curve).collect()
}

/// Without the curve.
fn one(plan: &Plan, workload: &'static Workload, samples: &[Sample]) -> Summary {
    let of = |model: &str| -> Vec<&Sample> {
        let of_pair = |sample: &&Sample| {
            sample.point.is_none()
                && sample.report.workload == workload.name
                && sample.report.model == model
        };
        samples.iter().filter(of_pair).collect()
    };
    let mut baseline = of(SEQUENTIAL);
    baseline.retain(|sample| sample.report.refused.is_none());
    let pairs = plan.pairs.iter().filter(|pair| pair.workload == workload);
    let rows =
        pairs.map(|pair| Row { model: pair.model, fate: fate(&of(pair.model.name), &baseline) });
    let size = samples
        .iter()
        .find(|sample| sample.point.is_none() && sample.report.workload == workload.name)
        .map_or(0, |sample| sample.report.size);
    Summary { workload, size, rows: rows.collect(), curve: None }
}

fn fate(samples: &[&Sample], baseline: &[&Sample]) -> Fate {
    if let Some(why) = samples.iter().find_map(|sample| sample.report.refused.clone()) {
        return Fate::Refused(why);
    }
    match samples.last() {
        Some(last) => Fate::Measured(Box::new(figures(samples, &last.report, baseline))),
        None => Fate::Missing,
    }
}

fn figures(samples: &[&Sample], last: &Report, baseline: &[&Sample]) -> Figures {
    let median = |value: &dyn Fn(&Report) -> f64| {
        let values: Vec<f64> = samples.iter().map(|sample| value(&sample.report)).collect();
        stats::summarise(&values).expect("there is a sample")
    };
    let middle = |value: &dyn Fn(&Report) -> f64| median(value).median;
    let (rounds, walls): (Vec<usize>, Vec<f64>) =
        samples.iter().map(|sample| (sample.round, sample.report.wall())).unzip();
    let speed_up = ratios(
        &by_round(baseline),
        &rounds.iter().copied().zip(walls.iter().copied()).collect::<Vec<_>>(),
    );
    Figures {
        extrapolated_from: last.extrapolated().then_some(last.done),
        sampled: last.sampled.clone(),
        wall_s: median(&Report::wall),
        cpu_s: median(&|report| report.whole(report.cpu_ns) / 1e9),
        speed_up,
        speed_up_extrapolated: last.extrapolated()
            || baseline.iter().any(|sample| sample.report.extrapolated()),
        cores_busy: middle(&|report| report.cpu_ns as f64 / report.wall_ns.max(1) as f64),
        peak_bytes: middle(&|report| report.peak_bytes as f64),
        threads: middle(&|report| report.threads as f64),
        processes: middle(&|report| report.processes as f64),
        voluntary: middle(&|report| report.whole(report.voluntary)),
        involuntary: middle(&|report| report.whole(report.involuntary)),
        p50_s: middle(&|report| report.p50_ns as f64 / 1e9),
        p99_s: middle(&|report| report.p99_ns as f64 / 1e9),
        histogram: merged(samples),
        unit_bytes: last
            .unit_bytes
            .map(|_| middle(&|report| report.unit_bytes.map_or(0.0, |bytes| bytes as f64))),
        pins: last.pins.clone(),
        remarks: last.remarks.clone(),
        walls,
        rounds,
    }
}

/// The histograms of all runs in one. The bounds of their buckets are the same.
fn merged(samples: &[&Sample]) -> Vec<(u64, u64)> {
    let mut all = BTreeMap::new();
    for (upper, count) in samples.iter().flat_map(|sample| &sample.report.histogram) {
        *all.entry(*upper).or_default() += count;
    }
    all.into_iter().collect()
}

fn by_round(samples: &[&Sample]) -> Vec<(usize, f64)> {
    samples.iter().map(|sample| (sample.round, sample.report.wall())).collect()
}

/// Ratios of the values that two subjects have in the same round.
fn ratios(numerators: &[(usize, f64)], denominators: &[(usize, f64)]) -> Option<Median> {
    let pairs = numerators.iter().filter_map(|(round, value)| {
        let other = denominators.iter().find(|(of, _)| of == round)?;
        Some((*value, other.1))
    });
    let (above, below): (Vec<f64>, Vec<f64>) = pairs.unzip();
    stats::ratios(&above, &below)
}

/// How many times longer `slower` took than `faster`, round by round.
pub(super) fn times_longer(slower: &Figures, faster: &Figures) -> Option<Median> {
    let walls = |figures: &Figures| -> Vec<(usize, f64)> {
        figures.rounds.iter().copied().zip(figures.walls.iter().copied()).collect()
    };
    ratios(&walls(slower), &walls(faster))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{report, summary, timed};
    use super::*;

    #[test]
    fn speed_up_is_taken_round_by_round() {
        let runs =
            [timed("primes", "sequential", 2.0, 2.0), timed("primes", "threadpool", 1.0, 2.0)];
        let summary = summary("primes", &runs, 9);
        let pool = summary.figures("threadpool").expect("measured");
        let speed_up = pool.speed_up.expect("has a baseline");
        // Both drift alike, so that the ratio doesn't.
        assert!((speed_up.low - 2.0).abs() < 1e-6 && (speed_up.high - 2.0).abs() < 1e-6);
        assert!(!pool.speed_up_extrapolated);
        assert!((pool.wall_s.median - 1.08).abs() < 1e-6, "{:?}", pool.wall_s);
    }

    #[test]
    fn an_extrapolated_baseline_marks_every_speed_up() {
        let mut part = timed("sleepers", "sequential", 0.4, 0.001);
        (part.size, part.done) = (10_000, 20);
        let mut whole = timed("sleepers", "coroutines", 0.02, 0.01);
        (whole.size, whole.done) = (10_000, 10_000);
        let summary = summary("sleepers", &[part, whole], 1);
        let sequential = summary.figures("sequential").expect("measured");
        assert_eq!((sequential.extrapolated_from, sequential.wall_s.median), (Some(20), 200.0));
        let coroutines = summary.figures("coroutines").expect("measured");
        assert_eq!(coroutines.extrapolated_from, None);
        assert!(coroutines.speed_up_extrapolated);
        assert!((coroutines.speed_up.expect("has one").median - 10_000.0).abs() < 1e-6);
    }

    #[test]
    fn histograms_of_the_rounds_are_added_up_and_points_stay_out() {
        let mut run = report("sleepers", "coroutines");
        run.histogram = vec![(31, 2), (1023, 1)];
        run.unit_bytes = Some(300);
        let summary = summary("sleepers", &[run], 3);
        let figures = summary.figures("coroutines").expect("measured");
        assert_eq!(figures.histogram, [(31, 6), (1023, 3)]);
        assert_eq!(figures.unit_bytes, Some(300.0));
    }

    #[test]
    fn what_can_not_be_done_or_failed_has_no_figures() {
        let mut refused = report("echo", "processpool");
        refused.refused = Some("descriptors stay".into());
        refused.done = 0;
        let summary = summary("echo", &[report("echo", "sequential"), refused], 3);
        assert_eq!(summary.measured().count(), 1);
        let fate = |name| &summary.rows.iter().find(|row| row.model.name == name).unwrap().fate;
        assert!(matches!(fate("processpool"), Fate::Refused(why) if why == "descriptors stay"));
        assert!(matches!(fate("coroutines"), Fate::Missing));
    }
}
