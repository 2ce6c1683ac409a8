//! What only few tasks have, a name for instance, kept beside them in a table of the loop: the
//! header of every task would pay for it otherwise.
//!
//! The flag `EXTRAS` of a task says that it has an entry here. The entry goes with the last
//! reference of the loop's thread to the task, for a handle may ask for the name of a task that is
//! complete. A task that failed has one too, so that the end of the loop finds it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::ptr::{self, NonNull};

use super::callbacks::{self, Callbacks};
use super::failure::Reader;
use super::raw::{self, Header};
use super::state::flags;
use crate::cancel::Reason;
use crate::locals::Locals;

/// What a task may have besides its header.
#[derive(Default)]
pub(crate) struct Extras {
    pub(crate) name: Option<String>,
    pub(crate) locals: Locals,
    /// In debug mode: what it waits for, if that has no list of those who wait.
    pub(crate) waits_for: Option<&'static str>,
    /// In debug mode: nobody has its handle but a gathering, so that it is no loss of its own if
    /// both are dropped.
    pub(crate) gathered: bool,
    pub(super) callbacks: Callbacks,
    /// Finds the error in its output, if it was given one.
    pub(super) reader: Option<Reader>,
    /// Why it was last cancelled.
    pub(super) reason: Option<Reason>,
}

/// The extras of a loop's tasks.
#[derive(Default)]
pub(crate) struct Table(RefCell<HashMap<*const Header, Extras>>);

impl Table {
    /// Lends the extras of a task to `f`, which runs no foreign code; makes them if need be.
    pub(crate) fn edit<R>(&self, header: &Header, f: impl FnOnce(&mut Extras) -> R) -> R {
        header.set(flags::EXTRAS);
        f(self.0.borrow_mut().entry(ptr::from_ref(header)).or_default())
    }

    /// Lends the extras of a task to `f`, which runs no foreign code, if it has any.
    pub(crate) fn look<R>(&self, header: &Header, f: impl FnOnce(&Extras) -> R) -> Option<R> {
        if !header.has(flags::EXTRAS) {
            return None;
        }
        self.0.borrow().get(&ptr::from_ref(header)).map(f)
    }

    /// The task is complete. Gives what is to be dropped now, outside of any borrow.
    pub(super) fn complete(&self, header: &Header) -> Locals {
        self.edit(header, |extras| std::mem::take(&mut extras.locals))
    }

    /// The task's memory goes, or may.
    pub(super) fn remove(&self, header: &Header) -> Option<Extras> {
        self.0.borrow_mut().remove(&ptr::from_ref(header))
    }

    /// Reports the failures that nobody has taken so far; their handles may still be held.
    pub(crate) fn report_failures(&self) {
        let task = |header: &*const Header| {
            // SAFETY: an entry goes before its task's memory does.
            unsafe { &**header }
        };
        let failed = |header: &*const Header| task(header).has(flags::FAILED);
        let mut found: Vec<_> = self.0.borrow().keys().copied().filter(failed).collect();
        // The table has no order; the tasks have.
        found.sort_unstable_by_key(|header| task(header).node.id);
        for header in found {
            // The handler may have dropped the handle of another meanwhile, and there may be a new
            // task in its place.
            if !(self.0.borrow().contains_key(&header) && failed(&header)) {
                continue;
            }
            let header = NonNull::new(header.cast_mut()).expect("a reference is not null");
            // SAFETY: it still has its entry, hence is alive; the table's thread is its own. The
            // handler may do anything, and must not lose what it looks at to the task's handle.
            unsafe {
                let loose = mutant!("reported-output-goes-with-its-handle");
                let _kept = (!loose).then(|| callbacks::keep_output(header));
                raw::report_failure(header);
            }
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.borrow().len())
    }
}
