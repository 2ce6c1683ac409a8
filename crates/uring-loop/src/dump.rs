//! The dump: all tasks of a loop as a tree of who waits for whom.
//!
//! Next to nothing is recorded for it while the loop runs. Whom a task awaits stands in the tree of
//! cancel scopes, or in the waker of a task that is waited for apart from it; groups know their
//! children, operations and timers whom to wake. Only the locks and queues of `sync`, which keep
//! no list that could be searched, say what they are when a task waits for them, and that only in
//! debug mode.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use crate::context;
use crate::driver::InFlightKind;
use crate::task::TaskInfo;
use crate::task::raw::Header;
use crate::task::state::flags;
use crate::turn::Core;

/// The tasks of a loop at one moment; `Display` shows them as a tree, each under the task that
/// awaits it, and below that what is in flight.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use uring_loop::{Dump, spawn, time::sleep, yield_now};
///
/// uring_loop::run(async {
///     let inner = spawn(sleep(Duration::from_secs(60))).named("inner");
///     let outer = spawn(inner).named("outer");
///     yield_now().await;
///     yield_now().await;
///     let text = Dump::current().to_string();
///     assert!(text.contains("outer"), "{text}");
///     outer.abort();
/// })
/// # .unwrap();
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "print_call_graph")]
#[doc(alias = "pstree")]
pub struct Dump {
    tasks: Vec<TaskInfo>,
    /// Which one awaits which, by position.
    awaited_by: Vec<Option<usize>>,
    operations: Vec<InFlightKind>,
}

impl Dump {
    /// Of the running loop.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub fn current() -> Self {
        context::core("Dump::current", Dump::of)
    }

    pub(crate) fn of(core: &Core) -> Self {
        let (waits, awaiters) = (Waits::of(core), Awaiters::of(core));
        let (mut tasks, mut headers) = (Vec::new(), Vec::new());
        core.tasks.for_each(|header| {
            tasks.push(waits.describe(header));
            headers.push((header.node.id, awaiters.of_task(header)));
        });
        tasks.reverse();
        headers.reverse();
        let place: HashMap<u32, usize> =
            headers.iter().enumerate().map(|(index, (id, _))| (*id, index)).collect();
        let above = |(_, awaiter): &(u32, Option<u32>)| place.get(awaiter.as_ref()?).copied();
        let operations = InFlightKind::of(&core.in_flight());
        Dump { awaited_by: headers.iter().map(above).collect(), tasks, operations }
    }

    /// The tasks and callbacks, oldest first.
    pub fn tasks(&self) -> &[TaskInfo] {
        &self.tasks
    }

    /// What the kernel has not finished with, by kinds.
    pub fn operations(&self) -> &[InFlightKind] {
        &self.operations
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, index: usize, depth: usize) -> fmt::Result {
        writeln!(f, "{:indent$}{}", "", self.tasks[index], indent = 4 * depth)?;
        for (below, awaiter) in self.awaited_by.iter().enumerate() {
            // A task awaits itself through others only if the program is wrong; then it has no
            // root, and is not reached from one.
            if *awaiter == Some(index) {
                self.write(f, below, depth + 1)?;
            }
        }
        Ok(())
    }

    /// Whether the chain of those who await this task comes to an end.
    fn has_root(&self, index: usize) -> bool {
        let mut at = Some(index);
        let steps = (0..=self.tasks.len()).take_while(|_| {
            at = at.and_then(|index| self.awaited_by[index]);
            at.is_some()
        });
        steps.count() <= self.tasks.len()
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, awaiter) in self.awaited_by.iter().enumerate() {
            if awaiter.is_none() {
                self.write(f, index, 0)?;
            }
        }
        for index in 0..self.tasks.len() {
            if !self.has_root(index) {
                writeln!(f, "in a circle: {}", self.tasks[index])?;
            }
        }
        for kind in &self.operations {
            writeln!(f, "in flight: {kind}")?;
        }
        Ok(())
    }
}

/// Who waits for the children of groups, by their numbers. For all others the task itself knows.
struct Awaiters(HashMap<u32, u32>);

impl Awaiters {
    fn of(core: &Core) -> Self {
        let mut parents = HashMap::new();
        core.groups.for_each(|child, parent| {
            parents.insert(child, parent);
        });
        Awaiters(parents)
    }

    fn of_task(&self, header: &Header) -> Option<u32> {
        header.awaited_by().or_else(|| self.0.get(&header.node.id).copied())
    }
}

/// What the tasks of a loop wait for, by their numbers.
struct Waits(HashMap<u32, Vec<String>>);

impl Waits {
    fn of(core: &Core) -> Self {
        let (mut waits, awaiters) = (Waits(HashMap::new()), Awaiters::of(core));
        core.tasks.for_each(|header| {
            if let Some(awaiter) = awaiters.of_task(header) {
                waits.add(awaiter, header.name());
            }
        });
        for (task, operation) in core.driver.waiting() {
            waits.add(task, operation.to_owned());
        }
        let now = core.clock.now();
        core.timers.waiting(|task, deadline| {
            let left = Duration::from_nanos(deadline.saturating_sub(now));
            waits.add(task, format!("a timer, {left:.1?} left"));
        });
        waits
    }

    fn add(&mut self, task: u32, what: String) {
        let all = self.0.entry(task).or_default();
        if !all.contains(&what) {
            all.push(what);
        }
    }

    fn describe(&self, header: &Header) -> TaskInfo {
        let mut info = TaskInfo::of(header);
        let Some(waits) = self.0.get(&info.id) else { return info };
        let mut text = info.waiting_on.unwrap_or_default();
        for what in waits {
            if !text.is_empty() {
                text.push_str(", ");
            }
            write!(text, "{what}").expect("a String takes everything");
        }
        info.waiting_on = Some(text);
        info
    }
}

/// What the dump shows of one task.
pub(crate) fn info(header: &Header) -> TaskInfo {
    let describe = |core: &Core| Waits::of(core).describe(header);
    let waits = !header.has(flags::COMPLETE);
    let described = waits.then(|| context::with_loop(header.node.loop_id, describe)).flatten();
    described.unwrap_or_else(|| TaskInfo::of(header))
}

/// What one task waits for, in words; for its own Debug.
pub(crate) fn waiting_on(header: &Header) -> Option<String> {
    if header.has(flags::COMPLETE) {
        return None;
    }
    let describe = |core: &Core| Waits::of(core).describe(header).waiting_on;
    context::with_loop(header.node.loop_id, describe).flatten()
}
