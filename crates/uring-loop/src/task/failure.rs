//! Failures of tasks that nobody takes: told instead of lost.

use std::any::Any;
use std::io;

use super::raw::Header;
use crate::report::{Report, ReportKind};

/// What a task's output may say that somebody should hear of.
pub(super) enum Failure<'a> {
    Panic(&'a (dyn Any + Send)),
    Error(&'a io::Error),
}

impl Failure<'_> {
    /// Tells the loop's exception handler.
    pub(super) fn report(&self, header: &Header) {
        let kind = ReportKind::NeverRetrieved;
        let report = match self {
            Failure::Panic(panic) => {
                Report::new(kind, "a task panicked, and nobody took its result").with_panic(*panic)
            }
            Failure::Error(error) => {
                let words = "a task ended with an error, and nobody took its result";
                Report::new(kind, format!("{words} ({error})"))
            }
        };
        report.named(header.name()).at(header.location).send_to(header.node.loop_id);
    }
}
