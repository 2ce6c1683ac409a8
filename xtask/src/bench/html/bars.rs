//! A bar per model, with its interval. Where the longest would dwarf the others, the scale is
//! logarithmic; it has no zero then, so a mark takes the place of the bar.

use maud::{Markup, html};

use super::axis::{self, Field};
use super::look::Look;
use super::panel::{Panel, WIDTH};
use super::scale::{Scale, px};
use super::unit::Unit;

/// From this ratio of the longest to the shortest on, the scale is logarithmic.
const DWARFED: f64 = 25.0;
/// The height of a row: a line of text, and the bar below it.
const ROW: f64 = 32.0;
const THICK: f64 = 9.0;
/// The field of the bars leaves room for whiskers and marks.
const LEFT: f64 = 4.0;
const RIGHT: f64 = WIDTH - 8.0;

/// One model.
#[derive(Debug, Clone)]
pub(super) struct Bar {
    pub(super) look: Look,
    pub(super) label: String,
    pub(super) value: f64,
    /// The interval, where there is one.
    pub(super) spread: Option<(f64, f64)>,
    /// How the value is written.
    pub(super) text: String,
    pub(super) extrapolated: bool,
    /// The best of all.
    pub(super) best: bool,
}

/// Draws them from top to bottom; `None` when there is nothing to show.
pub(super) fn draw(
    id: String,
    title: &str,
    note: &str,
    unit: Unit,
    bars: &[Bar],
) -> Option<Markup> {
    let (low, high) = extent(bars)?;
    let logarithmic = low > 0.0 && high / low > DWARFED;
    let bottom = bars.len() as f64 * ROW + 2.0;
    let field = Field { left: LEFT, right: RIGHT, top: 0.0, bottom };
    let scale = match logarithmic {
        true => Scale::log(low * 0.8, high * 1.15, LEFT + 6.0, RIGHT),
        false => Scale::linear(0.0, high, LEFT, RIGHT),
    };
    let note = match logarithmic {
        true => format!("{note}, log scale"),
        false => note.to_owned(),
    };
    let described = bars.iter().map(|bar| format!("{}: {}", bar.label, bar.text));
    let panel = Panel {
        id,
        title,
        note: &note,
        description: described.collect::<Vec<_>>().join("; "),
        height: bottom + if logarithmic { 20.0 } else { 0.0 },
    };
    Some(panel.around(&html! {
        @if logarithmic { (axis::below(field, &scale, unit, 6)) }
        @for (index, bar) in bars.iter().enumerate() {
            (row(bar, index as f64 * ROW, &scale, logarithmic))
        }
    }))
}

fn extent(bars: &[Bar]) -> Option<(f64, f64)> {
    let values = || {
        bars.iter().flat_map(|bar| {
            let (low, high) = bar.spread.unwrap_or((bar.value, bar.value));
            [low, bar.value, high]
        })
    };
    let positive = values().filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
    let high = values().fold(0.0, f64::max);
    (high > 0.0 && high.is_finite()).then_some((positive, high))
}

fn row(bar: &Bar, top: f64, scale: &Scale, logarithmic: bool) -> Markup {
    let middle = top + 17.0 + THICK / 2.0;
    let end = scale.at(bar.value);
    let class = format!("bar {}{}", bar.look.class, if bar.best { " best" } else { "" });
    html! {
        g class=(class) data-tip={ (bar.label) ": " (bar.text) } {
            text class="name" x=(LEFT) y=(px(top + 12.0)) { (bar.label) }
            text class="value" x=(RIGHT) y=(px(top + 12.0)) text-anchor="end" { (bar.text) }
            @if logarithmic {
                line class="track" x1=(LEFT) x2=(RIGHT) y1=(px(middle)) y2=(px(middle)) {}
                @if bar.extrapolated { (bar.look.ghost(end, middle)) }
                @else { (bar.look.mark(end, middle, 4.5)) }
            } @else {
                rect class={ "fill" @if bar.extrapolated { " ghost" } }
                    x=(LEFT) y=(px(top + 17.0))
                    width=(px((end - LEFT).max(1.0))) height=(THICK) {}
            }
            @if let Some((low, high)) = bar.spread {
                (whisker(scale.at(low), scale.at(high), middle))
            }
        }
    }
}

/// The interval, with its ends.
fn whisker(low: f64, high: f64, y: f64) -> Markup {
    // Narrower than its own ends, it would only be dirt.
    if high - low < 3.0 {
        return html! {};
    }
    let (low, high) = (px(low), px(high));
    let (above, under) = (px(y - 3.0), px(y + 3.0));
    html! {
        path class="whisker"
            d=(format!("M{low} {}H{high}M{low} {above}V{under}M{high} {above}V{under}", px(y))) {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::look;
    use super::*;

    fn bar(model: &str, value: f64) -> Bar {
        Bar {
            look: look::of(model),
            label: look::label(model),
            value,
            spread: Some((value * 0.9, value * 1.2)),
            text: Unit::Seconds.full(value),
            extrapolated: false,
            best: false,
        }
    }

    fn drawn(bars: &[Bar]) -> String {
        let drawn = draw("x".into(), "Time", "seconds", Unit::Seconds, bars);
        drawn.expect("there is something to show").into_string()
    }

    #[test]
    fn bars_of_one_magnitude_begin_at_zero() {
        let text = drawn(&[bar("coroutines", 1.0), bar("sequential", 2.0)]);
        assert_eq!(text.matches("class=\"fill\"").count(), 2, "{text}");
        assert_eq!(text.matches("class=\"whisker\"").count(), 2, "{text}");
        assert!(!text.contains("class=\"axis\""), "the values stand beside the bars: {text}");
    }

    #[test]
    fn where_one_would_dwarf_the_others_marks_stand_on_a_logarithmic_scale() {
        let mut slow = bar("sequential", 200.0);
        slow.extrapolated = true;
        let text = drawn(&[bar("coroutines", 0.02), slow]);
        assert!(text.contains("class=\"axis\"") && !text.contains("class=\"fill"), "{text}");
        assert!(text.contains("log scale"), "{text}");
        assert_eq!(text.matches("ghost").count(), 1, "the extrapolated one: {text}");
    }

    #[test]
    fn there_is_no_drawing_of_nothing() {
        assert!(draw("x".into(), "", "", Unit::Seconds, &[]).is_none());
        let zero = Bar { spread: None, ..bar("sequential", 0.0) };
        assert!(draw("x".into(), "", "", Unit::Seconds, &[zero]).is_none());
    }
}
