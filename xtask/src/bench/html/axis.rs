//! Axes: thin lines where round values are, and what they are.

use maud::{Markup, html};

use super::scale::{Scale, px};
use super::unit::Unit;

/// The part of a drawing that holds the data.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

/// Lines upwards from the lower edge, their values below.
pub(super) fn below(field: Field, scale: &Scale, unit: Unit, most: usize) -> Markup {
    html! {
        g class="axis" {
            @for tick in scale.ticks(most) {
                @let x = scale.at(tick);
                line class="grid" x1=(px(x)) x2=(px(x)) y1=(px(field.top)) y2=(px(field.bottom)) {}
                text x=(px(x)) y=(px(field.bottom + 14.0)) text-anchor="middle" {
                    (unit.tick(tick))
                }
            }
        }
    }
}

/// Lines from left to right, their values on them: no room is lost at the left.
pub(super) fn beside(field: Field, scale: &Scale, unit: Unit, most: usize) -> Markup {
    html! {
        g class="axis" {
            @for tick in scale.ticks(most) {
                @let y = scale.at(tick);
                line class="grid" x1=(px(field.left)) x2=(px(field.right)) y1=(px(y)) y2=(px(y)) {}
                text x=(px(field.left - 5.0)) y=(px(y + 3.5)) text-anchor="end" {
                    (unit.tick(tick))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tick_has_its_line_and_its_value() {
        let field = Field { left: 40.0, right: 240.0, top: 10.0, bottom: 110.0 };
        let text = below(field, &Scale::log(1.0, 100.0, 40.0, 240.0), Unit::Count, 5).into_string();
        assert_eq!(text.matches("<line").count(), 5, "{text}");
        assert!(text.contains(">100</text>") && text.contains("x=\"240\""), "{text}");
        let scale = Scale::linear(0.0, 2.0, 110.0, 10.0);
        let text = beside(field, &scale, Unit::Seconds, 4).into_string();
        assert!(text.contains(">500 ms</text>") && text.contains(">2 s</text>"), "{text}");
    }
}
