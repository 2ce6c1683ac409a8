//! The whole page: the question, the answer for this machine, what to know before believing it,
//! then the workloads, then how it was measured.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::look;
use super::section;
use super::unit::grouped;
use super::words::capital;
use crate::bench::record::{self, Environment, Record, Workload};
use crate::bench::text::{bytes, three_digits};
use crate::bench::verdict::Answer;

pub(super) const PLOT: &str = include_str!("plot.css");
const STYLE: &str = include_str!("style.css");
/// Colours for dark surroundings. They stand twice in the page: for the system's wish, and the
/// reader's.
pub(super) const DARK: &str = include_str!("dark.css");
const SCRIPT: &str = include_str!("script.js");

/// So many failures are told, and so many letters of each.
const FAILURES: usize = 8;
const LINE: usize = 200;

/// The page of a record.
pub(super) fn render(record: &Record) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Threads, coroutines or processes? " (date(record)) }
                style { (PreEscaped(style())) }
            }
            body {
                (head(record))
                main {
                    @for workload in &record.workloads { (section::render(workload)) }
                }
                (foot(record))
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

fn style() -> String {
    format!(
        "{PLOT}{STYLE}\n@media screen and (prefers-color-scheme: dark) \
         {{ :root:not([data-theme=\"light\"]) {{\n{DARK}}} }}\n\
         @media screen {{ :root[data-theme=\"dark\"] {{\n{DARK}}} }}\n"
    )
}

fn date(record: &Record) -> String {
    record::in_words(record.environment.time)
}

fn head(record: &Record) -> Markup {
    let environment = &record.environment;
    html! {
        header {
            p class="kicker" {
                "Measured on this machine, " (date(record))
                button id="theme" type="button" hidden { "Light or dark" }
            }
            h1 { "Threads, coroutines or processes?" }
            @if let Some(lede) = lede(&record.workloads) { p class="lede" { (lede) } }
            (warnings(record))
            (answers(&record.workloads))
            (place(environment, record))
        }
    }
}

/// Who won what, in a sentence; the one that won most comes first.
fn lede(workloads: &[Workload]) -> Option<String> {
    let mut wins: Vec<(&str, Vec<&str>)> = Vec::new();
    for workload in workloads {
        let Some(answer) = &workload.answer else { continue };
        match wins.iter_mut().find(|(winner, _)| *winner == answer.winner) {
            Some((_, of)) => of.push(&workload.workload),
            None => wins.push((&answer.winner, vec![&workload.workload])),
        }
    }
    wins.sort_by_key(|(_, of)| std::cmp::Reverse(of.len()));
    let parts = wins.iter().enumerate().map(|(at, (winner, of))| {
        let verb = if at == 0 { " did best at " } else { " at " };
        format!("{}{verb}{}", look::label(winner), of.join(", "))
    });
    let text = parts.collect::<Vec<_>>().join("; ");
    (!text.is_empty()).then(|| {
        let few = if wins.len() > 1 { "It depends on the work. " } else { "" };
        format!("{few}{}.", capital(&text))
    })
}

fn warnings(record: &Record) -> Markup {
    let mut failed = failures(record);
    if !record.skipped.is_empty() {
        let skipped = record.skipped.join(", ");
        failed.push(format!("no time was left for {skipped}"));
    }
    html! {
        @if !record.warnings.is_empty() || !failed.is_empty() {
            aside class="warnings" role="note" aria-label="Warnings" {
                h2 { "Before you believe a figure" }
                ul {
                    @for text in &failed { li { (capital(text)) "." } }
                    @for warning in &record.warnings {
                        li {
                            (capital(&warning.what)) ". "
                            span class="mend" { "To mend it: " (warning.mend) "." }
                        }
                    }
                }
            }
        }
    }
}

/// The first line of each of the first failures: a trace of calls is for the record.
fn failures(record: &Record) -> Vec<String> {
    let first = |failure: &String| {
        let line = failure.lines().next().unwrap_or_default();
        let line: String = line.chars().take(LINE).collect();
        format!("failed: {}", line.trim_end_matches('.'))
    };
    let mut failed: Vec<String> = record.failures.iter().take(FAILURES).map(first).collect();
    if let Some(more) = record.failures.len().checked_sub(FAILURES).filter(|more| *more > 0) {
        failed.push(format!("{more} more runs failed; the record has them all"));
    }
    failed
}

fn answers(workloads: &[Workload]) -> Markup {
    html! {
        table class="answers" {
            caption { "The short answer" }
            thead { tr {
                th scope="col" { "work" } th scope="col" { "did best" } th scope="col" { "because" }
            } }
            tbody {
                @for workload in workloads {
                    tr {
                        th scope="row" {
                            a href={ "#" (workload.workload) } { (workload.workload) }
                            span class="what" { (workload.about) }
                        }
                        @match &workload.answer {
                            Some(answer) => {
                                td class="winner" { (winner(workload, answer)) }
                                td class="why" { (capital(&answer.why)) "." }
                            },
                            None => td colspan="2" { (workload.verdict) },
                        }
                    }
                }
            }
        }
    }
}

/// The name, how much faster it is than one thread or how little it needs, and who is level.
fn winner(workload: &Workload, answer: &Answer) -> Markup {
    let figures = workload.measured().find(|(model, _)| *model == answer.winner);
    let gain = figures.and_then(|(_, figures)| {
        // Where it is asked what one more unit costs, no time is saved.
        if let Some(room) = figures.unit_bytes {
            return Some(format!("{} for one more", bytes(room)));
        }
        let gain = figures.gain().filter(|_| answer.winner != "sequential")?;
        let mark = if figures.speed_up_extrapolated { "about " } else { "" };
        Some(format!("{mark}{} × one thread in sequence", three_digits(gain.median)))
    });
    let level: Vec<String> = answer.level.iter().map(|model| look::label(model)).collect();
    html! {
        strong { (look::of(&answer.winner).key()) (capital(&look::label(&answer.winner))) }
        @if let Some(gain) = gain { span class="gain" { (gain) } }
        @if !level.is_empty() { span class="gain" { "level with " (level.join(", ")) } }
    }
}

fn rounds(record: &Record) -> String {
    match record.rounds {
        1 => "one round".to_owned(),
        rounds => format!("{rounds} rounds"),
    }
}

/// Where it was measured.
fn place(environment: &Environment, record: &Record) -> Markup {
    let command = environment.command.iter().skip(1).cloned().collect::<Vec<_>>().join(" ");
    let cores = environment.allowed_cores.len();
    let rows = [
        ("processor", environment.processor.clone()),
        ("cores", format!("{cores} to use")),
        ("kernel", environment.kernel.clone()),
        ("governor", environment.governor.clone()),
        ("load before", environment.load.clone()),
        ("commit", environment.commit.clone()),
        ("compiler", environment.rustc.clone()),
        ("command", format!("cargo xtask {command}")),
        ("measured", format!("{} in {:.0} s", rounds(record), record.seconds)),
    ];
    html! {
        dl class="place" {
            @for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
                div { dt { (name) } dd { (value) } }
            }
        }
    }
}

fn foot(record: &Record) -> Markup {
    let samples = grouped(record.samples.len() as u64);
    html! {
        footer {
            h2 { "How it was measured" }
            p {
                "Every run is a fresh process that does a whole piece of work under one model and \
                 checks the result; servers are asked by a load maker in a process of its own. \
                 Runs are interleaved: each round begins with another pair, so that drift of the \
                 machine meets all alike. This page holds " (samples) " runs in " (rounds(record))
                @if record.quick { ", in the short form (--quick)" } "."
            }
            p {
                "Figures are medians. Whiskers and bands are the median’s distribution-free \
                 interval, made of order statistics: nine rounds give 96 %, below six no interval \
                 reaches 95 %, and one round has none. Two models are called level where the \
                 interval of their ratios, taken round by round, holds 1. CPU time is user and \
                 system time of all threads and processes of the model, without the load maker’s; \
                 memory is resident memory at its peak, over all processes."
            }
            p {
                "What was extrapolated is marked. A model is not forced to do what it can’t: it is \
                 listed with the reason. Figures hold for this machine, this day and this size of \
                 work; ratios travel further than figures do."
            }
            p class="note" {
                "Made by cargo xtask bench from the record of the same name, which holds every \
                 run. This file fetches nothing."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::bench::record::Outcome;

    #[test]
    fn the_lede_tells_who_won_what() {
        let mut record = fixture::record();
        assert_eq!(lede(&record.workloads).expect("one"), "A loop per core did best at echo.");
        record.workloads[1].answer =
            Some(Answer { winner: "coroutines".into(), level: Vec::new(), why: "so".into() });
        let text = lede(&record.workloads).expect("two");
        assert!(text.starts_with("It depends on the work. A loop per core did best at echo; "));
        assert_eq!(lede(&[]), None);
    }

    #[test]
    fn failures_are_told_without_their_traces_and_not_without_end() {
        let mut record = fixture::record();
        record.failures = vec!["echo, tokio, round 1: Error: no\nStack backtrace:\n 0: x".into()];
        let page = render(&record).into_string();
        assert!(page.contains("Failed: echo, tokio, round 1: Error: no."), "{page}");
        assert!(!page.contains("backtrace") && !page.contains("more runs failed"));
        record.failures = vec!["long ".repeat(100); 20];
        let failed = failures(&record);
        assert_eq!(failed.len(), FAILURES + 1);
        assert!(failed.iter().all(|text| text.len() <= LINE + 8), "{failed:?}");
        assert!(failed[FAILURES].starts_with("12 more runs failed"), "{failed:?}");
    }

    #[test]
    fn the_answer_names_the_winner_its_gain_and_who_is_level() {
        let page = render(&fixture::record()).into_string();
        let answers = page.split_once("class=\"answers\"").expect("there").1;
        let answers = answers.split_once("</table>").expect("closed").0;
        assert!(answers.contains("A loop per core") && answers.contains("1.50 × one thread"));
        assert!(answers.contains("level with fibres") && answers.contains("It &lt;did&gt;."));
        assert!(answers.contains("No model was measured."));
        let mut record = fixture::record();
        if let Some(Outcome::Measured(figures)) =
            record.workloads[0].models.get_mut("loop-per-core")
        {
            figures.unit_bytes = Some(300.0);
        }
        let page = render(&record).into_string();
        let answers = page.split_once("</table>").expect("closed").0;
        assert!(answers.contains("300 bytes for one more") && !answers.contains("1.50 ×"));
    }
}
