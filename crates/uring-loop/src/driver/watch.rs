//! Showing each operation to whoever looks at the loop.

use std::rc::Rc;

use super::ring::Cqe;
use super::slab::{Key, Kind, State};
use super::{Driver, InFlight, Inner};
use crate::trace::SIGHT;

/// Who looks at each operation. It may run foreign code: the driver is not borrowed meanwhile, and
/// what it does for the operation itself is done before.
pub(crate) trait Watch {
    /// The operation has its place in the queue.
    fn submitted(&self, operation: &InFlight);
    /// It has completed, for the last time or not.
    fn completed(&self, operation: &InFlight, result: i32, last: bool);
}

/// A completion, as somebody who looks shall see it.
pub(super) struct Seen {
    operation: InFlight,
    result: i32,
    last: bool,
}

impl Driver {
    /// Shows all operations to `watch` from now on. Once only.
    pub(crate) fn watch(&self, watch: Rc<dyn Watch>) {
        let set = self.watch.set(watch);
        assert!(set.is_ok(), "a loop is looked at by one");
    }

    #[inline]
    fn watcher(&self) -> Option<&Rc<dyn Watch>> {
        self.watch.get().filter(|_| SIGHT)
    }

    /// An operation was handed over.
    #[inline]
    pub(super) fn show_submitted(&self, key: Key) {
        if let Some(watch) = self.watcher() {
            let seen = self.inner().describe(key, self.now.get());
            if let Some(operation) = seen {
                watch.submitted(&operation);
            }
        }
    }

    /// What there is to show of a completion that has not been acted on.
    #[inline]
    pub(super) fn look_at(&self, inner: &mut Inner, cqe: &Cqe) -> Option<Box<Seen>> {
        self.watcher()?;
        self.see(inner, cqe)
    }

    /// Boxed, so that nothing but a word is moved where nobody looks.
    #[cold]
    fn see(&self, inner: &mut Inner, cqe: &Cqe) -> Option<Box<Seen>> {
        let (Some(Kind::Op), key) = Key::decode(cqe.user_data) else { return None };
        let operation = inner.describe(key, self.now.get())?;
        Some(Box::new(Seen { operation, result: cqe.result, last: !cqe.more() }))
    }

    /// The completion was acted on.
    pub(super) fn show_completed(&self, seen: &Seen) {
        if let Some(watch) = self.watcher() {
            watch.completed(&seen.operation, seen.result, seen.last);
        }
    }
}

impl Inner {
    fn describe(&mut self, key: Key, now: u32) -> Option<InFlight> {
        let head = self.arena.get(key)?;
        let active = matches!(head.state(), State::InFlight | State::Orphan);
        active.then(|| InFlight::of(key, head, now))
    }
}
