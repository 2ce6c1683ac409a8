//! Why a run of the loop ended without the result of its main task.

use std::fmt;
use std::io;

use crate::cancel::Cancelled;

/// Why a run of the loop gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunError {
    /// The main task was cancelled, and nobody in it caught that.
    Cancelled,
    /// The loop was stopped before the main task was complete.
    Stopped,
    /// Ctrl+C was pressed (SIGINT).
    Interrupted,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RunError::Cancelled => "the main task was cancelled",
            RunError::Stopped => "the event loop was stopped before its main task was complete",
            RunError::Interrupted => "interrupted by Ctrl+C",
        })
    }
}

impl std::error::Error for RunError {}

impl From<RunError> for io::Error {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Cancelled => Cancelled::of_task(None).into(),
            RunError::Stopped => io::Error::other(error),
            RunError::Interrupted => io::Error::new(io::ErrorKind::Interrupted, error),
        }
    }
}
