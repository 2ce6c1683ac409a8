//! What is called when a task is done.
//!
//! # Life story
//!
//! *waiting*: the task is not complete; its callbacks lie beside it (`extras.rs`). *due*: it has
//! completed, and each callback is scheduled, with a local reference to the task. The output stays
//! in the cell: neither a handle that is dropped nor one that is polled gets at it. When the last
//! of them has run, or was dropped because the loop goes, the output is handed over: to whoever
//! awaits the task, or it is dropped. A callback that comes while others are due joins them.

use std::fmt;
use std::panic::Location;
use std::ptr::NonNull;

use super::raw::{self, Header};
use super::references;
use super::state::flags;
use super::{JoinError, Task};
use crate::callback::Callback;
use crate::context;
use crate::locals::Locals;

/// Names a callback, to take it back: see [`Task::on_done`] and
/// [`Promise::on_done`](crate::Promise::on_done).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoneCallback {
    /// What it is a callback of.
    pub(crate) of: usize,
    pub(crate) serial: u64,
}

/// Gets a pointer to the `Result<T, JoinError>` of the task.
type Call = Box<dyn FnOnce(*const ())>;

struct Waiting {
    serial: u64,
    call: Call,
    at: &'static Location<'static>,
    /// As they were when it was added.
    locals: Locals,
}

/// The callbacks of one task.
#[derive(Default)]
pub(super) struct Callbacks {
    waiting: Vec<Waiting>,
    due: u32,
    next: u64,
}

impl Callbacks {
    fn insert(&mut self, call: Call, at: &'static Location<'static>, locals: Locals) -> u64 {
        let serial = self.next;
        self.next += 1;
        self.waiting.push(Waiting { serial, call, at, locals });
        serial
    }

    fn remove(&mut self, serial: u64) -> Option<Waiting> {
        let index = self.waiting.iter().position(|waiting| waiting.serial == serial)?;
        Some(self.waiting.remove(index))
    }

    /// Moves all from waiting to due.
    fn take_due(&mut self) -> Vec<Waiting> {
        self.due += self.waiting.len() as u32;
        if mutant!("callbacks-in-reverse") {
            self.waiting.reverse();
        }
        std::mem::take(&mut self.waiting)
    }

    /// One due callback is over. `true`: it was the last.
    fn one_less(&mut self) -> bool {
        self.due -= 1;
        self.due == 0
    }
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Callbacks(waiting {}, due {})", self.waiting.len(), self.due)
    }
}

/// Lends the callbacks of a task to `f`, making room for them if need be. `None`: its loop is gone.
fn edit<R>(header: &Header, f: impl FnOnce(&mut Callbacks) -> R) -> Option<R> {
    let edit = |core: &crate::turn::Core| {
        core.tasks.extras.edit(header, |extras| f(&mut extras.callbacks))
    };
    context::with_loop(header.node.loop_id, edit)
}

/// Whether callbacks are waiting or due.
#[inline]
pub(super) fn any(header: &Header) -> bool {
    header.has(flags::EXTRAS) && any_among_extras(header)
}

#[cold]
fn any_among_extras(header: &Header) -> bool {
    edit(header, |callbacks| callbacks.due > 0 || !callbacks.waiting.is_empty()) == Some(true)
}

/// A failure of this task counts as seen, now or when it has ended.
pub(super) fn show_to_nobody(header: &Header) {
    if header.has(flags::COMPLETE) {
        header.clear(flags::FAILED);
    } else {
        // Boxing it allocates nothing: it holds nothing.
        let nothing = Box::new(|_| ());
        edit(header, |callbacks| callbacks.insert(nothing, header.location, Locals::default()));
    }
}

/// The task has completed: its callbacks take their places in the run queue. `false`: none.
pub(super) fn schedule(header: NonNull<Header>) -> bool {
    // SAFETY: the caller has a reference, on the task's thread.
    let this = unsafe { header.as_ref() };
    let due = edit(this, Callbacks::take_due).unwrap_or_default();
    let any = !due.is_empty();
    for Waiting { call, at, locals, .. } in due {
        this.retain_local();
        let due = Due(header);
        let call = move || due.run(call);
        let soon = |core: &crate::turn::Core| Callback::soon_with(core, call, at, locals);
        // The callback itself may be withdrawn by nobody.
        drop(context::with_loop(this.node.loop_id, soon));
    }
    any
}

/// A callback that is to run, or is running: the task's output stays until it is over.
pub(super) struct Due(NonNull<Header>);

/// Keeps the output of a complete task in its cell, as a callback that looks at it does.
///
/// # Safety
///
/// `header` is a live task of this thread, and complete.
pub(super) unsafe fn keep_output(header: NonNull<Header>) -> Due {
    // SAFETY: the caller's promise.
    let this = unsafe { header.as_ref() };
    edit(this, |callbacks| callbacks.due += 1);
    this.retain_local();
    Due(header)
}

impl Due {
    fn header(&self) -> &Header {
        // SAFETY: we hold a local reference, on the task's thread.
        unsafe { self.0.as_ref() }
    }

    fn run(self, call: Call) {
        // Whoever is shown a failure has heard of it.
        self.header().clear(flags::FAILED);
        // SAFETY: complete, and `self` keeps the output in its place.
        call(unsafe { raw::output(self.0) });
    }
}

impl Drop for Due {
    fn drop(&mut self) {
        if edit(self.header(), Callbacks::one_less) == Some(true) {
            raw::hand_over(self.header(), self.0);
        }
        // SAFETY: the reference taken in `schedule`.
        unsafe { references::release_local(self.header()) };
    }
}

impl<T> Task<T> {
    /// Has `callback` called with the task's result when it is done: by the loop, in the order in
    /// which callbacks were added, and before whoever awaits the task goes on. On a task that is
    /// done it is called in the next round of ready tasks.
    ///
    /// It is also called if the handle is dropped, and if the task was cancelled or aborted. If
    /// the loop goes first, the callback is dropped. A failure that a callback was shown counts as
    /// retrieved.
    ///
    /// # Panics
    ///
    /// If the task's loop is gone, or if the result was taken already, by awaiting the task.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc};
    /// use uring_loop::spawn;
    ///
    /// uring_loop::run(async {
    ///     let seen = Rc::new(Cell::new(0));
    ///     let into = seen.clone();
    ///     let task = spawn(async { 6 * 7 });
    ///     task.on_done(move |result| into.set(*result.as_ref().unwrap()));
    ///     assert_eq!(task.await.unwrap(), 42);
    ///     assert_eq!(seen.get(), 42);
    /// })
    /// # .unwrap();
    /// ```
    #[doc(alias = "add_done_callback")]
    #[track_caller]
    pub fn on_done(&self, callback: impl FnOnce(&Result<T, JoinError>) + 'static) -> DoneCallback
    where
        T: 'static,
    {
        let header = self.header();
        assert!(
            !header.has(flags::TAKEN),
            "the result of this task was taken: add the callback before awaiting the task"
        );
        // SAFETY: called with the `raw::output` of this very task, which is a
        // `Result<T, JoinError>`; `Due` keeps it in its place meanwhile.
        let call = Box::new(move |output: *const ()| callback(unsafe { &*output.cast() }));
        let at = Location::caller();
        let locals = Locals::current();
        let serial = edit(header, |callbacks| callbacks.insert(call, at, locals));
        let serial = serial.expect("the loop of this task is gone: nobody can call back");
        if header.has(flags::COMPLETE) {
            schedule(self.header);
        }
        DoneCallback { of: self.callbacks_of(), serial }
    }

    /// Takes a callback back. `false`: the task is done, or it is not one of its callbacks.
    pub fn remove_done_callback(&self, callback: DoneCallback) -> bool {
        if callback.of != self.callbacks_of() || !self.header().has(flags::EXTRAS) {
            return false;
        }
        // Dropped after the borrow has ended: the drop of a closure may do anything.
        let removed = edit(self.header(), |callbacks| callbacks.remove(callback.serial));
        removed.flatten().is_some()
    }

    /// What the tokens of this task's callbacks say: no other task of the loop has the number.
    fn callbacks_of(&self) -> usize {
        self.id() as usize
    }
}
