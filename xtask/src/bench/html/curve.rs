//! How models scale: a line each over the load, both logarithmic, with a band for the interval and
//! the name at the end.

use maud::{Markup, html};

use super::axis::{self, Field};
use super::labels;
use super::look::{self, Look};
use super::panel::{Panel, WIDTH};
use super::scale::{Scale, px};
use super::unit::{Unit, grouped};
use crate::bench::curve::{Curve, Figures};

/// Room for values at the left and names at the right.
const FIELD: Field = Field { left: 48.0, right: WIDTH - 116.0, top: 8.0, bottom: 216.0 };
const HEIGHT: f64 = 250.0;
/// A line of names.
const LINE: f64 = 12.5;

/// A value and, where there is one, its interval.
type Spreading = (f64, Option<(f64, f64)>);

/// What is drawn over the load.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure {
    /// For ids.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) note: &'static str,
    pub(super) unit: Unit,
    pub(super) of: fn(&Figures) -> Spreading,
}

/// One model: its values by load.
#[derive(Debug)]
struct Line {
    look: Look,
    name: String,
    points: Vec<At>,
}

#[derive(Debug, Clone, Copy)]
struct At {
    load: f64,
    value: f64,
    low: f64,
    high: f64,
}

/// What is shown of every curve.
pub(super) const MEASURES: [Measure; 5] = [
    Measure {
        name: "rate",
        title: "Done each second",
        note: "higher is better",
        unit: Unit::Count,
        of: |load| (load.rate.median, Some((load.rate.low, load.rate.high))),
    },
    Measure {
        name: "wall",
        title: "Time for all of it",
        note: "lower is better",
        unit: Unit::Seconds,
        of: |load| (load.wall_s.median, Some((load.wall_s.low, load.wall_s.high))),
    },
    Measure {
        name: "p99",
        title: "Slowest of a hundred",
        note: "p99, lower is better",
        unit: Unit::Seconds,
        of: |load| (load.p99_s, None),
    },
    Measure {
        name: "cpu",
        title: "CPU time",
        note: "all threads, lower is better",
        unit: Unit::Seconds,
        of: |load| (load.cpu_s.median, Some((load.cpu_s.low, load.cpu_s.high))),
    },
    Measure {
        name: "memory",
        title: "Memory",
        note: "at the peak, lower is better",
        unit: Unit::Mebibytes,
        of: |load| (load.peak_bytes / 1_048_576.0, None),
    },
];

/// Draws one measure of all models; `None` when there are not two loads to draw a line between.
pub(super) fn draw(id: &str, curve: &Curve, measure: &Measure) -> Option<Markup> {
    drawing(id, curve, measure).map(|(panel, drawing)| panel.around(&drawing))
}

/// The same, and its frame apart.
pub(super) fn drawing(
    id: &str,
    curve: &Curve,
    measure: &Measure,
) -> Option<(Panel<'static>, Markup)> {
    let lines = lines(curve, measure);
    let points = || lines.iter().flat_map(|line| &line.points);
    let least = |of: fn(&At) -> f64| points().map(of).fold(f64::INFINITY, f64::min);
    let most = |of: fn(&At) -> f64| points().map(of).fold(0.0, f64::max);
    let (first, last) = (least(|at| at.load), most(|at| at.load));
    if first >= last {
        return None;
    }
    let x = Scale::log(first, last, FIELD.left + 4.0, FIELD.right - 4.0);
    let (low, high) = (least(|at| at.low), most(|at| at.high));
    let y = Scale::log(low / 1.25, high * 1.25, FIELD.bottom, FIELD.top);
    let panel = Panel {
        id: format!("{id}-{}", measure.name),
        title: measure.title,
        note: measure.note,
        description: description(&lines, curve, measure),
        height: HEIGHT,
    };
    let drawing = html! {
        (axis::below(FIELD, &x, Unit::Count, 5))
        (axis::beside(FIELD, &y, measure.unit, 5))
        text class="axis-name" x=(px(f64::midpoint(FIELD.left, FIELD.right)))
            y=(HEIGHT - 4.0) text-anchor="middle" { (curve.unit) " at once" }
        @for line in &lines { (band(line, &x, &y)) }
        @for line in &lines { (stroke(line, &x, &y, measure, &curve.unit)) }
        (names(&lines, &x, &y))
    };
    Some((panel, drawing))
}

fn lines(curve: &Curve, measure: &Measure) -> Vec<Line> {
    let mut models = curve.models();
    models.sort_by_key(|model| look::rank(model));
    let lines = models.into_iter().map(|model| {
        let points = curve.of_model(model).into_iter().filter_map(|(load, figures)| {
            let (value, spread) = (measure.of)(figures);
            let (low, high) = spread.unwrap_or((value, value));
            // What took no time that could be measured has no place on a logarithmic scale.
            (low > 0.0).then_some(At { load: load as f64, value, low, high })
        });
        Line { look: look::of(model), name: look::short(model), points: points.collect() }
    });
    lines.filter(|line| !line.points.is_empty()).collect()
}

fn band(line: &Line, x: &Scale, y: &Scale) -> Markup {
    let there = line.points.iter().map(|at| (at.load, at.high));
    let back = line.points.iter().rev().map(|at| (at.load, at.low));
    let corners = there.chain(back).map(|(load, value)| place(x.at(load), y.at(value)));
    let corners: Vec<String> = corners.collect();
    html! {
        polygon class={ "band " (line.look.class) } points=(corners.join(" ")) {}
    }
}

fn stroke(line: &Line, x: &Scale, y: &Scale, measure: &Measure, unit: &str) -> Markup {
    let places = line.points.iter().map(|at| place(x.at(at.load), y.at(at.value)));
    let places: Vec<String> = places.collect();
    html! {
        g class={ "line " (line.look.class) } {
            polyline points=(places.join(" ")) {}
            @for at in &line.points {
                g data-tip=(tip(line, at, measure, unit)) {
                    (line.look.mark(x.at(at.load), y.at(at.value), 3.0))
                }
            }
        }
    }
}

/// `coroutines, 100 connections: 52 µs [50 µs, 60 µs]`
fn tip(line: &Line, at: &At, measure: &Measure, unit: &str) -> String {
    let value = measure.unit.full(at.value);
    let mut text = format!("{}, {} {unit}: {value}", line.name, grouped(at.load as u64));
    if at.low < at.high {
        let (low, high) = (measure.unit.full(at.low), measure.unit.full(at.high));
        text += &format!(" [{low}, {high}]");
    }
    text
}

fn names(lines: &[Line], x: &Scale, y: &Scale) -> Markup {
    let ends: Vec<(f64, f64)> = lines
        .iter()
        .filter_map(|line| line.points.last())
        .map(|at| (x.at(at.load), y.at(at.value)))
        .collect();
    let wanted: Vec<f64> = ends.iter().map(|end| end.1).collect();
    let places = labels::apart(&wanted, LINE, FIELD.top, FIELD.bottom);
    let left = FIELD.right + 10.0;
    html! {
        @for ((line, end), y) in lines.iter().zip(&ends).zip(places) {
            g class={ "end " (line.look.class) } {
                path class="leader"
                    d=(format!("M{}L{}", place(end.0 + 4.0, end.1), place(left - 2.0, y))) {}
                (line.look.mark(left + 3.0, y, 2.8))
                text x=(px(left + 10.0)) y=(px(y + 3.8)) { (line.name) }
            }
        }
    }
}

fn place(x: f64, y: f64) -> String {
    format!("{},{}", px(x), px(y))
}

fn description(lines: &[Line], curve: &Curve, measure: &Measure) -> String {
    let ends = lines.iter().filter_map(|line| {
        let (first, last) = (line.points.first()?, line.points.last()?);
        let value =
            |at: &At| format!("{} at {}", measure.unit.full(at.value), grouped(at.load as u64));
        Some(format!("{}: from {} to {}", line.name, value(first), value(last)))
    });
    format!("Over {} at once. {}", curve.unit, ends.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn every_model_has_its_line_its_band_and_its_name() {
        let curve = fixture::curve();
        let text = draw("echo", &curve, &MEASURES[0]).expect("drawn").into_string();
        assert_eq!(text.matches("<polyline").count(), 3, "{text}");
        assert_eq!(text.matches("<polygon").count(), 3, "{text}");
        for name in ["in sequence", "thread per job", "loop per core"] {
            assert!(text.contains(&format!(">{name}</text>")), "{name}: {text}");
        }
        assert!(text.contains("connections at once"), "{text}");
        // Five loads, but a thread per job ends early.
        assert_eq!(text.matches("data-tip").count(), 14, "{text}");
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }

    #[test]
    fn one_load_alone_makes_no_line() {
        let mut curve = fixture::curve();
        curve.points.truncate(1);
        assert!(draw("echo", &curve, &MEASURES[0]).is_none());
        curve.points.clear();
        assert!(draw("echo", &curve, &MEASURES[0]).is_none());
    }
}
