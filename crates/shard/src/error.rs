//! What can go wrong with a group of shards, and how a service ended.

use std::any::Any;
use std::fmt;
use std::io;

/// Why a call of another shard has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// The shard was gone, or went before the call was done. It may have been begun.
    Stopped {
        /// The shard that was called.
        shard: usize,
    },
    /// The closure, or the future that it made, panicked.
    Panicked {
        /// The shard that was called.
        shard: usize,
        /// What the panic said.
        message: String,
    },
    /// A call by name ([`Peers::call`](crate::Peers::call)) was not done: there is no such
    /// function, or the request or the result cannot be read, written, or sent.
    Refused {
        /// The shard that was called.
        shard: usize,
        /// Why.
        reason: String,
    },
}

impl CallError {
    /// The shard that was called.
    pub fn shard(&self) -> usize {
        match self {
            CallError::Stopped { shard }
            | CallError::Panicked { shard, .. }
            | CallError::Refused { shard, .. } => *shard,
        }
    }
}

impl CallError {
    /// The same of a shard that is known by another number.
    pub(crate) fn of(mut self, number: usize) -> Self {
        let (CallError::Stopped { shard }
        | CallError::Panicked { shard, .. }
        | CallError::Refused { shard, .. }) = &mut self;
        *shard = number;
        self
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Stopped { shard } => write!(f, "calling shard {shard}: it has stopped"),
            CallError::Panicked { shard, message } => {
                write!(f, "calling shard {shard}: the call panicked there: {message}")
            }
            CallError::Refused { shard, reason } => write!(f, "calling shard {shard}: {reason}"),
        }
    }
}

impl std::error::Error for CallError {}

impl From<CallError> for io::Error {
    fn from(error: CallError) -> Self {
        let kind = match error {
            CallError::Stopped { .. } => io::ErrorKind::NotConnected,
            CallError::Panicked { .. } => io::ErrorKind::Other,
            CallError::Refused { .. } => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}

/// How the service of one shard ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended<T> {
    /// It returned this.
    Returned(T),
    /// It was asked to end, and did so without a value.
    Cancelled,
    /// It was asked to end, did not in time, and was dropped at the deadline.
    Aborted,
}

impl<T> Ended<T> {
    /// What it returned, if it did.
    pub fn returned(self) -> Option<T> {
        match self {
            Ended::Returned(value) => Some(value),
            Ended::Cancelled | Ended::Aborted => None,
        }
    }
}

/// The first shard that failed; the others were asked to end for it.
#[derive(Debug)]
pub struct Failure {
    pub(crate) shard: usize,
    pub(crate) cpu: usize,
    pub(crate) cause: Cause,
}

/// What happened to the shard of a [`Failure`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause {
    /// Its service returned this error.
    Error(io::Error),
    /// Its service panicked and said this.
    Panicked(String),
    /// Its thread did not come back from a call long after the deadline of a shutdown, when
    /// nothing but the end of the process can stop it. It was left behind.
    Stuck,
}

impl Failure {
    /// The index of the shard.
    pub fn shard(&self) -> usize {
        self.shard
    }

    /// The CPU it was pinned to.
    pub fn cpu(&self) -> usize {
        self.cpu
    }

    /// What happened.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {} on CPU {} ", self.shard, self.cpu)?;
        match &self.cause {
            Cause::Error(error) => write!(f, "failed: {error}"),
            Cause::Panicked(message) => write!(f, "panicked: {message}"),
            Cause::Stuck => f.write_str(
                "is stuck: its thread did not return from a blocking call or an endless loop \
                 after its service was aborted, and was left behind; move such work to \
                 uring_loop::unblock or a pool",
            ),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::Error(error) => Some(error),
            Cause::Panicked(_) | Cause::Stuck => None,
        }
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        let kind = match &failure.cause {
            Cause::Error(error) => error.kind(),
            Cause::Panicked(_) => io::ErrorKind::Other,
            Cause::Stuck => io::ErrorKind::TimedOut,
        };
        io::Error::new(kind, failure)
    }
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        return (*text).to_string();
    }
    match panic.downcast_ref::<String>() {
        Some(text) => text.clone(),
        None => "a value that is no text".to_string(),
    }
}
