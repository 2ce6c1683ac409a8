//! Points of curves that are not run: what a load will take, by what smaller ones took.

use std::time::Duration;

use super::plan::Pair;
use super::text::seconds;

/// What the runs of points took, starts and ends included.
#[derive(Debug, Default)]
pub(super) struct Costs(Vec<(Pair, Duration)>);

impl Costs {
    /// Notes what a run took.
    pub(super) fn note(&mut self, pair: &Pair, took: Duration) {
        self.0.push((*pair, took));
    }

    /// Why `pair` is not to be run, if it would take longer than `most`.
    ///
    /// It is taken to grow as it did between the two greatest loads that were run, and in
    /// proportion where there is only one. A load that was run once is run again.
    pub(super) fn too_long(&self, pair: &Pair, most: Duration) -> Option<String> {
        let of_pair = |(of, _): &&(Pair, Duration)| {
            of.workload == pair.workload && of.model == pair.model && of.load <= pair.load
        };
        let mut runs: Vec<(usize, f64)> = self
            .0
            .iter()
            .filter(of_pair)
            .filter_map(|(of, took)| Some((of.load?, took.as_secs_f64())))
            .collect();
        runs.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        // The fastest run of each load: an accident must not end a curve.
        runs.dedup_by_key(|run| run.0);
        let &(below, last) = runs.last()?;
        let load = pair.load?;
        let growth = match runs.len() {
            0 | 1 => 1.0,
            count => {
                let (before, first) = runs[count - 2];
                (last / first).ln() / (below as f64 / before as f64).ln()
            }
        };
        let expected = last * (load as f64 / below as f64).powf(growth.clamp(0.0, 1.2));
        (expected > most.as_secs_f64() && below < load)
            .then(|| format!("about {} by what {below} took", seconds(expected)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Plan;
    use super::*;

    fn costs(model: &str, runs: &[(usize, u64)]) -> (Costs, impl Fn(usize) -> Option<String>) {
        let plan = Plan::new(Some(&format!("sleepers/{model}")), false);
        let point = move |load| {
            let mut points = plan.points.iter();
            *points
                .find(|p| p.model.name == "coroutines" && p.load == Some(load))
                .expect("is there")
        };
        let mut costs = Costs::default();
        for &(load, ms) in runs {
            costs.note(&point(load), Duration::from_millis(ms));
        }
        let mut copy = Costs::default();
        for (pair, took) in &costs.0 {
            copy.note(pair, *took);
        }
        (costs, move |load| copy.too_long(&point(load), Duration::from_secs(2)))
    }

    #[test]
    fn what_does_not_grow_is_run_and_what_grows_is_not() {
        let (_, constant) = costs("coroutines", &[(1, 30), (10, 30), (100, 31), (1_000, 33)]);
        assert_eq!(constant(10_000), None);
        let (_, linear) = costs("coroutines", &[(1, 30), (10, 210), (100, 2_010)]);
        let why = linear(1_000).expect("20 s are too long");
        assert_eq!(why, "about 19.2 s by what 100 took");
        assert_eq!(linear(100), None, "what was run once is run again");
    }

    #[test]
    fn the_first_load_is_always_run_and_the_second_expected_in_proportion() {
        let (_, none) = costs("coroutines", &[]);
        assert_eq!(none(10_000), None);
        let (_, one) = costs("coroutines", &[(10, 300)]);
        assert_eq!(one(50), None);
        assert!(one(100).is_some_and(|why| why.starts_with("about 3.00 s")));
    }

    #[test]
    fn the_fastest_run_of_a_load_counts() {
        let (_, point) = costs("coroutines", &[(10, 4_000), (10, 30)]);
        assert_eq!(point(50), None);
    }
}
