//! The state behind all handles of a promise, and the line of those who wait for it.
//!
//! *pending*: no outcome; awaiting futures and callbacks stand in line, in the order in which they
//! came. *done*: the outcome is there and never changes, which is why references to it may be
//! given out; the line is empty, but for callbacks that were registered while no loop ran on this
//! thread, and wait for one.
//!
//! Nothing is borrowed while foreign code runs: wakers, callbacks and drops may do anything with
//! the promise.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::panic::Location;
use std::rc::Rc;
use std::task::Waker;

use super::unseen::Unseen;
use super::{Promise, PromiseError};
use crate::callback::Callback as Soon;
use crate::context;
use crate::locals::Locals;
use crate::report::{Report, ReportKind};
use crate::task::callbacks::DoneCallback;
use crate::turn::Core;
use crate::wake::LocalWaker;

/// A place in the line. Later ones are greater.
pub(super) type Key = u64;

type Outcome<T, E> = Result<T, PromiseError<E>>;
type Describe<E> = fn(&E) -> String;
type Callback<T, E> = Box<dyn FnOnce(&Promise<T, E>)>;

enum Waiting<T, E> {
    Task(LocalWaker),
    Callback(Scheduled<T, E>),
}

/// A callback, and on which loop it is to run.
struct Scheduled<T, E> {
    call: Callback<T, E>,
    at: &'static Location<'static>,
    /// The loop that ran when it was registered; 0: none did, so any will do.
    loop_id: u32,
    /// As they were then.
    locals: Locals,
}

pub(super) struct Shared<T, E> {
    outcome: OnceCell<Outcome<T, E>>,
    /// Somebody has looked at the outcome.
    seen: Cell<bool>,
    /// Prints an error that nobody looked at.
    describe: Cell<Option<Describe<E>>>,
    line: RefCell<BTreeMap<Key, Waiting<T, E>>>,
    next: Cell<Key>,
    made_at: &'static Location<'static>,
}

impl<T, E> Shared<T, E> {
    pub(super) fn new(made_at: &'static Location<'static>) -> Self {
        Shared {
            outcome: OnceCell::new(),
            seen: Cell::new(false),
            describe: Cell::new(None),
            line: RefCell::default(),
            next: Cell::new(0),
            made_at,
        }
    }

    pub(super) fn outcome(&self) -> Option<&Outcome<T, E>> {
        self.outcome.get()
    }

    pub(super) fn into_outcome(mut self) -> Option<Outcome<T, E>> {
        self.outcome.take()
    }

    pub(super) fn made_at(&self) -> &'static Location<'static> {
        self.made_at
    }

    /// How many stand in line.
    pub(super) fn waiting(&self) -> usize {
        self.line.borrow().len()
    }

    pub(super) fn mark_seen(&self) {
        self.seen.set(true);
    }

    fn stand_in_line(&self, waiting: Waiting<T, E>) -> Key {
        let key = self.next.get();
        let later = if mutant!("promise-line-reversed") { key.wrapping_sub(1) } else { key + 1 };
        self.next.set(later);
        self.line.borrow_mut().insert(key, waiting);
        key
    }

    /// Gives up a place in the line.
    pub(super) fn leave(&self, key: Option<Key>) {
        // Dropped after the borrow has ended.
        let key = key.filter(|_| !mutant!("given-up-wait-stays-in-line"));
        let left = key.and_then(|key| self.line.borrow_mut().remove(&key));
        drop(left);
    }

    pub(super) fn remove_callback(&self, callback: DoneCallback) -> bool {
        let mine = self.outcome.get().is_none() && callback.of == self.address();
        let removed = if mine { self.line.borrow_mut().remove(&callback.serial) } else { None };
        removed.is_some()
    }

    fn address(&self) -> usize {
        (&raw const *self).addr()
    }
}

impl<T: 'static, E: 'static> Shared<T, E> {
    /// Ends the pending state, or gives back what was to be the outcome.
    pub(super) fn settle(self: &Rc<Self>, outcome: Outcome<T, E>) -> Result<(), Outcome<T, E>> {
        self.outcome.set(outcome)?;
        self.call_up();
        Ok(())
    }

    /// Wakes and schedules, in order, all who stand in line.
    fn call_up(self: &Rc<Self>) {
        let line = self.line.take();
        for (key, waiting) in line {
            match waiting {
                Waiting::Task(waker) => waker.wake(),
                Waiting::Callback(scheduled) => self.schedule(key, scheduled),
            }
        }
    }

    fn schedule(self: &Rc<Self>, key: Key, scheduled: Scheduled<T, E>) {
        let loop_id = match scheduled.loop_id {
            0 => context::loop_id(),
            id => id,
        };
        if loop_id == 0 {
            // Kept for the next loop that comes by.
            self.line.borrow_mut().insert(key, Waiting::Callback(scheduled));
            return;
        }
        let Scheduled { call, at, locals, .. } = scheduled;
        let promise = Promise::of(self.clone());
        // If that loop is gone, so is the callback.
        let soon = |core: &Core| Soon::soon_with(core, move || call(&promise), at, locals);
        drop(context::with_loop(loop_id, soon));
    }

    #[track_caller]
    pub(super) fn on_done(self: &Rc<Self>, call: Callback<T, E>) -> DoneCallback {
        let (at, loop_id) = (Location::caller(), context::loop_id());
        let scheduled = Scheduled { call, at, loop_id, locals: Locals::current() };
        let serial = self.stand_in_line(Waiting::Callback(scheduled));
        if self.outcome.get().is_some() {
            self.call_up();
        }
        DoneCallback { of: self.address(), serial }
    }

    /// It has failed. If nobody looks at the error, it is reported, at the latest when the loop
    /// that runs now ends.
    pub(super) fn report_unseen_by(self: &Rc<Self>, describe: Describe<E>) {
        self.describe.set(Some(describe));
        if self.is_unseen() && !mutant!("failed-promise-not-kept-in-mind") {
            let promise: Rc<dyn Unseen> = self.clone();
            context::with_core(|core| core.promises.add(Rc::downgrade(&promise)));
        }
    }

    /// Whether it is done; otherwise `waker` has its place in the line.
    pub(super) fn poll(self: &Rc<Self>, key: &Cell<Option<Key>>, waker: &Waker) -> bool {
        if self.outcome.get().is_some() {
            key.set(None);
            if !self.line.borrow().is_empty() {
                self.call_up();
            }
            return true;
        }
        let replaced = key.get().and_then(|key| self.replace_waker(key, waker));
        if replaced.is_none() {
            key.set(Some(self.stand_in_line(Waiting::Task(LocalWaker::new(waker)))));
        }
        false
    }

    /// Another task polls the same future: it takes over its place.
    fn replace_waker(&self, key: Key, waker: &Waker) -> Option<()> {
        let old = match self.line.borrow_mut().get_mut(&key)? {
            Waiting::Task(old) if old.will_wake(waker) => return Some(()),
            waiting => std::mem::replace(waiting, Waiting::Task(LocalWaker::new(waker))),
        };
        // Dropped after the borrow has ended.
        drop(old);
        Some(())
    }
}

impl<T, E> Unseen for Shared<T, E> {
    fn is_unseen(&self) -> bool {
        !self.seen.get() && matches!(self.outcome.get(), Some(Err(PromiseError::Failed(_))))
    }

    fn report(&self) {
        if !self.is_unseen() {
            return;
        }
        self.seen.set(true);
        if let (Some(Err(PromiseError::Failed(error))), Some(describe)) =
            (self.outcome.get(), self.describe.get())
        {
            report_unseen(self.made_at, &describe(error));
        }
    }
}

impl<T, E> Drop for Shared<T, E> {
    fn drop(&mut self) {
        self.report();
    }
}

/// Nobody has looked at the error of a promise, and now it is late.
fn report_unseen(made_at: &'static Location<'static>, error: &str) {
    let message = format!("the error of a promise was never retrieved: {error}");
    Report::new(ReportKind::NeverRetrieved, message).at(made_at).send();
}
