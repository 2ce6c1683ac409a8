//! What is running, how much is done, and how long the rest will take, on stderr: a bar on a
//! terminal, elsewhere a line now and then.
//!
//! What a run will take is what the same run took in the rounds before. A run that had no turn yet
//! is expected to take what others of its workload took, by size, and before any of those, what all
//! runs took on average. With a limit in time nothing beyond it is promised.

use std::collections::HashMap;
use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::plan::{Pair, Plan};

/// Between two lines where there is no terminal.
const PAUSE: Duration = Duration::from_secs(10);

/// All that is to be run, and what it took so far.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    lines: bool,
    told: Option<Instant>,
    start: Instant,
    /// All runs together take no longer, by the plan.
    limit: Option<Duration>,
    ahead: Ahead,
}

/// The runs that are still to come, and what is known of them.
#[derive(Debug, Default)]
struct Ahead {
    /// How often each is still to be run.
    left: Vec<(Pair, usize)>,
    done: usize,
    /// What the runs of each took: the sum, and how many.
    took: HashMap<Key, (f64, usize)>,
    /// The plan runs no point of a curve that takes longer, in seconds.
    longest_point: f64,
}

/// A pair, by names and load.
type Key = (&'static str, &'static str, Option<usize>);

impl Progress {
    /// Of a plan, before its first run.
    pub(super) fn new(plan: &Plan) -> Self {
        let limit = plan.quick.then(|| plan.limit(Duration::ZERO)).flatten();
        let ahead = Ahead::of(plan);
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}");
        let bar = ProgressBar::new(ahead.runs() as u64);
        let bar = bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let lines = !stderr().is_terminal();
        Self { bar, lines, told: None, start: Instant::now(), limit, ahead }
    }

    /// A run begins.
    pub(super) fn begin(&mut self, round: usize, pair: &Pair) {
        let left = self.left().map_or_else(String::new, |left| format!("; {}", words(left)));
        let message = format!("round {}: {}{left}", round + 1, pair.title());
        self.bar.set_message(message.clone());
        if self.lines && self.told.is_none_or(|told| told.elapsed() >= PAUSE) {
            self.told = Some(Instant::now());
            let (done, all) = (self.ahead.done, self.ahead.done + self.ahead.runs());
            anstream::eprintln!("{done} of {all} runs, {message}");
        }
    }

    /// A run has ended after so long; without a time it was passed over.
    pub(super) fn end(&mut self, pair: &Pair, took: Option<Duration>) {
        self.ahead.note(pair, took);
        self.bar.inc(1);
    }

    /// All is done, or there is no time left.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// How long it will still take; `None` before there is anything to judge by.
    fn left(&self) -> Option<Duration> {
        let rest = self.limit.map(|limit| limit.saturating_sub(self.start.elapsed()));
        match (self.ahead.expected(), rest) {
            (Some(expected), Some(rest)) => Some(expected.min(rest)),
            (expected, rest) => expected.or(rest),
        }
    }
}

impl Ahead {
    fn of(plan: &Plan) -> Self {
        let all = plan.pairs.iter().chain(&plan.points);
        let left = all.map(|pair| (*pair, plan.turns(pair))).collect();
        let longest_point = plan.longest_point().as_secs_f64();
        Self { left, longest_point, ..Self::default() }
    }

    fn runs(&self) -> usize {
        self.left.iter().map(|(_, count)| count).sum()
    }

    fn note(&mut self, pair: &Pair, took: Option<Duration>) {
        self.done += 1;
        if let Some((_, left)) = self.left.iter_mut().find(|(of, _)| key(of) == key(pair)) {
            *left = left.saturating_sub(1);
        }
        // What was passed over once (a load that is too much, say) is taken to be so again.
        let took = took.map_or(0.0, |took| took.as_secs_f64());
        let (sum, count) = self.took.entry(key(pair)).or_default();
        (*sum, *count) = (*sum + took, *count + 1);
    }

    fn expected(&self) -> Option<Duration> {
        if self.took.is_empty() {
            return None;
        }
        let seconds = self.left.iter().map(|(pair, count)| self.seconds(pair) * *count as f64);
        Some(Duration::from_secs_f64(seconds.sum()))
    }

    /// Seconds that a run will take.
    fn seconds(&self, pair: &Pair) -> f64 {
        let mean = |(sum, count): &(f64, usize)| sum / *count as f64;
        if let Some(took) = self.took.get(&key(pair)) {
            return mean(took);
        }
        // Starting processes is part of every run, however little there is to do.
        let start = self.took.values().map(mean).filter(|took| *took > 0.0);
        let start = start.fold(f64::INFINITY, f64::min).min(0.05);
        let kin = self.left.iter().filter(|(of, _)| of.workload == pair.workload);
        let kin: Vec<f64> = kin
            .filter_map(|(of, _)| {
                let took = self.took.get(&key(of)).map(mean).filter(|took| *took > 0.0)?;
                let more = work(pair) as f64 / work(of).max(1) as f64;
                Some(start + (took - start).max(0.0) * more)
            })
            .collect();
        let all: Vec<f64> = match kin.is_empty() {
            true => self.took.values().map(mean).collect(),
            false => kin,
        };
        let expected = all.iter().sum::<f64>() / all.len() as f64;
        if pair.load.is_some() { expected.min(self.longest_point) } else { expected }
    }
}

fn key(pair: &Pair) -> Key {
    (pair.workload.name, pair.model.name, pair.load)
}

/// How much a run does.
fn work(pair: &Pair) -> usize {
    pair.sample.unwrap_or(pair.size)
}

/// `about 3 min left`, as round as an estimate is.
fn words(left: Duration) -> String {
    match left.as_secs() {
        0..5 => "a few seconds left".to_owned(),
        seconds @ 5..58 => format!("about {} s left", seconds.div_ceil(5) * 5),
        seconds @ 58..5_400 => format!("about {} min left", (seconds + 30) / 60),
        seconds => format!("about {:.1} h left", seconds as f64 / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without its curves.
    fn plan(filter: &str, rounds: usize) -> Plan {
        let plan = Plan::new(Some(filter), false);
        Plan { rounds, points: Vec::new(), ..plan }
    }

    fn seconds(ahead: &Ahead) -> f64 {
        ahead.expected().expect("something was run").as_secs_f64()
    }

    #[test]
    fn nothing_is_said_before_anything_was_run() {
        assert_eq!(Ahead::of(&plan("primes", 9)).expected(), None);
    }

    #[test]
    fn what_a_run_took_is_what_it_will_take() {
        let plan = plan("primes/threadpool", 3);
        let (pairs, mut ahead) = (&plan.pairs, Ahead::of(&plan));
        ahead.note(&pairs[0], Some(Duration::from_secs(4)));
        ahead.note(&pairs[1], Some(Duration::from_secs(2)));
        assert_eq!((ahead.done, ahead.runs()), (2, 4));
        assert!((seconds(&ahead) - 12.0).abs() < 1e-9, "two of 4 s, two of 2 s");
        ahead.note(&pairs[0], Some(Duration::from_secs(6)));
        assert!((seconds(&ahead) - 9.0).abs() < 1e-9, "one of 5 s, two of 2 s");
    }

    #[test]
    fn others_of_the_workload_are_asked_for_what_had_no_turn_yet() {
        let plan = plan("sleepers/coroutines", 1);
        let (sequential, coroutines) = (plan.pairs[0], plan.pairs[1]);
        assert!(work(&sequential) < work(&coroutines), "a part of it");
        let mut ahead = Ahead::of(&plan);
        ahead.note(&sequential, Some(Duration::from_millis(2_050)));
        let more = work(&coroutines) as f64 / work(&sequential) as f64;
        assert!((seconds(&ahead) - (0.05 + 2.0 * more)).abs() < 1e-6, "{ahead:?}");
    }

    #[test]
    fn a_workload_that_had_no_turn_is_expected_to_take_what_runs_take() {
        let plan = plan("sequential", 1);
        let mut ahead = Ahead::of(&plan);
        ahead.note(&plan.pairs[0], Some(Duration::from_secs(3)));
        let rest = plan.pairs.len() as f64 - 1.0;
        assert!((seconds(&ahead) - 3.0 * rest).abs() < 1e-6, "{ahead:?}");
    }

    #[test]
    fn a_run_that_was_passed_over_is_expected_to_be_so_again() {
        let plan = plan("primes/threadpool", 2);
        let (pairs, mut ahead) = (&plan.pairs, Ahead::of(&plan));
        ahead.note(&pairs[0], Some(Duration::from_secs(4)));
        ahead.note(&pairs[1], None);
        assert!((seconds(&ahead) - 4.0).abs() < 1e-9, "{ahead:?}");
    }

    #[test]
    fn a_point_is_never_expected_to_take_longer_than_the_plan_lets_it() {
        let all = Plan::new(Some("sleepers/coroutines"), false);
        let mut ahead = Ahead::of(&all);
        ahead.note(&all.pairs[0], Some(Duration::from_secs(4_000)));
        let most = all.longest_point().as_secs_f64();
        assert!(all.points.iter().all(|point| ahead.seconds(point) <= most), "{ahead:?}");
    }

    #[test]
    fn no_more_is_promised_than_the_limit_allows() {
        let plan = Plan::new(None, true);
        let (pairs, mut progress) = (&plan.pairs, Progress::new(&plan));
        assert!(progress.left().is_some_and(|left| left <= Duration::from_secs(60)));
        progress.end(&pairs[0], Some(Duration::from_secs(400)));
        assert!(progress.left().is_some_and(|left| left <= Duration::from_secs(60)));
        progress.limit = None;
        assert!(progress.left().is_some_and(|left| left > Duration::from_secs(600)));
    }

    #[test]
    fn the_time_left_is_as_round_as_an_estimate() {
        let left = [1, 12, 57, 61, 170, 9_000].map(|s| words(Duration::from_secs(s)));
        let expected = [
            "a few seconds left",
            "about 15 s left",
            "about 60 s left",
            "about 1 min left",
            "about 3 min left",
            "about 2.5 h left",
        ];
        assert_eq!(left, expected);
    }
}
