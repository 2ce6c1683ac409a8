//! What is told of one workload: the verdict, then drawings, then figures.

use maud::{Markup, html};

use super::bars::{self, Bar};
use super::curve::{self, MEASURES};
use super::figures;
use super::histogram::{self, Spread};
use super::look;
use super::unit::{Unit, grouped, seconds};
use super::words;
use crate::bench::curve::Curve;
use crate::bench::record::{Outcome, Workload};
use crate::bench::summary::Figures;
use crate::bench::text::{bytes, marked};

/// The section of a workload.
pub(super) fn render(workload: &Workload) -> Markup {
    html! {
        section id=(workload.workload) aria-labelledby={ (workload.workload) "-h" } {
            h2 id={ (workload.workload) "-h" } { (words::capital(&workload.workload)) }
            p class="about" {
                (words::capital(&workload.about)) "."
                @if let Some(size) = size(workload) { " " (size) "." }
            }
            p class="verdict" { (workload.verdict) }
            (rows(workload))
            @if let Some(curve) = &workload.curve { (load(&workload.workload, curve)) }
            (latencies(workload))
            (left_out(workload))
            @if workload.measured().next().is_some() { (figures::table(workload)) }
        }
    }
}

/// How much of it was to be done, unless the text above says so already.
fn size(workload: &Workload) -> Option<String> {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let told = digits(&workload.about).starts_with(&workload.size.to_string());
    (workload.size > 0 && !told)
        .then(|| format!("{} {}", grouped(workload.size as u64), workload.unit))
}

/// The models that were measured, the best first: the fastest, or where it is asked what one more
/// unit costs, those that need least.
fn ranked(workload: &Workload) -> Vec<(&str, &Figures)> {
    let rank = |figures: &Figures| figures.unit_bytes.unwrap_or(f64::INFINITY);
    let time = |figures: &Figures| figures.wall_s.median;
    let mut measured: Vec<_> = workload.measured().collect();
    measured.sort_by(|a, b| rank(a.1).total_cmp(&rank(b.1)).then(time(a.1).total_cmp(&time(b.1))));
    measured
}

/// Time, CPU time and memory as bars, all in the same order.
fn rows(workload: &Workload) -> Markup {
    let models = ranked(workload);
    let id = |of: &str| format!("{}-{of}", workload.workload);
    let of_time = |figures: &Figures| {
        let wall = &figures.wall_s;
        (wall.median, (wall.count > 1).then_some((wall.low, wall.high)))
    };
    let of_cpu = |figures: &Figures| {
        let cpu = &figures.cpu_s;
        (cpu.median, (cpu.count > 1).then_some((cpu.low, cpu.high)))
    };
    let time = bars_of(&models, true, seconds, of_time);
    let cpu = bars_of(&models, true, seconds, of_cpu);
    let mib = |value| Unit::Mebibytes.full(value);
    let memory = bars_of(&models, false, mib, |f| (f.peak_bytes / 1_048_576.0, None));
    let costly: Vec<(&str, &Figures)> =
        models.iter().copied().filter(|(_, figures)| figures.unit_bytes.is_some()).collect();
    let unit = bars_of(&costly, false, bytes, |f| (f.unit_bytes.unwrap_or_default(), None));
    html! {
        div class="panels" {
            @if let Some(panel) = bars::draw(
                id("unit"), "Memory of one more", "shorter is better", Unit::Bytes, &unit
            ) { (panel) }
            // Nothing is to be done where units are idle, so no time is saved there.
            @if costly.is_empty() && let Some(panel) = bars::draw(
                id("time"), "Time", "shorter is better", Unit::Seconds, &time
            ) { (panel) }
            @if let Some(panel) = bars::draw(
                id("cpu-time"), "CPU time", "of all threads", Unit::Seconds, &cpu
            ) { (panel) }
            @if let Some(panel) = bars::draw(
                id("peak"), "Memory", "resident at the peak", Unit::Mebibytes, &memory
            ) { (panel) }
        }
        @if models.iter().any(|(_, figures)| figures.extrapolated_from.is_some()) {
            p class="note" {
                "~ and a pale bar or a ring: a part was done, and brought up to the whole; all \
                 of it would take too long."
            }
        }
    }
}

type Spreading = (f64, Option<(f64, f64)>);

/// A bar for each; `grows` tells whether the value grows with the work, and so is extrapolated.
fn bars_of(
    models: &[(&str, &Figures)],
    grows: bool,
    text: impl Fn(f64) -> String,
    of: impl Fn(&Figures) -> Spreading,
) -> Vec<Bar> {
    let least = models.iter().map(|(_, figures)| of(figures).0).fold(f64::INFINITY, f64::min);
    let bar = |(model, figures): &(&str, &Figures)| {
        let (value, spread) = of(figures);
        let extrapolated = grows && figures.extrapolated_from.is_some();
        Bar {
            look: look::of(model),
            label: look::label(model),
            value,
            spread,
            text: marked(extrapolated, text(value)),
            extrapolated,
            best: value == least && !extrapolated,
        }
    };
    models.iter().map(bar).collect()
}

/// The curves, and what they say.
fn load(id: &str, curve: &Curve) -> Markup {
    let panels: Vec<Markup> =
        MEASURES.iter().filter_map(|measure| curve::draw(id, curve, measure)).collect();
    if panels.is_empty() {
        return html! {};
    }
    let (first, rest) = words::crossings(curve);
    html! {
        h3 { "As the load grows" }
        @if let Some(reigns) = words::reigns(curve) { p { (reigns) } }
        @if !first.is_empty() {
            ul class="crossings" { @for text in &first { li { (text) } } }
        }
        @if !rest.is_empty() {
            details {
                summary { (rest.len()) " more crossing" @if rest.len() > 1 { "s" } }
                ul class="crossings" { @for text in &rest { li { (text) } } }
            }
        }
        div class="panels" { @for panel in &panels { (panel) } }
        p class="note" {
            "Both axes are logarithmic. Bands are the intervals of the medians; where they \
             overlap, nothing is said about who is faster."
        }
    }
}

/// The latencies of those that have a histogram.
fn latencies(workload: &Workload) -> Markup {
    let mut models: Vec<_> = workload.measured().collect();
    models.sort_by_key(|(model, _)| look::rank(model));
    let spreads: Vec<Spread<'_>> = models
        .iter()
        .filter(|(_, figures)| !figures.histogram.is_empty())
        .map(|(model, figures)| Spread {
            model,
            buckets: &figures.histogram,
            p50_s: figures.p50_s,
            p99_s: figures.p99_s,
        })
        .collect();
    // Beside each other on wide pages, under one scale each.
    let many = spreads.len().div_ceil(if spreads.len() > 3 { 3 } else { 1 });
    // Each of a million wakes at a moment of its own; what is told is how much later it did.
    let title = match workload.workload.as_str() {
        "million" => format!("How late each of the {} ended", workload.unit),
        _ => format!("How long each of the {} took", workload.unit),
    };
    let panels: Vec<Markup> = histogram::draw(&workload.workload, &title, &spreads, many);
    html! {
        @if !panels.is_empty() {
            h3 { (title) }
            p class="note" {
                "From the shortest to the longest, on one logarithmic scale; each is as high \
                 as its fullest column. The lines, and the figures, are the median and the \
                 slowest of a hundred (p99)."
            }
            div class="panels" { @for panel in &panels { (panel) } }
        }
    }
}

/// What was refused or left out, and why.
fn left_out(workload: &Workload) -> Markup {
    let mut models: Vec<_> = workload.models.iter().collect();
    models.sort_by_key(|(model, _)| look::rank(model));
    let mut items: Vec<String> = models
        .into_iter()
        .filter_map(|(model, outcome)| match outcome {
            Outcome::Refused { refused } => Some(format!("{}: {refused}", look::label(model))),
            Outcome::Missing { .. } => {
                Some(format!("{}: no run came to an end", look::label(model)))
            }
            Outcome::Measured(_) => None,
        })
        .collect();
    let refused = |gap: &String| items.iter().any(|item| same(item, gap));
    let gaps: Vec<String> = workload.curve.as_ref().map(words::gaps).unwrap_or_default();
    let gaps: Vec<String> = gaps.into_iter().filter(|gap| !refused(gap)).collect();
    items.extend(gaps);
    html! {
        @if !items.is_empty() {
            details {
                summary { "What is not here, and why" }
                ul class="notes" { @for item in &items { li { (words::capital(item)) } } }
            }
        }
    }
}

/// Whether a gap of the curve is one that holds for the whole workload.
fn same(item: &str, gap: &str) -> bool {
    let (Some((model, why)), Some((at, gap))) = (item.split_once(": "), gap.split_once(": "))
    else {
        return false;
    };
    at.starts_with(&format!("{model} with ")) && why == gap
}
