//! The frame of every drawing: a caption above, and what those are told who hear the page.

use maud::{Markup, html};

/// How wide every drawing is, in its own pixels: as wide as a phone, so that letters are as large
/// there as elsewhere. Wide pages hold several beside each other.
pub(super) const WIDTH: f64 = 340.0;

/// One drawing.
#[derive(Debug)]
pub(super) struct Panel<'a> {
    /// Unique on the page.
    pub(super) id: String,
    pub(super) title: &'a str,
    /// What one needs to read it, in small letters; without it there is no caption.
    pub(super) note: &'a str,
    /// The figures in words.
    pub(super) description: String,
    pub(super) height: f64,
}

impl Panel<'_> {
    /// The drawing by itself, at a place in a greater one, as wide as it is in its own pixels.
    pub(super) fn at(&self, x: f64, y: f64, drawing: &Markup) -> Markup {
        html! {
            svg x=(x) y=(y) width=(WIDTH) height=(self.height.ceil()) overflow="visible"
                viewBox=(format!("0 0 {WIDTH} {}", self.height.ceil())) {
                (drawing)
            }
        }
    }

    /// Puts the frame round a drawing.
    pub(super) fn around(&self, drawing: &Markup) -> Markup {
        let (title, description) = (format!("{}-t", self.id), format!("{}-d", self.id));
        html! {
            figure class="panel" {
                @if !self.note.is_empty() {
                    figcaption {
                        strong { (self.title) } " " span class="note" { (self.note) }
                    }
                }
                svg class="plot" role="img" aria-labelledby={ (title) " " (description) }
                    viewBox=(format!("0 0 {WIDTH} {}", self.height.ceil())) {
                    title id=(title) { (self.title) }
                    desc id=(description) { (self.description) }
                    (drawing)
                }
            }
        }
    }
}
