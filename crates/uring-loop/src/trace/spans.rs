//! Spans for `tracing`: one per task, entered for each of its polls, and one per operation, from
//! its submission to its last completion.

use std::cell::RefCell;
use std::collections::HashMap;

use tracing::field::Empty;
use tracing::{Level, Span};

use crate::driver::InFlight;
use crate::task::TaskRef;
use crate::task::state::flags;

pub(super) const TASK: &str = "uring_loop::task";
const OPERATION: &str = "uring_loop::op";

/// Whether the log takes our spans: then a loop makes them without being asked.
pub(crate) fn wanted_by_log() -> bool {
    tracing::span_enabled!(target: TASK, Level::TRACE)
        || tracing::span_enabled!(target: OPERATION, Level::TRACE)
}

/// The spans that are open.
#[derive(Default)]
pub(super) struct Spans {
    tasks: RefCell<HashMap<u32, Span>>,
    /// By the user data of their completions.
    operations: RefCell<HashMap<u64, Span>>,
}

impl Spans {
    pub(super) fn poll(&self, task: &TaskRef, poll: impl FnOnce()) {
        let span = self.of_task(task);
        span.in_scope(poll);
        if task.is_done() {
            // The last of it, which the subscriber hears of when `span` goes, outside the borrow.
            let _ended = self.tasks.borrow_mut().remove(&task.id());
        }
    }

    fn of_task(&self, task: &TaskRef) -> Span {
        if let Some(span) = self.tasks.borrow().get(&task.id()) {
            return span.clone();
        }
        let span = tracing::trace_span!(
            target: TASK,
            parent: None,
            "task",
            id = task.id(),
            name = task.name(),
            callback = task.header().has(flags::CALLBACK),
            spawned_at = %task.location(),
        );
        self.tasks.borrow_mut().insert(task.id(), span.clone());
        span
    }

    pub(super) fn submitted(&self, operation: &InFlight) {
        let span = tracing::trace_span!(
            target: OPERATION,
            "op",
            operation = operation.operation,
            user_data = operation.user_data,
            result = Empty,
        );
        self.operations.borrow_mut().insert(operation.user_data, span);
    }

    pub(super) fn completed(&self, operation: &InFlight, result: i32, last: bool) {
        if last {
            let span = self.operations.borrow_mut().remove(&operation.user_data);
            if let Some(span) = span {
                span.record("result", result);
            }
            return;
        }
        let span = self.operations.borrow().get(&operation.user_data).cloned();
        if let Some(span) = span {
            tracing::trace!(target: OPERATION, parent: &span, result, "one of many");
        }
    }
}
