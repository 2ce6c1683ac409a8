//! A picture of a record for a README: how much is done each second as the load grows, for three
//! workloads if there are so many, as one drawing that needs no page round it.

use maud::{Markup, PreEscaped, html};

use super::curve::{self, MEASURES};
use super::page::{DARK, PLOT};
use super::panel::{Panel, WIDTH};
use super::unit::grouped;
use super::words;
use crate::bench::record::{self, Record, Workload};

/// What shows the question best, the first three that have a curve; then whatever else has one.
const TELLING: [&str; 5] = ["sleepers", "echo", "mixed", "downloads", "primes"];
const MANY: usize = 3;
/// Which measures are drawn beside the rate where there is room: CPU time, memory, latency.
const FURTHER: [usize; 3] = [3, 4, 2];
/// Round the whole, and between panels.
const GAP: f64 = 28.0;
/// Above the panels: the question, and the title of each.
const HEAD: f64 = 96.0;
const FOOT: f64 = 34.0;

/// The picture; `None` without a curve to draw.
pub(super) fn render(record: &Record) -> Option<Markup> {
    let workloads = workloads(record);
    let rates = workloads.iter().map(|workload| (*workload, 0));
    // Where there are fewer workloads, more is shown of them.
    let more = FURTHER
        .iter()
        .flat_map(|measure| workloads.iter().map(move |workload| (*workload, *measure)));
    let panels: Vec<(&Workload, Panel<'_>, Markup)> = rates
        .chain(more)
        .filter_map(|(workload, measure)| {
            let curve = workload.curve.as_ref()?;
            let id = &workload.workload;
            let (panel, drawing) = curve::drawing(id, curve, &MEASURES[measure])?;
            Some((workload, panel, drawing))
        })
        .take(MANY)
        .collect();
    let tallest = panels.iter().map(|panel| panel.1.height).fold(0.0, f64::max);
    let width = GAP + panels.len() as f64 * (WIDTH + GAP);
    let height = HEAD + tallest + FOOT;
    let left = |at: usize| GAP + at as f64 * (WIDTH + GAP);
    (!panels.is_empty()).then(|| {
        html! {
            svg xmlns="http://www.w3.org/2000/svg" class="plot" role="img"
                viewBox=(format!("0 0 {width} {height}")) width=(width) height=(height)
                aria-label="Threads, coroutines or processes? How much each does in a second" {
                style { (PreEscaped(style())) }
                rect class="paper" width=(width) height=(height) {}
                text class="question" x=(GAP) y="40" { "Threads, coroutines or processes?" }
                @for (at, (workload, panel, drawing)) in panels.iter().enumerate() {
                    text class="panel-title" x=(left(at)) y=(HEAD - 16.0) {
                        tspan class="strong" { (words::capital(&workload.workload)) }
                        ": " (workload.unit) ", " (lower(panel.title))
                    }
                    (panel.at(left(at), HEAD, drawing))
                }
                text class="axis-name" x=(GAP) y=(height - 12.0) { (place(record)) }
            }
        }
    })
}

fn workloads(record: &Record) -> Vec<&Workload> {
    let rank = |workload: &Workload| {
        let telling = TELLING.iter().position(|name| *name == workload.workload);
        telling.unwrap_or(TELLING.len())
    };
    let mut workloads: Vec<&Workload> = record.workloads.iter().collect();
    workloads.sort_by_key(|workload| rank(workload));
    workloads
}

/// As it stands within a line.
fn lower(title: &str) -> String {
    let mut letters = title.chars();
    match (letters.next(), letters.clone().next()) {
        // A word of capitals stays one.
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => title.to_owned(),
    }
}

/// Where and when, in one line.
fn place(record: &Record) -> String {
    let environment = &record.environment;
    format!(
        "{}, {} cores, {}. Both axes are logarithmic; bands are intervals of the medians of {} \
         runs.",
        environment.processor,
        environment.cores(),
        record::in_words(environment.time),
        grouped(record.samples.len() as u64),
    )
}

fn style() -> String {
    format!(
        "{PLOT}.paper {{ fill: var(--paper); }}\n\
         .question {{ font: 700 25px Charter, Georgia, serif; }}\n\
         .panel-title {{ font-size: 13px; fill: var(--soft); }}\n\
         .strong {{ font-weight: 700; fill: var(--ink); }}\n\
         @media (prefers-color-scheme: dark) {{ :root {{\n{DARK}}} }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::{fixture, tests::well_formed};
    use super::*;

    #[test]
    fn a_picture_is_one_drawing_that_needs_nothing_else() {
        let text = render(&fixture::record()).expect("echo has a curve").into_string();
        let names = well_formed(&text);
        assert_eq!(names[0], "svg");
        // One workload has a curve, so three measures of it are drawn, with three models each.
        assert_eq!(names.iter().filter(|name| *name == "polyline").count(), 9, "{text}");
        assert!(text.contains("requests, done each second"), "{text}");
        assert!(text.contains("Echo") && text.contains("Made Up &amp; Sons"), "{text}");
        assert!(!text.contains("url(") && !text.contains("href"), "{text}");
    }

    #[test]
    fn without_a_curve_there_is_no_picture() {
        let mut record = fixture::record();
        record.workloads.remove(0);
        assert!(render(&record).is_none());
    }
}
