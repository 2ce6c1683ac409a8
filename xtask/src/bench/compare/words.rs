//! The comparison for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::ratio::Interval;
use super::{Change, Comparison, DRIFT, Measure, Side, Subject, Verdict};
use crate::bench::kinds;
use crate::bench::record;
use crate::bench::text::{points_of_curves, three_digits};

impl Comparison {
    /// What changed, what did not, and what can't be told.
    pub(super) fn in_words(&self) -> String {
        let mut text = format!("A: {}\nB: {}\n", side(&self.a), side(&self.b));
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        text.push_str(&self.changed());
        text.push_str(&self.unchanged());
        let lists = [
            ("Only in A", &self.only_a),
            ("Only in B", &self.only_b),
            ("Not comparable, for the amount of work differs", &self.other_size),
        ];
        for (title, subjects) in lists {
            if !subjects.is_empty() {
                let _ = writeln!(text, "\n{title}: {}.", listed(subjects));
            }
        }
        text
    }

    fn changed(&self) -> String {
        let of = |verdict| self.changes.iter().filter(move |change| change.verdict == verdict);
        let mut changed: Vec<&Change> = of(Verdict::Less).chain(of(Verdict::More)).collect();
        changed.sort_by_key(|change| (&change.subject, change.measure));
        let judged = self.changes.len() - of(Verdict::Unknown).count();
        let mut text = String::new();
        if let Some(drift) = self.drift() {
            let _ = writeln!(text, "\n{drift}");
        }
        match changed.len() {
            0 if judged == 0 => {}
            0 => text.push_str("\nNothing changed beyond noise in B.\n"),
            count => {
                // An interval of 95 % misses once in twenty; half of these are of either sign.
                let chance = (judged as f64 * 0.05).ceil();
                let _ = writeln!(
                    text,
                    "\nChanged beyond noise in B ({count} of {judged} figures; about {chance:.0} \
                     would by chance):"
                );
            }
        }
        for change in changed {
            let _ = writeln!(text, "  {}: {}", subject(change), much(change));
        }
        text
    }

    /// When all runs together took longer or shorter, that is the machine.
    fn drift(&self) -> Option<String> {
        let drift = self.drift.filter(|drift| drift.count >= 6)?;
        let same_way = drift.low > 1.0 || drift.high < 1.0;
        (same_way && (drift.median - 1.0).abs() > DRIFT).then(|| {
            format!(
                "All runs together took {} times [{}, {}] as long in B: that is the machine or \
                 the build rather than one model, so read what follows against it.",
                three_digits(drift.median),
                three_digits(drift.low),
                three_digits(drift.high)
            )
        })
    }

    fn unchanged(&self) -> String {
        let mut text = String::new();
        for (verdict, title) in [
            (Verdict::Level, "Not changed beyond noise"),
            (Verdict::Unknown, "Too few rounds to tell (four of each are the least)"),
        ] {
            let mut by_subject: BTreeMap<&Subject, Vec<&Change>> = BTreeMap::new();
            for change in self.changes.iter().filter(|change| change.verdict == verdict) {
                by_subject.entry(&change.subject).or_default().push(change);
            }
            if by_subject.is_empty() {
                continue;
            }
            let _ = writeln!(text, "\n{title}:");
            for changes in by_subject.values() {
                let all: Vec<String> = changes.iter().map(|change| within(change)).collect();
                let _ = writeln!(text, "  {}: {}", subject(changes[0]), all.join(", "));
            }
        }
        text
    }
}

/// `x.json, 21 November 2026, 12:29 UTC, commit abc, 9 rounds`
fn side(side: &Side) -> String {
    let time = record::in_words(side.time);
    format!("{}, {time}, commit {}, {} rounds", side.path, side.commit, side.rounds)
}

/// `echo by coroutines on one loop, with 100 connections`
fn subject(change: &Change) -> String {
    let Subject { workload, load, model } = &change.subject;
    let unit = if *load == Some(1) { change.unit.trim_end_matches('s') } else { &change.unit };
    let load = load.map_or_else(String::new, |load| format!(", with {load} {unit}"));
    format!("{workload} by {}{load}", label(model))
}

fn label(model: &str) -> &str {
    let known = kinds::MODELS.iter().find(|known| known.name == model);
    known.map_or(model, |known| known.label)
}

/// `12 % [8, 15] less CPU time`, or `2.50 times [2.10, 2.80] the memory`.
fn much(change: &Change) -> String {
    let ratio = change.ratio.ratio;
    let Some(Interval { low, high, .. }) = change.ratio.interval else {
        return format!("{} times the {}", three_digits(ratio), name(change.measure));
    };
    if !(0.5..2.0).contains(&ratio) {
        return format!(
            "{} times [{}, {}] the {}",
            three_digits(ratio),
            three_digits(low),
            three_digits(high),
            name(change.measure)
        );
    }
    let percent = |ratio: f64| ((ratio - 1.0).abs() * 100.0).round();
    let (way, near, far) = match ratio < 1.0 {
        true => ("less", high, low),
        false => ("more", low, high),
    };
    format!(
        "{} % [{}, {}] {way} {}",
        percent(ratio),
        percent(near),
        percent(far),
        name(change.measure)
    )
}

/// `time +1 % [-2, +3]`
fn within(change: &Change) -> String {
    let percent = |ratio: f64| {
        let value = ((ratio - 1.0) * 100.0).round();
        // No minus before a zero.
        if value == 0.0 { "0".to_owned() } else { format!("{value:+}") }
    };
    let range = change.ratio.interval.map_or_else(String::new, |interval| {
        format!(" [{}, {}]", percent(interval.low), percent(interval.high))
    });
    format!("{} {} %{range}", name(change.measure), percent(change.ratio.ratio))
}

fn name(measure: Measure) -> &'static str {
    match measure {
        Measure::Time => "time",
        Measure::CpuTime => "CPU time",
        Measure::P99 => "p99 latency",
        Measure::Memory => "memory",
    }
}

/// By workload: `echo (ThreadPool, coroutines on one loop; 3 points of curves)`
fn listed(subjects: &[Subject]) -> String {
    let mut by_workload: BTreeMap<&str, (Vec<&str>, usize)> = BTreeMap::new();
    for subject in subjects {
        let (models, points) = by_workload.entry(&subject.workload).or_default();
        match subject.load {
            None => models.push(label(&subject.model)),
            Some(_) => *points += 1,
        }
    }
    let one = |(workload, (models, points)): (&str, (Vec<&str>, usize))| {
        let mut parts = Vec::new();
        if !models.is_empty() {
            parts.push(models.join(", "));
        }
        if points > 0 {
            parts.push(points_of_curves(points));
        }
        format!("{workload} ({})", parts.join("; "))
    };
    by_workload.into_iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{compared, record};

    #[test]
    fn changes_are_told_in_per_cent_and_large_ones_as_factors() {
        let before = record(&[("echo", "coroutines", 1.0), ("echo", "sequential", 1.0)], 9);
        let after = record(&[("echo", "coroutines", 0.8), ("echo", "sequential", 3.0)], 9);
        let text = compared(&before, &after).in_words();
        assert!(text.contains("echo by coroutines on one loop: 20 % ["), "{text}");
        assert!(text.contains("] less time"), "{text}");
        assert!(text.contains("one thread in sequence: 3.00 times [2."), "{text}");
        assert!(text.contains("Changed beyond noise in B (2 of 8 figures;"), "{text}");
        assert!(text.contains("CPU time 0 % [0, 0]"), "what did not change: {text}");
    }

    #[test]
    fn a_machine_that_is_slower_at_everything_is_named() {
        let models = ["sequential", "threadpool", "coroutines"];
        let runs = |wall: f64| -> Vec<(&str, &str, f64)> {
            let pairs = ["echo", "copy", "primes"].into_iter();
            pairs.flat_map(|workload| models.map(|model| (workload, model, wall))).collect()
        };
        let text = compared(&record(&runs(1.0), 9), &record(&runs(1.2), 9)).in_words();
        assert!(text.contains("All runs together took 1.20 times"), "{text}");
        let text = compared(&record(&runs(1.0), 9), &record(&runs(1.0), 9)).in_words();
        assert!(!text.contains("All runs together"), "{text}");
        assert!(text.contains("Nothing changed beyond noise"), "{text}");
    }

    #[test]
    fn what_one_lacks_is_listed_by_workload() {
        let before = record(&[("echo", "coroutines", 1.0), ("echo", "threadpool", 1.0)], 9);
        let text = compared(&before, &record(&[], 9)).in_words();
        assert!(text.contains("Only in A: echo (coroutines on one loop, ThreadPool)."), "{text}");
        let text = compared(&record(&[("kv", "fibres", 1.0)], 2), &before).in_words();
        assert!(text.contains("Only in A: kv (fibres)."), "{text}");
    }

    #[test]
    fn too_few_rounds_are_said_to_be_too_few() {
        let few = record(&[("echo", "coroutines", 1.0)], 2);
        let text = compared(&few, &few.clone()).in_words();
        assert!(text.contains("Too few rounds to tell") && !text.contains("Nothing"), "{text}");
    }
}
