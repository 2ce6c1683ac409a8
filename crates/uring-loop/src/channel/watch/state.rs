//! What the ends of a `watch` channel share.
//!
//! The lock of the state is held for a moment only, with no foreign code under it. Senders take
//! turns on a second one, which is held while one of them computes the next value from the present
//! one: that runs foreign code, and receivers do not wait for it.

use std::sync::Arc;
use std::task::Waker;

use crate::channel::lock::{Mutex, MutexGuard, lock, thread};
use crate::channel::waiters::Waiters;

pub(super) struct Shared<T> {
    pub(super) state: Mutex<State<T>>,
    /// Held for a sender's turn. Taken before `state`.
    turns: Mutex<()>,
}

pub(super) struct State<T> {
    pub(super) value: Arc<T>,
    /// How many values came before this one.
    pub(super) version: u64,
    pub(super) senders: usize,
    pub(super) receivers: usize,
    /// Whose turn it is.
    turn: Option<thread::ThreadId>,
    pub(super) changed: Waiters,
    pub(super) closing: Waiters,
}

impl<T> Shared<T> {
    pub(super) fn new(value: T) -> Self {
        let state = State {
            value: Arc::new(value),
            version: 0,
            senders: 1,
            receivers: 1,
            turn: None,
            changed: Waiters::default(),
            closing: Waiters::default(),
        };
        Shared { state: Mutex::new(state), turns: Mutex::new(()) }
    }

    pub(super) fn value(&self) -> Arc<T> {
        lock(&self.state).value.clone()
    }

    /// Waits for this sender's turn.
    ///
    /// # Panics
    ///
    /// If it is this thread's already.
    #[track_caller]
    pub(super) fn turn(&self) -> Turn<'_, T> {
        let me = thread::current().id();
        assert!(
            lock(&self.state).turn != Some(me),
            "sending into a watch channel from inside of a closure that modifies its value: let \
             the closure return first"
        );
        let guard = lock(&self.turns);
        lock(&self.state).turn = Some(me);
        Turn { shared: self, _guard: guard }
    }
}

/// While it lives, no other sender sends.
pub(super) struct Turn<'a, T> {
    shared: &'a Shared<T>,
    _guard: MutexGuard<'a, ()>,
}

impl<T> Turn<'_, T> {
    /// Makes this the latest value. The one before, and whom to wake.
    pub(super) fn publish(self, value: Arc<T>) -> (Arc<T>, impl Iterator<Item = Waker> + use<T>) {
        let mut state = lock(&self.shared.state);
        state.version += 1;
        let before = std::mem::replace(&mut state.value, value);
        (before, state.changed.call_all())
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        lock(&self.shared.state).turn = None;
    }
}
