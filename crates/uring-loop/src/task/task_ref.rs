//! A handle to a task of any output: what asyncio's `all_tasks` and `current_task` give.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::Location;
use std::ptr::NonNull;

use super::raw::{self, Header};
use super::{TaskInfo, info, references};
use crate::cancel::Reason;
use crate::context;

/// A task, whatever its output: to look at, to cancel, to abort; not to await.
///
/// It keeps neither the task running nor its result: dropping it changes nothing. Two are equal if
/// they are of the same task.
pub struct TaskRef {
    header: NonNull<Header>,
}

impl TaskRef {
    pub(crate) fn new(header: &Header) -> Self {
        header.retain_local();
        TaskRef { header: NonNull::from(header) }
    }

    pub(crate) fn header(&self) -> &Header {
        // SAFETY: we hold a local reference, and are not `Send`.
        unsafe { self.header.as_ref() }
    }

    /// Asks the task to end. See [`Task::cancel`](super::Task::cancel).
    pub fn cancel(&self) -> bool {
        self.header().cancel(None)
    }

    /// Asks the task to end, and says why. See [`Task::cancel_with`](super::Task::cancel_with).
    pub fn cancel_with(&self, reason: impl fmt::Display) -> bool {
        self.header().cancel(Some(Reason::new(reason)))
    }

    /// Takes one request back, and tells how many are left. See
    /// [`Task::uncancel`](super::Task::uncancel).
    pub fn uncancel(&self) -> u32 {
        self.header().uncancel()
    }

    /// Drops the task's future now. See [`Task::abort`](super::Task::abort).
    pub fn abort(&self) {
        // SAFETY: alive, by our reference.
        unsafe { raw::abort(self.header) };
    }

    /// Whether the task has ended, in whatever way.
    pub fn is_done(&self) -> bool {
        self.header().is_complete()
    }

    /// How many requests to end were made and not taken back.
    pub fn cancelling(&self) -> u32 {
        self.header().cancels()
    }

    /// The task's number, unique within its loop.
    pub fn id(&self) -> u32 {
        self.header().node.id
    }

    /// Its name; `Task-N` if none was given.
    pub fn name(&self) -> String {
        self.header().name()
    }

    /// Where it was spawned.
    pub fn location(&self) -> &'static Location<'static> {
        self.header().location
    }

    /// What the dump shows of it.
    pub fn info(&self) -> TaskInfo {
        crate::dump::info(self.header())
    }
}

impl Clone for TaskRef {
    fn clone(&self) -> Self {
        TaskRef::new(self.header())
    }
}

impl Drop for TaskRef {
    fn drop(&mut self) {
        // SAFETY: our reference, on the task's thread.
        unsafe { references::release_local(self.header()) };
    }
}

impl PartialEq for TaskRef {
    fn eq(&self, other: &Self) -> bool {
        self.header == other.header
    }
}

impl Eq for TaskRef {}

impl Hash for TaskRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.header.hash(state);
    }
}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        info::describe(self.header(), f)
    }
}

/// The task, or the callback, that is running.
///
/// `None` outside of tasks.
///
/// # Examples
///
/// ```
/// uring_loop::run(async {
///     let task = uring_loop::spawn(async {
///         uring_loop::current_task().map(|task| task.name())
///     });
///     assert_eq!(task.named("worker").await.unwrap().as_deref(), Some("worker"));
/// })
/// # .unwrap();
/// ```
#[doc(alias = "asyncio.current_task")]
pub fn current_task() -> Option<TaskRef> {
    context::with_task(|_, header| TaskRef::new(header))
}

/// All tasks of the running loop that have not ended, oldest first, the running one included.
/// Callbacks are not among them.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// uring_loop::run(async {
///     drop(uring_loop::spawn(std::future::pending::<()>()));
///     let me = uring_loop::current_task();
///     for task in uring_loop::all_tasks() {
///         if Some(&task) != me.as_ref() {
///             assert!(task.cancel());
///         }
///     }
/// })
/// # .unwrap();
/// ```
#[doc(alias = "asyncio.all_tasks")]
#[track_caller]
pub fn all_tasks() -> Vec<TaskRef> {
    context::core("all_tasks", |core| core.tasks.all())
}
