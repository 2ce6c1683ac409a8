//! How a model looks wherever it is drawn: name, colour, shape.
//!
//! The shape says what kind it is (threads are squares, loops circles, processes triangles) and the
//! colour which family it belongs to, so that neither is needed to tell two lines apart: the
//! colours are told apart by those who see fewer, too, and every line has its name at its end.

use maud::{Markup, html};

use super::scale::px;
use crate::bench::kinds;

/// The look of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) name: &'static str,
    /// Fits at the end of a line.
    pub(super) short: &'static str,
    /// The class of the colour in style.css.
    pub(super) class: &'static str,
    shape: Shape,
    /// The shape is an outline.
    open: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Cross,
    Square,
    Circle,
    Triangle,
}

use Shape::{Circle, Cross, Square, Triangle};

const fn look(
    name: &'static str,
    short: &'static str,
    class: &'static str,
    shape: Shape,
    open: bool,
) -> Look {
    Look { name, short, class, shape, open }
}

/// In the order in which they are shown.
const LOOKS: [Look; 17] = [
    look("sequential", "in sequence", "m-seq", Cross, false),
    look("thread-per-job", "thread per job", "m-thread", Square, true),
    look("threadpool", "ThreadPool", "m-pool", Square, false),
    look("coroutines", "coroutines", "m-loop", Circle, true),
    look("loop-per-core", "loop per core", "m-loops", Circle, false),
    look("processpool", "ProcessPool", "m-procs", Triangle, true),
    look("process-per-core", "process per core", "m-proc", Triangle, false),
    look("python-threads", "Python threads", "m-py py", Square, true),
    look("python-processes", "Python processes", "m-py2 py", Triangle, true),
    look("python-asyncio", "asyncio", "m-py py", Circle, true),
    look("python-gevent", "gevent", "m-py2 py", Circle, false),
    look("tokio", "tokio", "m-tokio peer", Circle, true),
    look("tokio-multi", "tokio, all cores", "m-tokio peer", Circle, false),
    look("monoio", "monoio", "m-peer peer", Circle, true),
    look("glommio", "glommio", "m-peer2 peer", Circle, false),
    look("compio", "compio", "m-peer3 peer", Circle, true),
    look("rayon", "rayon", "m-rayon peer", Square, false),
];

/// One that this program doesn't know, from a record of another.
const STRANGER: Look = look("", "another", "m-seq peer", Cross, false);

/// How a model looks.
pub(super) fn of(model: &str) -> Look {
    LOOKS.iter().copied().find(|look| look.name == model).unwrap_or(STRANGER)
}

/// Its place among the others.
pub(super) fn rank(model: &str) -> usize {
    LOOKS.iter().position(|look| look.name == model).unwrap_or(LOOKS.len())
}

/// What it is called in a sentence.
pub(super) fn label(model: &str) -> String {
    kinds::MODELS
        .iter()
        .find(|known| known.name == model)
        .map_or_else(|| short(model), |known| known.label.to_owned())
}

/// What stands at the end of its line.
pub(super) fn short(model: &str) -> String {
    let look = of(model);
    if look.name.is_empty() { model.to_owned() } else { look.short.to_owned() }
}

impl Look {
    /// Its mark, of this radius, round a place.
    pub(super) fn mark(&self, x: f64, y: f64, r: f64) -> Markup {
        let class = if self.open { "mark open" } else { "mark" };
        let at = |dx: f64, dy: f64| format!("{} {}", px(x + dx * r), px(y + dy * r));
        html! {
            @match self.shape {
                Circle => circle class=(class) cx=(px(x)) cy=(px(y)) r=(px(r)) {},
                Square => rect class=(class) x=(px(x - r * 0.9)) y=(px(y - r * 0.9))
                    width=(px(r * 1.8)) height=(px(r * 1.8)) {},
                Triangle => path class=(class)
                    d=(format!("M{}L{}L{}Z", at(0.0, -1.15), at(1.1, 0.85), at(-1.1, 0.85))) {},
                Cross => path class="mark cross" d=(format!(
                    "M{}L{}M{}L{}", at(-0.8, -0.8), at(0.8, 0.8), at(-0.8, 0.8), at(0.8, -0.8)
                )) {},
            }
        }
    }

    /// The mark of what was extrapolated: a dashed ring round it.
    pub(super) fn ghost(&self, x: f64, y: f64) -> Markup {
        html! {
            g class="ghost" {
                (self.mark(x, y, 3.5))
                circle class="ring" cx=(px(x)) cy=(px(y)) r="6.5" {}
            }
        }
    }

    /// Its mark in a line of text.
    pub(super) fn key(&self) -> Markup {
        html! {
            svg class={ "key " (self.class) } viewBox="0 0 12 12" aria-hidden="true" {
                (self.mark(6.0, 6.0, 4.0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_model_of_the_plan_has_a_look_of_its_own() {
        for model in &kinds::MODELS {
            assert_eq!(of(model.name).name, model.name);
        }
        let marks: BTreeSet<String> = LOOKS
            .iter()
            .map(|look| format!("{} {}", look.class, look.mark(0.0, 0.0, 1.0).into_string()))
            .collect();
        assert_eq!(marks.len(), LOOKS.len());
    }

    #[test]
    fn a_model_of_another_program_keeps_its_name() {
        assert_eq!((short("fibres"), label("fibres")), ("fibres".into(), "fibres".into()));
        assert_eq!(rank("fibres"), LOOKS.len());
        assert_eq!(label("coroutines"), "coroutines on one loop");
    }
}
