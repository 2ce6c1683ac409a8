//! The workloads that ask what one more unit costs: idle units (`memory`), and a million waits
//! (`million`). Who needs least wins; how long it took says nothing, for nothing is to be done.

use super::{Answer, Entry, all_of, capital};
use crate::bench::summary::{Figures, Summary};
use crate::bench::text::{bytes, grouped, seconds, three_digits};

/// Below this ratio two models need as much as each other.
const LEVEL: f64 = 1.05;

/// Whether the workload is one of these.
pub(super) fn is_asked(summary: &Summary) -> bool {
    summary.measured().any(|(_, figures)| figures.unit_bytes.is_some())
}

/// The models by what one more unit costs.
fn ranked(summary: &Summary) -> Vec<(Entry<'_>, f64)> {
    let mut all: Vec<(Entry<'_>, f64)> =
        summary.measured().filter_map(|entry| Some((entry, entry.1.unit_bytes?))).collect();
    all.sort_by(|a, b| a.1.total_cmp(&b.1));
    all
}

/// Who needs least, if there were two to choose from.
pub(super) fn answer(summary: &Summary) -> Option<Answer> {
    let all = ranked(summary);
    let (winner, rest) = all.split_first()?;
    let level = rest.iter().filter(|other| other.1 <= winner.1 * LEVEL);
    (!rest.is_empty()).then(|| Answer {
        winner: winner.0.0.name.to_owned(),
        level: level.map(|other| other.0.0.name.to_owned()).collect(),
        why: why(summary, &all),
    })
}

/// The sentence; `None` for other workloads.
pub(super) fn sentence(summary: &Summary) -> Option<String> {
    let all = ranked(summary);
    let (winner, rest) = all.split_first()?;
    let label = winner.0.0.label;
    if rest.is_empty() {
        let one = bytes(winner.1);
        return Some(format!("Only {label} was measured: {one} for one more."));
    }
    Some(format!("{} least: {}.", capital(&format!("{label} needed")), why(summary, &all)))
}

fn why(summary: &Summary, all: &[(Entry<'_>, f64)]) -> String {
    let Some((winner, rest)) = all.split_first() else { return String::new() };
    let own = bytes(winner.1);
    let (level, more): (Vec<_>, Vec<_>) =
        rest.iter().partition(|(_, need)| *need <= winner.1 * LEVEL);
    let level: Vec<&str> = level.iter().map(|(entry, _)| entry.0.label).collect();
    let mut others = Vec::new();
    if !level.is_empty() {
        others.push(format!("{} as little", all_of(&level)));
    }
    // The nearest and the farthest; all of them stand in the table.
    let last = more.iter().skip(1).next_back();
    others.extend(more.first().into_iter().chain(last).map(|(entry, need)| {
        let times = three_digits(need / winner.1.max(1.0));
        format!("{} {} ({times} times)", entry.0.label, bytes(*need))
    }));
    let others = others.join(", ");
    match summary.workload.name {
        "million" => format!("one more wait costs {own}, {others}; {}", late(summary, winner.0.1)),
        _ => format!(
            "one more that is idle costs {own} of its process, {others}; a task is as large as \
             what it keeps across its waits, a thread has at least the pages of its stack that it \
             touched, and a process its own copy of whatever it wrote to"
        ),
    }
}

/// How late the waits ended.
fn late(summary: &Summary, figures: &Figures) -> String {
    let (p50, p99) = (seconds(figures.p50_s), seconds(figures.p99_s));
    let done = grouped(figures.extrapolated_from.unwrap_or(summary.size) as u64, ' ');
    format!("of {done}, half were woken within {p50} of their time and 99 of 100 within {p99}")
}

#[cfg(test)]
mod tests {
    use super::super::{answer as answer_of, sentence as sentence_of};
    use crate::bench::fixture::{renamed, timed};
    use crate::bench::sample::Report;

    fn needing(model: &str, wall: f64, unit: u64) -> Report {
        Report { unit_bytes: Some(unit), ..timed("primes", model, wall, 0.1) }
    }

    #[test]
    fn who_needs_least_wins_however_long_it_took() {
        let runs = [
            needing("thread-per-job", 0.1, 20_000),
            needing("coroutines", 3.0, 500),
            needing("loop-per-core", 2.0, 510),
            needing("threadpool", 2.0, 30_000),
            needing("processpool", 2.0, 2_000_000),
        ];
        let memory = renamed("memory", &runs, 9);
        let text = sentence_of(&memory, 2);
        assert!(text.starts_with("Coroutines on one loop needed least: one more"), "{text}");
        assert!(text.contains("a loop per core as little"), "{text}");
        assert!(
            text.contains("a thread per job 19.5 KiB (40.0 times), ProcessPool 1.91"),
            "{text}"
        );
        assert!(!text.contains("ThreadPool"), "neither near nor far: {text}");
        let answer = answer_of(&memory, 2).expect("three to choose from");
        assert_eq!((answer.winner.as_str(), answer.level.len()), ("coroutines", 1));
    }

    #[test]
    fn a_million_waits_are_told_with_how_late_they_ended() {
        let runs = [needing("coroutines", 1.2, 291), needing("loop-per-core", 1.2, 400)];
        let text = sentence_of(&renamed("million", &runs, 9), 2);
        assert!(text.contains("one more wait costs 291 bytes"), "{text}");
        assert!(text.contains("half were woken within 10.0 ms of their time"), "{text}");
        assert!(!text.contains("won in"), "{text}");
    }

    #[test]
    fn alone_there_is_no_choice() {
        let alone = renamed("memory", &[needing("coroutines", 1.0, 500)], 2);
        assert!(sentence_of(&alone, 2).starts_with("Only coroutines on one loop was measured"));
        assert_eq!(answer_of(&alone, 2), None);
    }
}
