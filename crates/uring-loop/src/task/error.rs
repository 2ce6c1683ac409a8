//! Why a task has no result.

use std::any::Any;
use std::fmt;
use std::io;

#[cfg(doc)]
use super::Task;
use crate::cancel::{Cancelled, Reason};

/// Why a task has no result.
pub enum JoinError {
    /// It was cancelled or aborted, and its future was dropped; with the reason that
    /// [`Task::cancel_with`] gave.
    Cancelled(Option<Reason>),
    /// It panicked; this is the payload. Hand it to [`std::panic::resume_unwind`] to go on with
    /// the panic here.
    Panicked(Box<dyn Any + Send + 'static>),
}

// Every task has room for one.
const _: () = assert!(size_of::<JoinError>() == 2 * size_of::<usize>());

impl JoinError {
    /// Whether the task was cancelled or aborted.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, JoinError::Cancelled(_))
    }

    /// Why it was cancelled, if that was said.
    pub fn reason(&self) -> Option<&str> {
        match self {
            JoinError::Cancelled(reason) => reason.as_ref().map(Reason::as_str),
            JoinError::Panicked(_) => None,
        }
    }

    /// Whether the task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self, JoinError::Panicked(_))
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Cancelled(None) => f.write_str("Cancelled"),
            JoinError::Cancelled(Some(reason)) => f.debug_tuple("Cancelled").field(reason).finish(),
            JoinError::Panicked(panic) => f.debug_tuple("Panicked").field(panic).finish(),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Cancelled(None) => f.write_str("the task was cancelled"),
            JoinError::Cancelled(Some(reason)) => write!(f, "the task was cancelled: {reason}"),
            JoinError::Panicked(panic) => {
                write!(f, "the task panicked: {}", panic_message(&**panic))
            }
        }
    }
}

impl std::error::Error for JoinError {}

impl From<JoinError> for io::Error {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Cancelled(reason) => Cancelled::of_task(reason).into(),
            JoinError::Panicked(_) => io::Error::other(error.to_string()),
        }
    }
}

/// Payload of a panic, as text if it is one.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "a panic whose payload is not text"
    }
}
