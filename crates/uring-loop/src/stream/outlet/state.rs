//! What an outlet knows of itself: the fields of its life story, and what follows from them alone.

use std::io;
use std::task::Waker;

use super::held::Held;
use crate::io::failure::Failure;
use crate::io::linger::Linger;
use crate::stream::flow::{Vain, WaterMarks};

#[derive(Default)]
pub(super) struct State {
    pub(super) pending: Vec<u8>,
    pub(super) in_flight: usize,
    pub(super) marks: WaterMarks,
    pub(super) end: End,
    pub(super) closing: bool,
    /// The writer is gone: our direction ends, and who drives it may go.
    pub(super) left: bool,
    pub(super) lost: Option<Loss>,
    pub(super) vain: Vain,
    pub(super) sender: Sender,
    /// Taken out while it is polled.
    pub(super) linger: Option<Box<Linger>>,
    /// Something else goes before what is written now.
    pub(super) held: Option<Box<Held>>,
}

/// How far the end of our direction has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    #[default]
    No,
    Asked,
    Done,
}

/// Why nothing is sent any more.
#[derive(Clone, Debug)]
pub(crate) enum Loss {
    Closed,
    Failed(Failure),
}

impl Loss {
    pub(crate) fn error(&self) -> Option<io::Error> {
        match self {
            Loss::Closed => None,
            Loss::Failed(failure) => Some(failure.error()),
        }
    }
}

/// Who calls `poll_send`.
#[derive(Default)]
pub(super) enum Sender {
    /// Nobody yet: whoever needs one starts it.
    #[default]
    Nobody,
    /// It will look by itself.
    Awake,
    Asleep(Waker),
}

/// What is told of a connection that was closed.
pub(in crate::stream) fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the connection is closed or lost")
}

impl State {
    pub(super) fn size(&self) -> usize {
        let held = self.held.as_ref().map_or(0, |held| held.bytes.len());
        self.pending.len() + self.in_flight + held
    }

    /// Nothing is with the stream that is there, or for it.
    pub(super) fn is_sent(&self) -> bool {
        self.pending.is_empty() && self.in_flight == 0
    }

    /// Nothing is to be sent, and nobody looks after that.
    pub(super) fn is_idle(&self) -> bool {
        self.size() == 0 && matches!(self.sender, Sender::Nobody)
    }
}

impl Sender {
    pub(super) fn wake_up(&mut self) -> Option<Waker> {
        match std::mem::replace(self, Sender::Awake) {
            Sender::Asleep(waker) => Some(waker),
            other => {
                *self = other;
                None
            }
        }
    }
}
