//! Why a receiver of a `broadcast` channel has no item.

use std::error::Error;
use std::fmt;

/// Why there is no item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecvError {
    /// So many items were sent and not kept until this receiver came for them. The next call gives
    /// the oldest that was kept.
    Lagged(u64),
    /// All senders are gone, and everything was received.
    Closed,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Lagged(missed) => write!(f, "the receiver was too slow for {missed} items"),
            RecvError::Closed => f.write_str("the channel is closed"),
        }
    }
}

impl Error for RecvError {}

/// Why there is no item at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TryRecvError {
    /// Nothing is there now.
    Empty,
    /// As [`RecvError::Lagged`].
    Lagged(u64),
    /// All senders are gone, and everything was received.
    Closed,
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TryRecvError::Empty => f.write_str("the channel is empty"),
            TryRecvError::Lagged(missed) => RecvError::Lagged(*missed).fmt(f),
            TryRecvError::Closed => RecvError::Closed.fmt(f),
        }
    }
}

impl Error for TryRecvError {}

impl From<RecvError> for TryRecvError {
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::Lagged(missed) => TryRecvError::Lagged(missed),
            RecvError::Closed => TryRecvError::Closed,
        }
    }
}
