//! What a task says of itself: for dumps, and for Debug.

use std::fmt;
use std::panic::Location;

use super::raw::Header;
use super::state::flags;
use crate::cancel::Reason;

/// A task as the dump shows it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its number within the loop.
    pub id: u32,
    /// Its name, `Task-N` if none was given.
    pub name: String,
    /// Where it was spawned.
    pub location: &'static Location<'static>,
    /// Its state in words: `waiting`, `scheduled`, `running` or `finished`.
    pub state: &'static str,
    /// How often it was asked to end.
    pub cancelling: u32,
    /// What it waits for, as far as the loop knows: operations, timers, other tasks; in debug mode
    /// also locks, queues, promises and channels. [`Dump`](crate::Dump) finds that out.
    pub waiting_on: Option<String>,
}

impl TaskInfo {
    pub(crate) fn of(header: &Header) -> Self {
        let state = if header.has(flags::COMPLETE) {
            "finished"
        } else if header.has(flags::RUNNING) {
            "running"
        } else if header.has(flags::SCHEDULED) {
            "scheduled"
        } else {
            "waiting"
        };
        TaskInfo {
            id: header.node.id,
            name: header.name(),
            location: header.location,
            state,
            cancelling: header.cancels(),
            waiting_on: header.noted_wait().map(|noted| shortened(noted).to_owned()),
        }
    }
}

impl fmt::Display for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Task {} name={:?} at {}", self.state, self.name, self.location)?;
        if self.cancelling > 0 {
            write!(f, " cancelling={}", self.cancelling)?;
        }
        if let Some(what) = &self.waiting_on {
            write!(f, " waiting on {what}")?;
        }
        f.write_str(">")
    }
}

/// A note in words as it is; of the name of a type the module, `sync::lock` say.
fn shortened(noted: &str) -> &str {
    let Some(path) = noted.strip_prefix("uring_loop::") else { return noted };
    let path = path.split_once('<').map_or(path, |(path, _)| path);
    let module = path.rsplit_once("::").map_or(path, |(module, _)| module);
    module.trim_end_matches("::shared")
}

/// Writes what Debug shows of a task: asyncio's words for its state, and what it waits for.
pub(super) fn describe(header: &Header, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let state = match (header.has(flags::COMPLETE), header.cancels() > 0) {
        (true, _) => "finished",
        (false, true) => "cancelling",
        (false, false) => "pending",
    };
    write!(f, "<Task {state} name={:?} at {}", header.name(), header.location)?;
    if let Some(reason) = header.reason() {
        write!(f, " reason={:?}", Reason::to_string(&reason))?;
    }
    if let Some(what) = crate::dump::waiting_on(header) {
        write!(f, " waiting on {what}")?;
    }
    if f.alternate() {
        write!(f, " [{}]", header.flag_names().join(" "))?;
    }
    f.write_str(">")
}
