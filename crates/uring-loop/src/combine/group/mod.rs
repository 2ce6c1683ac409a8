//! Tasks that belong together: they end together, and one that fails ends the others.
//!
//! `state.rs` is what the group and its children share, `child.rs` what runs in a child's task,
//! `running.rs` the future that polls the body and waits, `errors.rs` what went wrong,
//! `register.rs` what the dump knows of groups.

mod child;
mod errors;
mod register;
mod running;
mod state;
mod task;

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;

use crate::context;
use child::Child;
pub use errors::TaskErrors;
pub(crate) use register::Groups;
use register::Registered;
use running::Running;
use state::{Phase, State};
pub use task::GroupTask;

/// Tasks that belong together.
///
/// [`scope`](TaskGroup::scope) makes one, runs a body that spawns children into it, and waits for
/// all of them. It is a cheap handle: a clone may be given to a child, so that children spawn
/// siblings.
///
/// * **A child that fails ends the group**: the other children are cancelled, the body is asked to
///   end where it waits, and, once all have ended, the errors are the group's result.
/// * **A request from outside** goes to what catches in the body. If nothing does, or it is handed
///   on, the body is dropped, the children are cancelled, their end is awaited, and the request
///   goes on outward. If there were errors, those are the result, and the request waits for the
///   next park of the task. A second such request is handed to the children as well, and cuts
///   short what they do to clean up.
/// * **A child that panics** ends the group as one that fails does. The panic goes on in the parent
///   when all have ended; further ones, and errors beside it, are reported to the loop's exception
///   handler.
/// * **A child that is cancelled by hand** is none of the group's business.
/// * **A child that swallows its cancel** is waited for, however long it takes; in debug builds
///   that is logged every 10 s.
/// * **Dropping** the scope's future (an abort of the parent, a lost `select`) drops the children
///   where they wait, too; nobody in them is asked. That children had failed by then is reported.
pub struct TaskGroup<E> {
    state: Rc<State<E>>,
}

impl<E: 'static> TaskGroup<E> {
    /// Runs `body` with a fresh group, and waits for all children.
    ///
    /// The body runs in the task that awaits the scope, so it may borrow; children are tasks of
    /// their own. Waits until body and children have ended, also when it is cancelled meanwhile.
    ///
    /// # Errors
    ///
    /// The errors of the children and of the body, in the order in which they happened. They are
    /// empty if the group was ended by [`cancel`](TaskGroup::cancel) before the body had a value.
    ///
    /// # Panics
    ///
    /// With the first panic of a child or the body; and if no loop runs on this thread.
    ///
    /// # Cancel safety
    ///
    /// Weak: dropping it drops the body and the children where they wait. A cancel request waits
    /// for them.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io;
    /// use uring_loop::TaskGroup;
    /// # async fn fetch(page: u32) -> io::Result<usize> { Ok(page as usize) }
    ///
    /// # uring_loop::testing::run(async {
    /// let sum: Result<usize, _> = TaskGroup::scope(async |group| {
    ///     let pages: Vec<_> = (0..10).map(|page| group.spawn(fetch(page))).collect();
    ///     let mut sum = 0;
    ///     for page in pages {
    ///         // A page that fails ends this body here, so there is a value.
    ///         sum += page.await.map_err(io::Error::from)?;
    ///     }
    ///     Ok::<_, io::Error>(sum)
    /// })
    /// .await;
    /// assert_eq!(sum.unwrap(), 45);
    /// # })
    /// ```
    #[doc(alias = "nursery")]
    pub async fn scope<T, B>(body: B) -> Result<T, TaskErrors<E>>
    where
        B: AsyncFnOnce(&TaskGroup<E>) -> Result<T, E>,
    {
        let group = TaskGroup { state: State::new() };
        let _registered = Registered::new(&group.state);
        let _children = DropChildren(&group.state);
        Running::new(body(&group), &group.state).await
    }

    /// Starts a child. Its error ends the group.
    ///
    /// The handle is for its value, and may be dropped: the group waits for it all the same. A
    /// child that fails looks like a cancelled one there, since the group has its error.
    ///
    /// If the group is ending, the child is cancelled before its first step.
    ///
    /// # Panics
    ///
    /// If the group has ended, or no loop runs on this thread.
    #[doc(alias = "create_task")]
    #[doc(alias = "start_soon")]
    #[track_caller]
    pub fn spawn<T, F>(&self, future: F) -> GroupTask<T>
    where
        F: Future<Output = Result<T, E>> + 'static,
        T: 'static,
    {
        self.start(future, |result| result, Location::caller())
    }

    /// Starts a child that cannot fail.
    ///
    /// # Panics
    ///
    /// As [`spawn`](TaskGroup::spawn).
    #[track_caller]
    pub fn spawn_value<F>(&self, future: F) -> GroupTask<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.start(future, Ok, Location::caller())
    }

    #[track_caller]
    fn start<F, T>(
        &self,
        future: F,
        settle: impl Fn(F::Output) -> Result<T, E> + 'static,
        location: &'static Location<'static>,
    ) -> GroupTask<T>
    where
        F: Future + 'static,
        T: 'static,
    {
        assert!(
            self.state.phase() != Phase::Closed,
            "a task was spawned into a group that has ended: keep no handle of it beyond its scope"
        );
        let place = self.state.enter();
        let index = place.index;
        let child = Child::new(future, settle, place);
        let task = context::core("TaskGroup::spawn", |core| core.spawn(child, location));
        self.state.seat(index, task.task_ref());
        if self.state.is_ending() {
            task.cancel();
        }
        GroupTask::new(task)
    }

    /// Ends the group: the children are cancelled, and the body is asked to end where it waits.
    /// That is no error. Calling it again does nothing.
    ///
    /// If the body has no value by then, the result is a [`TaskErrors`] with nothing in it.
    pub fn cancel(&self) {
        self.state.end();
    }

    /// How many children have not ended.
    pub fn len(&self) -> usize {
        self.state.alive()
    }

    /// Whether no child is alive.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the group is ending or has ended: new children would not begin.
    pub fn is_ending(&self) -> bool {
        self.state.is_ending()
    }
}

/// Drops the children on every way out, and reports what nobody is told.
struct DropChildren<'a, E>(&'a State<E>);

impl<E> Drop for DropChildren<'_, E> {
    fn drop(&mut self) {
        self.0.close();
        self.0.report_untold();
    }
}

impl<E> Clone for TaskGroup<E> {
    fn clone(&self) -> Self {
        TaskGroup { state: self.state.clone() }
    }
}

impl<E> fmt::Debug for TaskGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup")
            .field("phase", &self.state.phase())
            .field("tasks", &self.state.alive())
            .finish()
    }
}
