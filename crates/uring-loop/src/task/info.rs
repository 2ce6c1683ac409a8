//! What a task says of itself: for dumps, and for Debug.

use std::fmt;
use std::panic::Location;

use super::raw::Header;
use super::state::flags;
use crate::cancel::Reason;
use crate::context;
use crate::turn::Core;

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

impl Header {
    pub(super) fn flag_names(&self) -> Vec<&'static str> {
        let set = |(index, name): (usize, &&'static str)| self.has(1 << index).then_some(*name);
        flags::NAMES.iter().enumerate().filter_map(set).collect()
    }

    /// The name that was given, or one made of its number.
    pub(crate) fn name(&self) -> String {
        self.given_name().unwrap_or_else(|| format!("{}-{}", self.kind(), self.node.id))
    }

    /// What it is called with its number.
    pub(crate) fn kind(&self) -> &'static str {
        if self.has(flags::CALLBACK) { "Callback" } else { "Task" }
    }

    /// The name that was given.
    pub(crate) fn given_name(&self) -> Option<String> {
        let given = |core: &Core| core.tasks.extras.look(self, |extras| extras.name.clone());
        if !self.has(flags::EXTRAS) {
            return None;
        }
        context::with_loop(self.node.loop_id, given).flatten().flatten()
    }

    /// Who awaits this task, by number: in the tree of scopes, or apart from it, as a shield and a
    /// `wait` do.
    pub(crate) fn awaited_by(&self) -> Option<u32> {
        self.join.task_above().map(|task| task.node.id).or_else(|| self.join.wakes())
    }

    /// What it said it waits for, in debug mode.
    pub(super) fn noted_wait(&self) -> Option<&'static str> {
        let noted = |core: &Core| core.tasks.extras.look(self, |extras| extras.waits_for);
        context::with_loop(self.node.loop_id, noted).flatten().flatten()
    }
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
