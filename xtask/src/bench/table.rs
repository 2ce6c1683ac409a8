//! One workload as a table, its pins, and its verdict.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ColumnConstraint, Table, Width};

use super::curve::Curve;
use super::html::words;
use super::sample::Pin;
use super::summary::{Fate, Figures, Summary};
use super::text::{bytes, marked, mib, seconds, three_digits};
use super::verdict;

/// Columns of a remark, which is broken beyond them.
const REMARK: u16 = 44;

const HEADER: [&str; 12] = [
    "model",
    "wall",
    "±",
    "speed-up",
    "CPU",
    "cores busy",
    "peak MiB",
    "threads",
    "switches",
    "p50",
    "p99",
    "remark",
];

/// Renders a workload. `cores` is how many the machine offers.
pub(super) fn render(summary: &Summary, cores: usize) -> String {
    let workload = summary.workload;
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN).set_header(HEADER);
    for row in &summary.rows {
        let mut cells = vec![row.model.label.to_owned()];
        match &row.fate {
            Fate::Measured(figures) => cells.extend(measured(figures, summary.size)),
            Fate::Refused(why) => cells.extend(without(format!("can't: {why}"))),
            Fate::Missing => cells.extend(without("not measured, see below".to_owned())),
        }
        table.add_row(cells);
    }
    for index in 1..HEADER.len() - 1 {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    if let Some(column) = table.column_mut(HEADER.len() - 1) {
        column.set_constraint(ColumnConstraint::UpperBoundary(Width::Fixed(REMARK)));
    }
    let mut text = format!(
        "{}: {}; {} {}\n\n{table}\n\n",
        workload.name, workload.about, summary.size, workload.unit
    );
    for (model, figures) in summary.measured() {
        let _ = writeln!(text, "  {}: {}", model.label, places(figures));
    }
    if let Some(curve) = &summary.curve {
        text.push_str(&loads(curve));
    }
    let _ = writeln!(text, "\n  {}", verdict::sentence(summary, cores));
    text
}

/// `3`, or `6 in 3` processes.
fn threads(figures: &Figures) -> String {
    match figures.processes.round() {
        1.0 => format!("{:.0}", figures.threads),
        processes => format!("{:.0} in {processes:.0}", figures.threads),
    }
}

fn without(remark: String) -> Vec<String> {
    let mut cells = vec![String::new(); HEADER.len() - 2];
    cells[0] = "-".to_owned();
    cells.push(remark);
    cells
}

fn measured(figures: &Figures, size: usize) -> Vec<String> {
    let part = figures.extrapolated_from.is_some();
    let speed_up = figures.speed_up.map_or_else(String::new, |speed_up| {
        marked(figures.speed_up_extrapolated, format!("{}x", three_digits(speed_up.median)))
    });
    let remark = figures.extrapolated_from.map_or_else(String::new, |done| {
        let why = figures.sampled.as_deref().unwrap_or("a part was run");
        format!("~ extrapolated from {done} of {size}: {why}")
    });
    // The lowest of all rounds is no interval; with one round there is nothing to say.
    let spread = match figures.wall_s.count {
        1 => String::new(),
        _ => format!("{:.0} %", figures.wall_s.spread() * 100.0),
    };
    let room = figures.unit_bytes.map(|room| format!("one more costs {}", bytes(room)));
    let remark = [room.unwrap_or_default(), remark].into_iter().filter(|part| !part.is_empty());
    let remark = remark.collect::<Vec<_>>().join("; ");
    vec![
        marked(part, seconds(figures.wall_s.median)),
        spread,
        speed_up,
        marked(part, seconds(figures.cpu_s.median)),
        format!("{:.2}", figures.cores_busy),
        mib(figures.peak_bytes),
        threads(figures),
        marked(part, format!("{:.0} + {:.0}", figures.voluntary, figures.involuntary)),
        seconds(figures.p50_s),
        seconds(figures.p99_s),
        remark,
    ]
}

/// What the curve says: who is fastest under which load, and the crossings that matter.
fn loads(curve: &Curve) -> String {
    let (crossings, _) = words::crossings(curve);
    let sentences = words::reigns(curve).into_iter().chain(crossings);
    let lines: String = sentences.map(|sentence| format!("  {sentence}\n")).collect();
    // Spaces within numbers don't break on a page; on a terminal some are not shown at all.
    let lines = lines.replace('\u{202f}', " ");
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

/// Where everything ran, and what else one should know.
fn places(figures: &Figures) -> String {
    let pin = |pin: &Pin| match pin.count {
        1 => format!("{} on {}", pin.who, pin.cores),
        count => format!("{count} x {} on {}", pin.who, pin.cores),
    };
    let pins: Vec<String> = figures.pins.iter().map(pin).collect();
    let mut text = pins.join(", ");
    for remark in &figures.remarks {
        let _ = write!(text, "; {remark}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{report, summary, timed};
    use super::*;

    #[test]
    fn a_part_is_marked_and_said_to_be_one() {
        let mut part = timed("sleepers", "sequential", 0.4, 0.001);
        (part.size, part.done) = (10_000, 20);
        part.sampled = Some("all would take too long".into());
        let mut whole = timed("sleepers", "coroutines", 0.02, 0.01);
        (whole.size, whole.done) = (10_000, 10_000);
        let text = render(&summary("sleepers", &[part, whole], 3), 2);
        let line = |label: &str| text.lines().find(|line| line.contains(label)).unwrap().to_owned();
        let sequential = line("| one thread in sequence");
        assert!(sequential.contains("~204 s"), "{text}");
        assert!(sequential.contains("extrapolated from 20 of 10000: all would"), "{text}");
        let coroutines = line("| coroutines on one loop");
        assert!(coroutines.contains("~10000x"), "{text}");
        assert!(coroutines.contains(" 20.4 ms") && !coroutines.contains("from"), "{text}");
    }

    #[test]
    fn the_table_says_why_a_model_can_not() {
        let mut refused = report("echo", "processpool");
        refused.refused = Some("descriptors stay".into());
        let text = render(&summary("echo", &[report("echo", "sequential"), refused], 1), 2);
        assert!(text.contains("can't: descriptors stay"), "{text}");
        assert!(text.contains("not measured"), "{text}");
    }

    #[test]
    fn what_one_more_costs_and_what_the_curve_says_is_told() {
        let mut run = report("sleepers", "coroutines");
        run.unit_bytes = Some(194);
        let mut summary = summary("sleepers", &[run], 9);
        summary.curve = Some(super::super::html::fixture::curve());
        let text = render(&summary, 2);
        assert!(text.contains("| one more costs 194 bytes"), "{text}");
        assert!(text.contains("  Fastest with one alone: a thread per job; with"), "{text}");
        assert!(text.contains("10 000 connections: a loop per core.\n"), "{text}");
        assert!(text.contains("a loop per core is faster than a thread per job"), "{text}");
    }

    #[test]
    fn pins_and_remarks_stand_below() {
        let mut run = report("echo", "loop-per-core");
        run.pins.push(Pin { who: "loop thread".into(), cores: "0-1".into(), count: 2 });
        run.remarks.push("load maker shares core 1".into());
        let text = render(&summary("echo", &[run], 1), 2);
        let expected = "a loop per core: main thread on 0, 2 x loop thread on 0-1; load maker";
        assert!(text.contains(expected), "{text}");
    }
}
