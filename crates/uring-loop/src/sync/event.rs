//! A flag that tasks can wait for.

use std::cell::Cell;
use std::fmt;

use super::wait::{Wait, wait};
use super::waitlist::{Grant, WaitList};

/// A flag that is clear at first, can be set and cleared, and waited for.
///
/// # Examples
///
/// ```
/// use std::rc::Rc;
/// use uring_loop::spawn;
/// use uring_loop::sync::Event;
///
/// uring_loop::run(async {
///     let ready = Rc::new(Event::new());
///     let waiter = spawn({
///         let ready = ready.clone();
///         async move { ready.wait().await }
///     });
///     ready.set();
///     waiter.await.unwrap();
///     assert!(ready.is_set());
/// })
/// # .unwrap();
/// ```
#[derive(Default)]
pub struct Event {
    set: Cell<bool>,
    waiters: WaitList,
}

/// How an [`Event`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventStatistics {
    /// Whether it is set.
    pub set: bool,
    /// How many wait for it.
    pub waiters: usize,
}

impl Event {
    /// One that is clear.
    pub const fn new() -> Self {
        Event { set: Cell::new(false), waiters: WaitList::new() }
    }

    /// Sets the flag and wakes all who wait. Their wait is over even if the flag is cleared before
    /// they run.
    pub fn set(&self) {
        self.set.set(true);
        self.waiters.choose_all();
    }

    /// Clears the flag: who waits from here on waits for the next [`set`](Self::set).
    pub fn clear(&self) {
        self.set.set(false);
    }

    /// Whether the flag is set.
    pub fn is_set(&self) -> bool {
        self.set.get()
    }

    /// Waits until the flag is set; at once if it is.
    ///
    /// # Cancel safety
    ///
    /// Strict: there is nothing to lose.
    pub async fn wait(&self) {
        wait(&self.waiters, UntilSet(self)).await
    }

    /// How it stands.
    pub fn statistics(&self) -> EventStatistics {
        EventStatistics { set: self.is_set(), waiters: self.waiters.len() }
    }
}

struct UntilSet<'a>(&'a Event);

impl Wait for UntilSet<'_> {
    type Output = ();

    fn is_free(&self) -> bool {
        self.0.is_set()
    }

    fn take(&mut self) {}

    fn claim(&mut self, _: Grant) -> Option<()> {
        (self.0.is_set() || !mutant!("clear-takes-back-a-set")).then_some(())
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EventStatistics { set, waiters } = self.statistics();
        f.debug_struct("Event").field("set", &set).field("waiters", &waiters).finish()
    }
}
