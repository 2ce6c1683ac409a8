//! Making tasks: scheduled, eager, callbacks, and the main one; each with the task-locals of its
//! parent.

use std::any::TypeId;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::ptr::NonNull;

use super::Core;
use crate::context;
use crate::task::Task;
use crate::task::raw::Header;
use crate::task::state::flags;

impl Core {
    pub(crate) fn spawn<F>(
        &self,
        future: F,
        location: &'static Location<'static>,
    ) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        if self.options.eager && context::loop_id() == self.id {
            return self.spawn_eager(future, location);
        }
        self.make(future, location, flags::SCHEDULED)
    }

    /// Makes a task, which is only started if the flags say that it is scheduled.
    pub(super) fn make<F>(
        &self,
        future: F,
        location: &'static Location<'static>,
        flags: u16,
    ) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let fallible = TypeId::of::<F::Output>() == TypeId::of::<io::Result<()>>();
        let flags = flags | if fallible { flags::FALLIBLE } else { 0 };
        // SAFETY: future and output borrow nothing.
        let header = unsafe { self.tasks.add(future, location, flags) };
        // SAFETY: fresh from `add`, with this output.
        let task = unsafe { Task::from_raw(header) };
        self.inherit(task.header());
        task
    }

    /// Gives a new task the task-locals of the one that starts it.
    #[inline]
    pub(super) fn inherit(&self, child: &Header) {
        if context::task_has_extras() {
            self.inherit_locals(child);
        }
    }

    #[cold]
    pub(super) fn inherit_locals(&self, child: &Header) {
        let locals = context::with_task(|core, parent| {
            core.tasks.extras.look(parent, |extras| extras.locals.clone())
        });
        if let Some(locals) = locals.flatten().filter(|locals| !locals.is_empty()) {
            self.tasks.extras.edit(child, |extras| extras.locals = locals);
        }
    }

    /// Spawns what is to be shown and counted as a callback.
    pub(crate) fn spawn_callback(
        &self,
        future: impl Future<Output = ()> + 'static,
        location: &'static Location<'static>,
    ) -> Task<()> {
        let task = self.make(future, location, flags::SCHEDULED);
        self.tasks.mark_callback(task.header());
        task
    }

    /// Starts a task and takes its first step at once. The loop runs.
    pub(crate) fn spawn_eager<F>(
        &self,
        future: F,
        location: &'static Location<'static>,
    ) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let task = self.make(future, location, 0);
        // SAFETY: fresh, and the loop runs here.
        unsafe { self.tasks.start_eagerly(NonNull::from(task.header())) };
        task
    }

    /// Starts the main task.
    ///
    /// # Safety
    ///
    /// As [`Tasks::add`].
    pub(crate) unsafe fn spawn_main<F: Future>(
        &self,
        future: F,
        location: &'static Location<'static>,
    ) -> Task<F::Output> {
        // SAFETY: handed on; then fresh from `add`, with this output.
        unsafe { Task::from_raw(self.tasks.add(future, location, flags::SCHEDULED)) }
    }
}
