//! The table of all figures, for those who want to read them.

use maud::{Markup, html};

use super::look;
use super::unit::{Unit, grouped, seconds};
use crate::bench::record::{Outcome, Workload};
use crate::bench::summary::Figures;
use crate::bench::text::{bytes, marked, three_digits};

const HEADER: [&str; 11] = [
    "model",
    "time",
    "interval",
    "speed-up",
    "CPU time",
    "cores busy",
    "memory",
    "threads",
    "switches",
    "p50",
    "p99",
];

/// One row per model; what needs more words stands below.
pub(super) fn table(workload: &Workload) -> Markup {
    let mut rows: Vec<(&String, &Outcome)> = workload.models.iter().collect();
    rows.sort_by_key(|(model, _)| look::rank(model));
    let unit_bytes = workload.measured().any(|(_, figures)| figures.unit_bytes.is_some());
    html! {
        details {
            summary { "All figures" }
            div class="scroll" tabindex="0" role="region"
                aria-label={ "All figures of " (workload.workload) } {
                table {
                    thead { tr {
                        @for name in HEADER { th scope="col" { (name) } }
                        @if unit_bytes { th scope="col" { "one more costs" } }
                    } }
                    tbody { @for (model, outcome) in &rows {
                        tr {
                            th scope="row" { (look::of(model).key()) (look::label(model)) }
                            @match outcome {
                                Outcome::Measured(figures) => (measured(figures, unit_bytes)),
                                Outcome::Refused { refused } => td class="words" colspan="11" {
                                    "can’t: " (refused)
                                },
                                Outcome::Missing { .. } => td class="words" colspan="11" {
                                    "not measured"
                                },
                            }
                        }
                    } }
                }
            }
            (below(&rows, workload.size))
        }
    }
}

fn measured(figures: &Figures, unit_bytes: bool) -> Markup {
    let part = figures.extrapolated_from.is_some();
    let (low, high) = (figures.wall_s.low, figures.wall_s.high);
    let interval = match figures.wall_s.count {
        1 => "one round".to_owned(),
        _ => format!("{} – {}", seconds(low), seconds(high)),
    };
    let speed_up = figures.speed_up.map_or_else(String::new, |speed_up| {
        marked(figures.speed_up_extrapolated, format!("{} ×", three_digits(speed_up.median)))
    });
    let threads = match figures.processes.round() {
        1.0 => format!("{:.0}", figures.threads),
        processes => format!("{:.0} in {processes:.0}", figures.threads),
    };
    let switches = figures.voluntary + figures.involuntary;
    let cells = [
        marked(part, seconds(figures.wall_s.median)),
        interval,
        speed_up,
        marked(part, seconds(figures.cpu_s.median)),
        format!("{:.2}", figures.cores_busy),
        Unit::Mebibytes.full(figures.peak_bytes / 1_048_576.0),
        threads,
        marked(part, grouped(switches.round() as u64)),
        seconds(figures.p50_s),
        seconds(figures.p99_s),
    ];
    html! {
        @for cell in &cells { td { (cell) } }
        @if unit_bytes { td { (figures.unit_bytes.map_or_else(String::new, bytes)) } }
    }
}

/// Where everything ran, what else one should know, and what was extrapolated.
fn below(rows: &[(&String, &Outcome)], size: usize) -> Markup {
    let notes = rows.iter().filter_map(|(model, outcome)| match outcome {
        Outcome::Measured(figures) => Some((model, notes(figures, size))),
        _ => None,
    });
    html! {
        ul class="notes" {
            @for (model, notes) in notes {
                li { strong { (look::label(model)) } " " (notes) }
            }
        }
    }
}

fn notes(figures: &Figures, size: usize) -> String {
    let pins = figures.pins.iter().map(|pin| {
        let cores = if pin.cores.contains(['-', ',']) { "cores" } else { "core" };
        match pin.count {
            1 => format!("{} on {cores} {}", pin.who, pin.cores),
            count => format!("{count} × {} on {cores} {}", pin.who, pin.cores),
        }
    });
    let mut parts = vec![pins.collect::<Vec<_>>().join(", ")];
    if let Some(done) = figures.extrapolated_from {
        let why = figures.sampled.as_deref().unwrap_or("a part was run");
        let (done, size) = (grouped(done as u64), grouped(size as u64));
        parts.push(format!("extrapolated from {done} of {size}: {why}"));
    }
    parts.extend(figures.remarks.iter().cloned());
    parts.retain(|part| !part.is_empty());
    parts.join("; ")
}
