//! Points of curves that are not run: what a load will take, by what smaller ones took.

use std::time::Duration;

use super::plan::Pair;
use super::text::seconds;

/// What the runs took, starts and ends included.
#[derive(Debug, Default)]
pub(super) struct Costs(Vec<(Pair, f64)>);

impl Costs {
    /// Notes what a run took, of which only a share may have been done.
    pub(super) fn note(&mut self, pair: &Pair, took: Duration, done: usize) {
        let whole = pair.size as f64 / done.max(1) as f64;
        self.0.push((*pair, took.as_secs_f64() * whole));
    }

    /// Why `pair`, a point, is not to be run, if it would take longer than `most`.
    ///
    /// It is taken to grow as it did between the two greatest loads that were run. Where these are
    /// too few, or were given equally much to do, it goes by the run for the table, in proportion.
    /// A load that was run once is run again.
    pub(super) fn too_long(&self, pair: &Pair, most: Duration) -> Option<String> {
        let runs = self.points(pair);
        let (expected, by) = match runs[..] {
            [.., (last, _)] if last.load == pair.load => return None,
            [.., (before, first), (last, second)] if before.size < last.size => {
                let growth = (second / first).ln() / ratio(last.size, before.size).ln();
                let further = ratio(pair.size, last.size);
                (second * further.powf(growth.clamp(0.0, 1.2)), last.size)
            }
            _ => {
                let (table, took) = self.of_table(pair)?;
                (took * ratio(pair.size, table.size), table.size)
            }
        };
        (expected > most.as_secs_f64()).then(|| {
            format!("about {} by what {by} {} took", seconds(expected), pair.workload.unit)
        })
    }

    /// The points that were run up to the load of `pair`, the fastest run of each: an accident must
    /// not end a curve.
    fn points(&self, pair: &Pair) -> Vec<(&Pair, f64)> {
        let below = |(of, _): &&(Pair, f64)| {
            of.workload == pair.workload
                && of.model == pair.model
                && of.load.is_some_and(|load| pair.load.is_some_and(|most| load <= most))
        };
        let mut runs: Vec<_> = self.0.iter().filter(below).map(|(of, took)| (of, *took)).collect();
        runs.sort_by(|a, b| a.0.load.cmp(&b.0.load).then(a.1.total_cmp(&b.1)));
        runs.dedup_by_key(|run| run.0.load);
        runs
    }

    /// The fastest run for the table.
    fn of_table(&self, pair: &Pair) -> Option<(&Pair, f64)> {
        let alike = |(of, _): &&(Pair, f64)| {
            of.workload == pair.workload && of.model == pair.model && of.load.is_none()
        };
        let runs = self.0.iter().filter(alike).map(|(of, took)| (of, *took));
        runs.min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

fn ratio(above: usize, below: usize) -> f64 {
    above as f64 / below.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::super::plan::Plan;
    use super::*;

    /// What is said of a load of coroutines, after the table's run and those of other loads took so
    /// many milliseconds.
    fn after(
        workload: &str,
        table: Option<(usize, u64)>,
        runs: &[(usize, u64)],
        load: usize,
    ) -> Option<String> {
        let plan = Plan::new(Some(&format!("{workload}/coroutines")), false);
        let ours = |pairs: &[Pair], load| {
            let is_it = |p: &&Pair| p.model.name == "coroutines" && p.load == load;
            *pairs.iter().find(is_it).expect("it is planned")
        };
        let mut costs = Costs::default();
        if let Some((done, ms)) = table {
            costs.note(&ours(&plan.pairs, None), Duration::from_millis(ms), done);
        }
        for &(load, ms) in runs {
            let pair = ours(&plan.points, Some(load));
            costs.note(&pair, Duration::from_millis(ms), pair.size);
        }
        costs.too_long(&ours(&plan.points, Some(load)), Duration::from_secs(2))
    }

    #[test]
    fn what_does_not_grow_is_run_and_what_grows_is_not() {
        let constant = [(1, 30), (10, 30), (100, 31), (1_000, 33)];
        assert_eq!(after("sleepers", None, &constant, 10_000), None);
        let linear = [(1, 30), (10, 210), (100, 2_010)];
        let why = after("sleepers", None, &linear, 1_000).expect("20 s are too long");
        assert_eq!(why, "about 19.2 s by what 100 waits took");
        assert_eq!(after("sleepers", None, &linear, 100), None, "what was run once is run again");
    }

    #[test]
    fn the_first_loads_go_by_the_table() {
        assert_eq!(after("sleepers", None, &[], 10_000), None, "nothing is known");
        // In sequence 100 of 10 000 took 2 s.
        let why = after("sleepers", Some((100, 2_000)), &[(1, 30)], 1_000);
        assert_eq!(why.as_deref(), Some("about 20.0 s by what 10000 waits took"));
        assert_eq!(after("sleepers", Some((100, 2_000)), &[(1, 30)], 50), None);
        // At once all took 30 ms, so one that took as long says nothing about many.
        assert_eq!(after("sleepers", Some((10_000, 30)), &[(1, 30)], 1_000), None);
    }

    #[test]
    fn loads_that_are_given_equally_much_to_do_go_by_the_table() {
        let runs = [(1, 900), (10, 400), (100, 300)];
        assert_eq!(after("echo", Some((100_000, 1_000)), &runs, 1_000), None);
        assert!(after("echo", Some((100_000, 90_000)), &runs, 1_000).is_some());
    }

    #[test]
    fn the_fastest_run_of_a_load_counts() {
        let runs = [(10, 4_000), (10, 30), (50, 40)];
        assert_eq!(after("sleepers", None, &runs, 100), None);
    }
}
