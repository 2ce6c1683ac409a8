//! A protocol that is to be called instead of the one that a connection began with.

use std::cell::RefCell;

use super::Protocol;

/// Where a protocol is put for the task of a connection, which takes it up before its next call.
///
/// It may hold a transport, which holds this: so nothing is kept here behind the last call.
#[derive(Default)]
pub(super) struct Successor(RefCell<State>);

#[derive(Default)]
enum State {
    /// No task calls a protocol of this connection's own: it is a pipe of a child.
    #[default]
    NotCalled,
    Called(Option<Box<dyn Protocol>>),
    Over,
}

impl Successor {
    /// A task calls from now on.
    pub(super) fn begin(&self) {
        self.0.replace(State::Called(None));
    }

    /// It calls no more.
    pub(super) fn end(&self) {
        let last = self.0.replace(State::Over);
        drop(last);
    }

    /// Names the next protocol.
    ///
    /// # Panics
    ///
    /// If no task calls one.
    pub(super) fn set(&self, protocol: Box<dyn Protocol>) {
        let stale = match &mut *self.0.borrow_mut() {
            State::NotCalled => panic!("a pipe of a child has no protocol but that of the child"),
            State::Called(next) => next.replace(protocol),
            State::Over => Some(protocol),
        };
        // Foreign code, which may look here.
        drop(stale);
    }

    /// Takes the next protocol up.
    pub(super) fn take(&self) -> Option<Box<dyn Protocol>> {
        match &mut *self.0.borrow_mut() {
            State::Called(next) => next.take(),
            State::NotCalled | State::Over => None,
        }
    }
}
