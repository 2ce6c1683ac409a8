//! The points of one workload's curve put together: what each model costs under each load.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::plan::{Model, Pair, Plan, Workload};
use super::sample::{Report, Sample};
use super::stats::{self, Summary as Median};

/// A point that was not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) workload: &'static str,
    pub(super) model: &'static str,
    pub(super) load: usize,
    pub(super) why: String,
}

impl LeftOut {
    /// A point whose run was killed after so long.
    pub(super) fn without_end(pair: &Pair, limit: Duration) -> Self {
        let why = format!("no end within {} s", limit.as_secs());
        let load = pair.load.unwrap_or_default();
        Self { workload: pair.workload.name, model: pair.model.name, load, why }
    }
}

/// All points of a workload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Curve {
    /// What the load counts.
    pub(super) unit: String,
    /// By load, ascending.
    pub(super) points: Vec<Point>,
}

/// What became of the models under one load.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Point {
    pub(super) load: usize,
    /// Jobs or requests that were done under it.
    pub(super) size: usize,
    pub(super) models: BTreeMap<String, Fate>,
}

/// What became of a model under a load.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Fate {
    Measured(Box<Figures>),
    /// It can't, and why.
    Refused {
        refused: String,
    },
    /// It was not run, and why.
    LeftOut {
        left_out: String,
    },
    /// No run of it came to an end, or the time was over.
    Missing {
        missing: bool,
    },
}

/// Medians over the rounds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Figures {
    pub(super) wall_s: Median,
    /// Jobs or requests in a second.
    pub(super) rate: Median,
    pub(super) cpu_s: Median,
    pub(super) p50_s: f64,
    pub(super) p99_s: f64,
    pub(super) peak_bytes: f64,
    pub(super) threads: f64,
    pub(super) processes: f64,
    /// Of all threads, to wait and forced.
    pub(super) switches: f64,
}

impl Curve {
    /// The loads at which a model was measured, ascending, with its figures.
    pub(super) fn of_model<'a>(&'a self, model: &str) -> Vec<(usize, &'a Figures)> {
        let at = |point: &'a Point| Some((point.load, point.figures(model)?));
        let mut of: Vec<_> = self.points.iter().filter_map(at).collect();
        of.sort_by_key(|(load, _)| *load);
        of
    }

    /// The models that were measured at one load at least, by name.
    pub(super) fn models(&self) -> Vec<&str> {
        let names = self.points.iter().flat_map(|point| &point.models);
        let measured = names.filter(|(_, fate)| matches!(fate, Fate::Measured(_)));
        let mut names: Vec<&str> = measured.map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl Point {
    /// The figures of a model, if it was measured.
    pub(super) fn figures(&self, model: &str) -> Option<&Figures> {
        match self.models.get(model)? {
            Fate::Measured(figures) => Some(figures),
            _ => None,
        }
    }
}

/// Puts the points of a workload together; none where it has no curve in this plan.
pub(super) fn of(
    plan: &Plan,
    workload: &'static Workload,
    samples: &[Sample],
    left_out: &[LeftOut],
) -> Option<Curve> {
    let pairs: Vec<_> = plan.points.iter().filter(|pair| pair.workload == workload).collect();
    let mut loads: Vec<usize> = pairs.iter().filter_map(|pair| pair.load).collect();
    loads.dedup();
    let point = |load: usize| {
        let here = pairs.iter().filter(|pair| pair.load == Some(load));
        let fate = |model: &'static Model| {
            let of_model = |sample: &&Sample| {
                sample.point == Some(load)
                    && sample.report.workload == workload.name
                    && sample.report.model == model.name
            };
            let runs: Vec<&Report> =
                samples.iter().filter(of_model).map(|sample| &sample.report).collect();
            let why = left_out.iter().find(|out| {
                (out.workload, out.model, out.load) == (workload.name, model.name, load)
            });
            (model.name.to_owned(), fate(&runs, why))
        };
        let size = here.clone().next().map_or(0, |pair| pair.size);
        Point { load, size, models: here.map(|pair| fate(pair.model)).collect() }
    };
    let unit = workload.curve.as_ref()?.unit.to_owned();
    let points: Vec<Point> = loads.into_iter().map(point).collect();
    (!points.is_empty()).then_some(Curve { unit, points })
}

fn fate(runs: &[&Report], left_out: Option<&LeftOut>) -> Fate {
    if let Some(why) = runs.iter().find_map(|run| run.refused.clone()) {
        return Fate::Refused { refused: why };
    }
    if let Some(out) = left_out.filter(|_| runs.is_empty()) {
        return Fate::LeftOut { left_out: out.why.clone() };
    }
    let median = |value: &dyn Fn(&Report) -> f64| {
        stats::summarise(&runs.iter().map(|run| value(run)).collect::<Vec<_>>())
    };
    let Some(wall_s) = median(&Report::wall) else { return Fate::Missing { missing: true } };
    let all = |value: &dyn Fn(&Report) -> f64| median(value).expect("there is a run");
    let middle = |value: &dyn Fn(&Report) -> f64| all(value).median;
    Fate::Measured(Box::new(Figures {
        wall_s,
        rate: all(&|run| run.size as f64 / run.wall()),
        cpu_s: all(&|run| run.whole(run.cpu_ns) / 1e9),
        p50_s: middle(&|run| run.p50_ns as f64 / 1e9),
        p99_s: middle(&|run| run.p99_ns as f64 / 1e9),
        peak_bytes: middle(&|run| run.peak_bytes as f64),
        threads: middle(&|run| run.threads as f64),
        processes: middle(&|run| run.processes as f64),
        switches: middle(&|run| run.whole(run.voluntary + run.involuntary)),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::timed;
    use super::*;

    fn sample(model: &str, load: usize, wall: f64) -> Sample {
        let mut report = timed("sleepers", model, wall, 0.01);
        (report.load, report.size, report.done) = (load, load, load);
        Sample { round: 0, point: Some(load), averages: String::new(), report }
    }

    #[test]
    fn points_are_told_apart_from_each_other_and_from_the_table() {
        let plan = Plan::new(Some("sleepers"), false);
        let workload = plan.workloads().next().expect("sleepers");
        let mut samples = vec![
            sample("coroutines", 1, 0.02),
            sample("coroutines", 10, 0.02),
            sample("coroutines", 10, 0.04),
            sample("processpool", 10, 0.1),
        ];
        samples[3].report.refused = Some("no room".into());
        samples.push(Sample { point: None, ..sample("coroutines", 10, 7.0) });
        let out = LeftOut {
            workload: "sleepers",
            model: "sequential",
            load: 10_000,
            why: "about 200 s".into(),
        };
        let curve = of(&plan, workload, &samples, &[out]).expect("has one");
        assert_eq!(curve.unit, "jobs");
        let at = |load| curve.points.iter().find(|point| point.load == load).expect("is there");
        let ten = at(10).figures("coroutines").expect("measured");
        assert_eq!((ten.wall_s.count, ten.wall_s.max), (2, 0.04));
        assert!((ten.rate.max - 500.0).abs() < 1e-9, "{ten:?}");
        let value = serde_json::to_value(&curve).expect("JSON");
        let ten = value["points"].as_array().and_then(|all| all.iter().find(|p| p["load"] == 10));
        assert_eq!(ten.expect("is there")["models"]["processpool"]["refused"], "no room");
        let models = |load| serde_json::to_value(&at(load).models).expect("JSON");
        assert_eq!(models(10_000)["sequential"]["left_out"], "about 200 s");
        assert_eq!(models(10_000)["coroutines"]["missing"], true);
        assert!(models(1)["coroutines"]["rate"]["median"].is_number());
    }
}
