//! How latencies are spread: a small histogram per model, all over the same logarithmic scale, with
//! the median and the slowest of a hundred marked.

use maud::{Markup, html};

use super::axis::{self, Field};
use super::look::{self, Look};
use super::panel::{Panel, WIDTH};
use super::scale::{Scale, px};
use super::unit::{Unit, seconds};

/// A line of text and the histogram below it.
const ROW: f64 = 50.0;
const TALL: f64 = 28.0;
const LEFT: f64 = 4.0;
const RIGHT: f64 = WIDTH - 4.0;
/// Columns of a histogram: as many as can be told apart.
const COLUMNS: usize = 110;
/// How much longer than the last the longest time of a bucket is, where no bucket tells.
const WIDEST: f64 = 1.1;

/// The latencies of one model.
#[derive(Debug)]
pub(super) struct Spread<'a> {
    pub(super) model: &'a str,
    /// The longest time of each bucket, in nanoseconds, and how many fell into it; ascending.
    pub(super) buckets: &'a [(u64, u64)],
    pub(super) p50_s: f64,
    pub(super) p99_s: f64,
}

/// Draws them in panels of `many` one below the other, all over one scale; none when there is
/// nothing to show.
pub(super) fn draw(id: &str, title: &str, spreads: &[Spread<'_>], many: usize) -> Vec<Markup> {
    let Some(extent) = extent(spreads) else { return Vec::new() };
    let panels = spreads.chunks(many.max(1)).enumerate();
    panels.map(|(at, part)| panel(format!("{id}-latency-{at}"), title, part, extent)).collect()
}

fn panel(id: String, title: &str, spreads: &[Spread<'_>], (low, high): (f64, f64)) -> Markup {
    let scale = Scale::log(low, high, LEFT, RIGHT);
    let bottom = spreads.len() as f64 * ROW;
    let field = Field { left: LEFT, right: RIGHT, top: 0.0, bottom };
    let described = spreads.iter().map(|spread| {
        let (p50, p99) = (seconds(spread.p50_s), seconds(spread.p99_s));
        format!("{}: half within {p50}, 99 of 100 within {p99}", look::short(spread.model))
    });
    let panel = Panel {
        id,
        title,
        note: "",
        description: described.collect::<Vec<_>>().join("; "),
        height: bottom + 20.0,
    };
    panel.around(&html! {
        (axis::below(field, &scale, Unit::Seconds, 5))
        @for (index, spread) in spreads.iter().enumerate() {
            (row(spread, index as f64 * ROW, &scale, (low, high)))
        }
    })
}

/// From the lower end of the first bucket to the upper end of the last, in seconds.
fn extent(spreads: &[Spread<'_>]) -> Option<(f64, f64)> {
    let of = |bucket: Option<&(u64, u64)>| bucket.map(|bucket| bucket.0.max(1) as f64 / 1e9);
    let firsts = spreads.iter().filter_map(|spread| of(spread.buckets.first()));
    let lasts = spreads.iter().filter_map(|spread| of(spread.buckets.last()));
    let (low, high) = (firsts.fold(f64::INFINITY, f64::min), lasts.fold(0.0, f64::max));
    (high > 0.0).then_some((low / WIDEST, high))
}

fn row(spread: &Spread<'_>, top: f64, scale: &Scale, (low, high): (f64, f64)) -> Markup {
    let look: Look = look::of(spread.model);
    let base = top + 17.0 + TALL;
    let columns = columns(spread.buckets, low, high);
    let fullest = columns.iter().fold(0.0_f64, |most, column| most.max(*column));
    let (p50, p99) = (seconds(spread.p50_s), seconds(spread.p99_s));
    html! {
        g class={ "spread " (look.class) } {
            text class="name" x=(LEFT) y=(px(top + 12.0)) { (look::short(spread.model)) }
            text class="value" x=(RIGHT) y=(px(top + 12.0)) text-anchor="end" {
                (p50) " · " (p99)
            }
            @if fullest > 0.0 {
                path class="shape" d=(outline(&columns, fullest, base)) {}
            }
            line class="base" x1=(LEFT) x2=(RIGHT) y1=(px(base)) y2=(px(base)) {}
            @for (value, class) in [(spread.p50_s, "p50"), (spread.p99_s, "p99")] {
                @let x = px(scale.at(value));
                line class=(class) x1=(x) x2=(x) y1=(px(base - TALL)) y2=(px(base + 3.0)) {}
            }
        }
    }
}

/// The buckets shared out over columns of equal width on the logarithmic scale.
fn columns(buckets: &[(u64, u64)], low: f64, high: f64) -> Vec<f64> {
    let mut columns = vec![0.0; COLUMNS];
    let width = (high / low).ln() / COLUMNS as f64;
    // In columns from the left.
    let at = |value: f64| ((value / low).ln() / width).clamp(0.0, COLUMNS as f64);
    let mut before: Option<f64> = None;
    for &(upper, count) in buckets {
        let upper = upper.max(1) as f64 / 1e9;
        let lower = before.map_or(upper / WIDEST, |before| before.max(upper / WIDEST));
        before = Some(upper);
        let (from, to) = (at(lower), at(upper));
        let extent = (to - from).max(1e-9);
        for (index, column) in columns.iter_mut().enumerate() {
            let shared = to.min(index as f64 + 1.0) - from.max(index as f64);
            if shared > 0.0 {
                *column += count as f64 * shared / extent;
            }
        }
    }
    columns
}

/// Steps from the left to the right, closed at the base.
fn outline(columns: &[f64], fullest: f64, base: f64) -> String {
    use std::fmt::Write as _;

    let width = (RIGHT - LEFT) / columns.len() as f64;
    let mut path = format!("M{} {}", px(LEFT), px(base));
    let mut height = 0.0;
    for (index, column) in columns.iter().enumerate() {
        // What is there is seen, be it one in a million.
        let tall = if *column > 0.0 { (column / fullest * TALL).max(0.8) } else { 0.0 };
        if px(tall) != px(height) {
            let _ = write!(path, "H{}V{}", px(LEFT + index as f64 * width), px(base - tall));
            height = tall;
        }
    }
    let _ = write!(path, "H{}V{}Z", px(RIGHT), px(base));
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_is_in_a_column() {
        let buckets = [(1_000, 5), (1_090, 20), (50_000, 3), (2_000_000, 1)];
        let columns = columns(&buckets, 0.9e-6, 2e-3);
        assert!((columns.iter().sum::<f64>() - 29.0).abs() < 1e-6, "{columns:?}");
        assert!(columns[0] > 0.0 && columns[COLUMNS - 1] > 0.0);
    }

    #[test]
    fn a_bucket_far_from_the_one_before_is_no_wider_for_it() {
        let columns = columns(&[(1_000, 1), (1_000_000, 1)], 0.9e-6, 1e-3);
        assert!(columns.iter().filter(|column| **column > 0.0).count() < 8, "{columns:?}");
    }

    #[test]
    fn models_are_drawn_over_one_scale() {
        let spreads = [
            Spread { model: "coroutines", buckets: &[(1_000, 9)], p50_s: 1e-6, p99_s: 1e-6 },
            Spread { model: "sequential", buckets: &[(9_000_000, 9)], p50_s: 9e-3, p99_s: 9e-3 },
        ];
        let text: String = draw("x", "Latency", &spreads, 1)
            .into_iter()
            .map(|panel| panel.into_string())
            .collect();
        assert_eq!(text.matches("class=\"shape\"").count(), 2, "{text}");
        assert!(text.contains("1.00 µs · 1.00 µs") && text.contains(">100 µs<"), "{text}");
        assert_eq!(text.matches("<svg").count(), 2, "{text}");
        assert!(draw("x", "Latency", &[], 1).is_empty());
    }
}
