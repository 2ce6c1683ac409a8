//! L3: running many: waiting for all of them, for the first, for each as it ends.
//!
//! | | ends when | on an error | on a cancel of who waits | dropped |
//! |---|---|---|---|---|
//! | [`gather`], [`try_gather`] | all are done | ends at once, the others run on | all are asked, and waited for | the tasks run on |
//! | [`gather_settled`] | all are done | goes on | all are asked, and waited for | the tasks run on |
//! | [`wait`], [`try_wait`] | as [`WaitUntil`] says | as [`WaitUntil`] says | ends, the tasks run on | the tasks run on |
//! | [`as_completed`] | gives each as it ends | goes on | ends, the tasks run on | the tasks run on |
//!
//! All of them work on tasks, for what runs on by itself is a task: `futures.map(spawn)`, or
//! [`spawn_all`](crate::spawn_all), makes tasks of futures. The macros [`gather!`](crate::gather!),
//! [`try_gather!`](crate::try_gather!), [`gather_settled!`](crate::gather_settled!) and
//! [`as_completed!`](crate::as_completed!) take futures and tasks, several or an iterator of them,
//! and do it themselves. No function could: see [`IntoTask`].
//!
//! None looks at all tasks when one of them ends: `task/collect.rs`.
//!
//! What does not run by itself: [`join`], [`try_join`], [`race`] and [`select!`](crate::select!)
//! poll futures side by side in the task that awaits them; `side.rs` is what they have in common.
//! [`TaskGroup`] runs tasks that belong together and ends them together. [`shield`] awaits a task
//! without handing cancels on to it.

mod as_completed;
mod branches;
mod gather;
mod gathering;
mod group;
mod in_task;
mod join;
mod list;
mod members;
mod race;
mod select;
mod shield;
mod side;
mod tuple;
mod tuples;
mod wait;
mod wake_set;

pub use branches::IntoBranches;
pub(crate) use group::Groups;
pub use group::{GroupTask, TaskErrors, TaskGroup};
pub use join::{join, try_join};
pub use race::race;
#[doc(hidden)]
pub use select::support as select_support;
pub use shield::{Shield, shield};

pub use as_completed::{AsCompleted, AsCompletedWithin, Completed, as_completed};
pub use gather::{
    Gather, GatherError, GatherSettled, TryGather, gather, gather_settled, try_gather,
};
#[doc(hidden)]
pub use in_task::Gathered;
pub use in_task::IntoTask;
#[doc(hidden)]
pub use tuple::{Argument, Items, SpawnArgument, SpawnItems, TryTuple, Tuple};
pub use wait::{NoTasks, Wait, WaitTasks, WaitUntil, cancel_all, try_wait, wait};
