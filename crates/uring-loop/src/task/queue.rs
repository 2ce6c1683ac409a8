//! The run queue and the list of all tasks of a loop: both intrusive, both of one thread.
//!
//! The run queue is first in, first out. The list owns: it holds one local reference for every
//! task that is not complete.
//!
//! A *generation* is what was ready at one moment: it begins when the one before has been polled,
//! and what its tasks make ready belongs to the next. asyncio runs one generation per turn
//! (`_run_once` in Lib/asyncio/base_events.py) and says in those terms what a stop still runs; here
//! a turn may run several.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::Location;
use std::ptr::{self, NonNull};
use std::task::Waker;

use super::cache::Cache;
use super::door::Door;
use super::extras::Table;
use super::raw::{self, Header, Home};
use super::references;
use super::state::flags;
use super::task_ref::TaskRef;
use crate::context;
use crate::wake::LocalWaker;

/// The tasks of one loop.
#[derive(Debug)]
pub(crate) struct Tasks {
    head: Cell<*const Header>,
    tail: Cell<*const Header>,
    ready: Cell<usize>,
    generation: Cell<u64>,
    /// How many of the ready tasks belong to this generation.
    left: Cell<usize>,
    owned: Cell<*const Header>,
    alive: Cell<usize>,
    spawned: Cell<u64>,
    polls: Cell<u64>,
    /// How many of the tasks alive are callbacks.
    callbacks: Cell<usize>,
    /// Whom to wake when a task has ended; at the end of a run only.
    watcher: RefCell<Option<LocalWaker>>,
    watched: Cell<bool>,
    pub(super) cache: Cache,
    pub(crate) extras: Table,
    door: u32,
    loop_id: u32,
}

impl Tasks {
    pub(crate) fn new(door: &'static Door, loop_id: u32) -> Self {
        Tasks {
            head: Cell::new(ptr::null()),
            tail: Cell::new(ptr::null()),
            ready: Cell::new(0),
            generation: Cell::new(0),
            left: Cell::new(0),
            owned: Cell::new(ptr::null()),
            alive: Cell::new(0),
            spawned: Cell::new(0),
            polls: Cell::new(0),
            callbacks: Cell::new(0),
            watcher: RefCell::default(),
            watched: Cell::new(false),
            cache: Cache::new(),
            extras: Table::default(),
            door: door.number(),
            loop_id,
        }
    }

    /// How many tasks wait to be polled.
    pub(crate) fn ready(&self) -> usize {
        self.ready.get()
    }

    /// The number of the generation that was begun last.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.get()
    }

    /// Whether that generation has been polled to its end, or is in its last poll.
    pub(crate) fn between_generations(&self) -> bool {
        self.left.get() == 0
    }

    /// Begins the next generation, once the last has been polled. `false`: nothing is ready.
    pub(crate) fn begin_generation(&self) -> bool {
        let ready = self.ready.get();
        if ready == 0 {
            return false;
        }
        self.left.set(ready);
        self.generation.set(self.generation.get() + 1);
        true
    }

    /// How many tasks are not complete.
    pub(crate) fn alive(&self) -> usize {
        self.alive.get()
    }

    /// How many of those are callbacks.
    pub(crate) fn callbacks(&self) -> usize {
        self.callbacks.get()
    }

    /// Makes a fresh task a callback.
    pub(crate) fn mark_callback(&self, task: &Header) {
        task.set(flags::CALLBACK);
        self.callbacks.set(self.callbacks.get() + 1);
    }

    pub(crate) fn spawned(&self) -> u64 {
        self.spawned.get()
    }

    pub(crate) fn polls(&self) -> u64 {
        self.polls.get()
    }

    /// Makes a task with these flags; with `SCHEDULED` it is put at the end of the run queue. The
    /// result carries the handle's reference.
    ///
    /// # Safety
    ///
    /// As [`raw::allocate`].
    pub(crate) unsafe fn add<F: Future>(
        &self,
        future: F,
        location: &'static Location<'static>,
        flags: u16,
    ) -> NonNull<Header> {
        let home = || {
            self.spawned.set(self.spawned.get() + 1);
            // 0 means "not a task" in a node; after 2^32 tasks ids repeat, which only eyes see.
            let id = (self.spawned.get() as u32).max(1);
            Home { door: self.door, loop_id: self.loop_id, id, flags }
        };
        // SAFETY: handed on.
        let header = unsafe { raw::allocate(future, home, location, &self.cache) };
        // SAFETY: just made.
        let task = unsafe { header.as_ref() };
        let first = self.owned.replace(task);
        task.owned_next.set(first);
        // SAFETY: tasks in the list are alive.
        if let Some(first) = unsafe { first.as_ref() } {
            first.owned_prev.set(task);
        }
        self.alive.set(self.alive.get() + 1);
        if flags & flags::SCHEDULED != 0 {
            self.push(task);
        }
        header
    }

    /// Takes the first step of a task at once, perhaps in the middle of a step of another.
    ///
    /// # Safety
    ///
    /// `header` is fresh from [`add`](Self::add), and this loop runs on this thread.
    pub(crate) unsafe fn start_eagerly(&self, header: NonNull<Header>) {
        self.polls.set(self.polls.get() + 1);
        let _outer = context::set_aside();
        // SAFETY: alive, not complete, and not being polled, since it is fresh; none is current.
        if unsafe { raw::step(header) } {
            // SAFETY: the loop's reference stands until `forget`.
            self.forget(unsafe { header.as_ref() });
        }
    }

    /// The task that is polled next.
    pub(crate) fn next_ready(&self) -> Option<TaskRef> {
        // SAFETY: as in `schedule`.
        unsafe { self.head.get().as_ref() }.map(TaskRef::new)
    }

    /// Puts a task at the end of the run queue, unless it is there or complete.
    pub(crate) fn schedule(&self, task: &Header) {
        if task.has(flags::SCHEDULED | flags::COMPLETE) {
            return;
        }
        task.set(flags::SCHEDULED);
        self.push(task);
    }

    fn push(&self, task: &Header) {
        task.run_next.set(ptr::null());
        let tail = self.tail.replace(task);
        // SAFETY: a scheduled task is alive until it is popped (`RELEASE_ON_POP`).
        match unsafe { tail.as_ref() } {
            Some(tail) => tail.run_next.set(task),
            None => self.head.set(task),
        }
        self.ready.set(self.ready.get() + 1);
    }

    /// Takes the oldest ready task off the queue. Its flag still says that it is there: whoever
    /// pops writes the flags anyway.
    fn pop(&self) -> Option<NonNull<Header>> {
        let head = NonNull::new(self.head.get().cast_mut())?;
        // SAFETY: as in `schedule`.
        let task = unsafe { head.as_ref() };
        let next = task.run_next.replace(ptr::null());
        self.head.set(next);
        if next.is_null() {
            self.tail.set(ptr::null());
        }
        self.ready.set(self.ready.get() - 1);
        Some(head)
    }

    /// Polls the oldest task of this generation once, if there is one left.
    ///
    /// Always inline: it has two callers, of which the one that is watched is rare, and a call is a
    /// tenth of a poll that does nothing.
    #[inline(always)]
    pub(crate) fn run_one(&self) {
        let Some(header) = self.pop() else { return };
        // Those of this generation are the oldest.
        self.left.set(self.left.get() - 1);
        // SAFETY: popped, hence alive.
        let task = unsafe { header.as_ref() };
        if task.has(flags::COMPLETE | flags::CANCEL | flags::ABORT) {
            return self.run_asked(header);
        }
        self.polls.set(self.polls.get() + 1);
        // SAFETY: a live task of this loop, not complete and not asked to end; tasks are stepped
        // from here only, and turns do not nest.
        if unsafe { raw::step(header) } {
            self.forget(task);
        }
    }

    /// Goes on with a task, just popped, that was asked to end or has ended meanwhile.
    #[cold]
    fn run_asked(&self, header: NonNull<Header>) {
        // SAFETY: popped, hence alive.
        let task = unsafe { header.as_ref() };
        if task.has(flags::COMPLETE) {
            return self.drop_popped(task);
        }
        self.polls.set(self.polls.get() + 1);
        // SAFETY: as in `run_one`.
        if unsafe { raw::step_asked(header) } {
            self.forget(task);
        }
    }

    /// Lets go of a task that has just completed.
    #[inline]
    pub(super) fn forget(&self, task: &Header) {
        let (prev, next) = (task.owned_prev.get(), task.owned_next.get());
        // SAFETY: neighbours in the list are alive.
        unsafe {
            match prev.as_ref() {
                Some(prev) => prev.owned_next.set(next),
                None => self.owned.set(next),
            }
            if let Some(next) = next.as_ref() {
                next.owned_prev.set(prev);
            }
        }
        self.alive.set(self.alive.get() - 1);
        if self.watched.get() || task.has(flags::CALLBACK | flags::SCHEDULED) {
            return self.forget_slowly(task);
        }
        // SAFETY: the loop's reference, on its thread.
        unsafe { references::release_local(task) };
    }

    /// The rest of it, for a task that is a callback, or stands in the run queue, or somebody waits
    /// for the next to end.
    #[inline(never)]
    fn forget_slowly(&self, task: &Header) {
        if task.has(flags::CALLBACK) {
            self.callbacks.set(self.callbacks.get() - 1);
        }
        if self.watched.take() {
            let watcher = self.watcher.take();
            watcher.into_iter().for_each(LocalWaker::wake);
        }
        if task.has(flags::SCHEDULED) {
            task.set(flags::RELEASE_ON_POP);
        } else {
            // SAFETY: the loop's reference, on its thread.
            unsafe { references::release_local(task) };
        }
    }

    /// Takes in a task that came through the door; the door's reference is ours to give up.
    ///
    /// # Safety
    ///
    /// `header` was taken from the door of this loop.
    pub(crate) unsafe fn receive(&self, header: NonNull<Header>) {
        // SAFETY: the door's reference keeps it alive.
        let task = unsafe { header.as_ref() };
        raw::unqueue(task);
        if task.node.loop_id == self.loop_id {
            self.schedule(task);
        }
        // SAFETY: the door's reference, given up. A scheduled task is alive without it.
        unsafe { references::release_shared(header.as_ptr()) };
    }

    /// Drops the futures of all tasks and what is queued. What they spawn meanwhile goes too.
    pub(crate) fn discard_all(&self) {
        while let Some(header) = NonNull::new(self.owned.get().cast_mut()) {
            // SAFETY: owned by the list, hence alive and not complete; none is being polled, since
            // the loop is not in a turn.
            let task = unsafe { header.as_ref() };
            // SAFETY: as above.
            unsafe { raw::discard(header) };
            self.forget(task);
            if mutant!("only-one-task-dropped-with-the-loop") {
                break;
            }
        }
        while let Some(header) = self.pop() {
            // SAFETY: popped, hence alive; every task is complete now.
            self.drop_popped(unsafe { header.as_ref() });
        }
        self.left.set(0);
    }

    /// A task that was completed while it was in the queue leaves it.
    fn drop_popped(&self, task: &Header) {
        task.clear(flags::SCHEDULED);
        if task.take(flags::RELEASE_ON_POP) {
            // SAFETY: the loop's reference, kept for the queue.
            unsafe { references::release_local(task) };
        }
    }

    /// All tasks that are not complete, oldest first, without callbacks.
    pub(crate) fn all(&self) -> Vec<TaskRef> {
        let mut all = Vec::with_capacity(self.alive());
        self.for_each(|header| {
            if !header.has(flags::CALLBACK) {
                all.push(TaskRef::new(header));
            }
        });
        all.reverse();
        all
    }

    /// Wakes `waker` when the next task has ended.
    pub(crate) fn watch(&self, waker: &Waker) {
        self.watcher.replace(Some(LocalWaker::new(waker)));
        self.watched.set(true);
    }

    /// Asks every task to end that was never asked before, except the one being polled. Tells how
    /// many have not ended. Callbacks are none of them.
    pub(crate) fn cancel_all(&self) -> usize {
        let mut others = Vec::new();
        self.for_each(|header| {
            if !header.has(flags::RUNNING | flags::CALLBACK) {
                others.push(TaskRef::new(header));
            }
        });
        // What they run meanwhile may complete others of them.
        let ask = |task: &TaskRef| {
            if task.cancelling() == 0 {
                task.cancel();
            }
            !task.is_done()
        };
        others.iter().filter(|task| ask(task)).count()
    }

    /// Withdraws every callback. The loop is the current one, and not in a turn.
    pub(crate) fn withdraw_callbacks(&self) {
        let mut callbacks = Vec::new();
        self.for_each(|header| {
            if header.has(flags::CALLBACK) {
                callbacks.push(TaskRef::new(header));
            }
        });
        callbacks.iter().for_each(TaskRef::abort);
    }

    /// Calls `f` for every task that is not complete, youngest first.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&Header)) {
        let mut at = self.owned.get();
        // SAFETY: tasks in the list are alive, and `f` gets no way to complete one.
        while let Some(task) = unsafe { at.as_ref() } {
            at = task.owned_next.get();
            f(task);
        }
    }
}
