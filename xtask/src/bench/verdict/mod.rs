//! One sentence per workload: which model won, by how much beyond the spread, and why. The why is
//! read off the figures, so that it holds on machines where another model wins.
//!
//! Most work is won by who does it in the least time; [`why`] has the reasons. [`room`] is about
//! the workloads that ask what one more unit costs, where time is not the question.

mod room;
mod why;

use serde::{Deserialize, Serialize};

use super::plan::{Model, SEQUENTIAL};
use super::stats::Summary as Median;
use super::summary::{Figures, Summary, times_longer};
use super::text::{marked, seconds, three_digits};

type Entry<'a> = (&'static Model, &'a Figures);

/// What came of a workload, in parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    /// The name of the fastest model.
    pub(super) winner: String,
    /// Names of those that are level with it within the spread.
    pub(super) level: Vec<String>,
    /// Read off the figures; the end of a sentence.
    pub(super) why: String,
}

/// The winner, if there were two to choose from.
pub(super) fn answer(summary: &Summary, cores: usize) -> Option<Answer> {
    if room::is_asked(summary) {
        return room::answer(summary);
    }
    let (winner, others) = ranked(summary)?;
    let level = |other: &&Entry<'_>| {
        times_longer(other.1, winner.1).is_some_and(|ratio| ratio.count > 1 && ratio.low <= 1.0)
    };
    (!others.is_empty()).then(|| Answer {
        winner: winner.0.name.to_owned(),
        level: others.iter().filter(level).map(|other| other.0.name.to_owned()).collect(),
        why: why::of(summary, winner, cores),
    })
}

/// The sentence.
pub(super) fn sentence(summary: &Summary, cores: usize) -> String {
    if let Some(sentence) = room::sentence(summary) {
        return sentence;
    }
    let Some((winner, others)) = ranked(summary) else {
        return "No model was measured.".to_owned();
    };
    if others.is_empty() {
        return format!("Only {} was measured, in {}.", winner.0.label, wall(winner.1));
    }
    let lead = lead(winner, &others);
    let why = why::of(summary, winner, cores);
    format!("{} in {}{}{lead}: {why}.", won(winner), wall(winner.1), gain(winner))
}

/// The fastest, and the others from fast to slow.
fn ranked(summary: &Summary) -> Option<(Entry<'_>, Vec<Entry<'_>>)> {
    let mut all: Vec<Entry<'_>> = summary.measured().collect();
    all.sort_by(|a, b| a.1.wall_s.median.total_cmp(&b.1.wall_s.median));
    let others = all.split_off(all.len().min(1));
    Some((all.pop()?, others))
}

fn won(winner: Entry<'_>) -> String {
    format!("{} won", capital(winner.0.label))
}

fn capital(label: &str) -> String {
    let mut label = label.to_owned();
    label[..1].make_ascii_uppercase();
    label
}

fn wall(figures: &Figures) -> String {
    marked(figures.extrapolated_from.is_some(), seconds(figures.wall_s.median))
}

fn gain(winner: Entry<'_>) -> String {
    let (model, figures) = winner;
    match figures.gain().filter(|_| model.name != SEQUENTIAL) {
        Some(gain) => {
            let times = marked(figures.speed_up_extrapolated, three_digits(gain.median));
            format!(", {times} times as fast as one thread in sequence")
        }
        None => String::new(),
    }
}

/// Who is level with the winner, and how far behind the next one is.
fn lead(winner: Entry<'_>, others: &[Entry<'_>]) -> String {
    let behind: Vec<(Entry<'_>, Median)> = others
        .iter()
        .filter_map(|&other| Some((other, times_longer(other.1, winner.1)?)))
        .collect();
    let Some(&(_, first)) = behind.first() else { return String::new() };
    if first.count < 2 {
        let (model, _) = behind[0].0;
        return format!(
            " (next: {}, {} times as long; one round tells nothing about the spread)",
            model.label,
            three_digits(first.median)
        );
    }
    let level: Vec<&str> = behind
        .iter()
        .filter(|(_, ratio)| ratio.low <= 1.0)
        .map(|((model, _), _)| model.label)
        .collect();
    let next = behind.iter().find(|(_, ratio)| ratio.low > 1.0).map(|((model, _), ratio)| {
        format!(
            "{} took {} [{}, {}] times as long",
            model.label,
            three_digits(ratio.median),
            three_digits(ratio.low),
            three_digits(ratio.high)
        )
    });
    match (level.is_empty(), next) {
        (true, Some(next)) => format!(", beyond the spread ({next})"),
        (false, Some(next)) => {
            format!(", level within the spread with {} ({next})", all_of(&level))
        }
        (_, None) => ", level within the spread with all others".to_owned(),
    }
}

/// `a, b and c`
fn all_of(labels: &[&str]) -> String {
    match labels {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => labels.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{of_rounds, summary, timed};
    use super::super::sample::Report;
    use super::*;

    fn primes(loops: f64, pool: f64) -> Vec<Report> {
        vec![
            timed("primes", "sequential", 2.0, 2.0),
            timed("primes", "coroutines", 2.0, 2.0),
            timed("primes", "loop-per-core", loops, 2.0),
            timed("primes", "threadpool", pool, 2.0),
        ]
    }

    #[test]
    fn the_winner_its_lead_and_the_reason_are_named() {
        let text = sentence(&summary("primes", &primes(1.3, 1.0), 9), 2);
        assert!(text.starts_with("ThreadPool won in 1.08 s, 2.00 times as fast"), "{text}");
        assert!(text.contains("beyond the spread (a loop per core took 1.30 ["), "{text}");
        assert!(text.contains("1.9 of 2 cores busy"), "{text}");
        assert!(text.contains("gains nothing (1.00x)"), "{text}");
        assert!(text.ends_with('.') && !text.trim_end_matches('.').contains(". "), "{text}");
        let answer = answer(&summary("primes", &primes(1.3, 1.0), 9), 2).expect("two models");
        assert_eq!((answer.winner.as_str(), answer.level.len()), ("threadpool", 0));
        assert!(text.contains(&answer.why), "{answer:?}");
    }

    #[test]
    fn who_is_level_with_one_thread_is_not_said_to_be_faster() {
        // Twice as fast in most rounds, and slower in some.
        let rounds: Vec<Vec<Report>> = [2.0, 2.0, 2.0, 2.0, 2.0, 0.5, 0.5, 0.5, 0.5]
            .iter()
            .map(|alone| {
                vec![
                    timed("primes", "sequential", *alone, 2.0),
                    timed("primes", "threadpool", 1.0, 2.0),
                ]
            })
            .collect();
        let text = sentence(&of_rounds("primes", &rounds), 2);
        assert!(text.contains("level within the spread with all others"), "{text}");
        assert!(!text.contains("times as fast"), "{text}");
    }

    #[test]
    fn what_lies_within_the_spread_is_level() {
        let mut runs = primes(1.0, 1.0);
        runs[2].wall_ns += 1000;
        let text = sentence(&summary("primes", &runs, 9), 2);
        // 1 us in 1 s, but the same in every round: that is beyond the spread.
        assert!(text.contains("beyond the spread"), "{text}");
        runs[2].wall_ns -= 1000;
        let text = sentence(&summary("primes", &runs, 9), 2);
        assert!(text.contains("level within the spread with"), "{text}");
        assert!(text.contains("took 2.00 [2.00, 2.00] times as long"), "{text}");
        let level = answer(&summary("primes", &runs, 9), 2).expect("two models").level;
        assert_eq!(level, ["loop-per-core"]);
    }

    #[test]
    fn one_round_claims_no_spread() {
        let text = sentence(&summary("primes", &primes(1.3, 1.0), 1), 2);
        assert!(text.contains("one round tells nothing about the spread"), "{text}");
        assert!(!text.contains("beyond"), "{text}");
    }

    #[test]
    fn an_unusual_winner_gets_no_usual_reason() {
        let mut runs = primes(3.0, 3.0);
        runs[0].wall_ns /= 2;
        let text = sentence(&summary("primes", &runs, 9), 2);
        assert!(text.starts_with("One thread in sequence won"), "{text}");
        assert!(text.contains("too short") && !text.contains("cores busy"), "{text}");
        let runs =
            [timed("primes", "sequential", 2.0, 2.0), timed("primes", "threadpool", 1.9, 1.9)];
        let text = sentence(&summary("primes", &runs, 9), 2);
        assert!(text.contains("no more than that to itself (0.9 of 2 cores busy)"), "{text}");
    }

    #[test]
    fn extrapolation_is_marked_here_too() {
        let mut part = timed("sleepers", "sequential", 0.4, 0.001);
        (part.size, part.done) = (10_000, 20);
        let mut whole = timed("sleepers", "coroutines", 0.02, 0.01);
        (whole.size, whole.done) = (10_000, 10_000);
        let text = sentence(&summary("sleepers", &[part, whole], 3), 2);
        assert!(text.contains("~10000 times as fast"), "{text}");
        assert!(text.contains("won in 20.4 ms"), "{text}");
    }

    #[test]
    fn alone_or_with_nobody_there_is_no_winner() {
        let alone = summary("primes", &[timed("primes", "sequential", 1.0, 1.0)], 2);
        assert!(sentence(&alone, 2).starts_with("Only one thread in sequence was measured"));
        assert_eq!(answer(&alone, 2), None);
    }
}
