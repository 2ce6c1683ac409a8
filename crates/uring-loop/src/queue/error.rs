//! Why an item could not be put or got.

use std::fmt;
use std::io;

/// The queue was shut down. Of a put, with the item that was not taken.
#[doc(alias = "QueueShutDown")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShutDown<T = ()>(pub T);

/// Why an item was not put at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PutError<T> {
    /// There is no room for it; this is the item.
    #[doc(alias = "QueueFull")]
    Full(T),
    /// The queue was shut down; this is the item.
    #[doc(alias = "QueueShutDown")]
    ShutDown(T),
}

/// Why there was no item at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetError {
    /// There is none.
    #[doc(alias = "QueueEmpty")]
    Empty,
    /// There is none, and none will come.
    #[doc(alias = "QueueShutDown")]
    ShutDown,
}

/// More tasks were said to be done than items were put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyDone;

impl<T> PutError<T> {
    /// The item.
    pub fn into_inner(self) -> T {
        match self {
            PutError::Full(item) | PutError::ShutDown(item) => item,
        }
    }
}

const SHUT_DOWN: &str = "the queue was shut down";

impl<T> fmt::Debug for ShutDown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShutDown")
    }
}

impl<T> fmt::Display for ShutDown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHUT_DOWN)
    }
}

impl<T> fmt::Debug for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PutError::Full(_) => "Full",
            PutError::ShutDown(_) => "ShutDown",
        })
    }
}

impl<T> fmt::Display for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PutError::Full(_) => "the queue is full",
            PutError::ShutDown(_) => SHUT_DOWN,
        })
    }
}

impl fmt::Display for GetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GetError::Empty => "the queue is empty",
            GetError::ShutDown => SHUT_DOWN,
        })
    }
}

impl fmt::Display for TooManyDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("task_done was called more often than items were put")
    }
}

impl<T> std::error::Error for ShutDown<T> {}
impl<T> std::error::Error for PutError<T> {}
impl std::error::Error for GetError {}
impl std::error::Error for TooManyDone {}

impl<T> From<ShutDown<T>> for io::Error {
    fn from(_: ShutDown<T>) -> Self {
        io::Error::new(io::ErrorKind::BrokenPipe, SHUT_DOWN)
    }
}

impl<T> From<PutError<T>> for io::Error {
    fn from(error: PutError<T>) -> Self {
        let kind = match &error {
            PutError::Full(_) => io::ErrorKind::WouldBlock,
            PutError::ShutDown(_) => io::ErrorKind::BrokenPipe,
        };
        io::Error::new(kind, error.to_string())
    }
}

impl From<GetError> for io::Error {
    fn from(error: GetError) -> Self {
        let kind = match error {
            GetError::Empty => io::ErrorKind::WouldBlock,
            GetError::ShutDown => io::ErrorKind::BrokenPipe,
        };
        io::Error::new(kind, error)
    }
}

impl From<TooManyDone> for io::Error {
    fn from(error: TooManyDone) -> Self {
        io::Error::other(error)
    }
}
