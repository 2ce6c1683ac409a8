//! What a promise says instead of a value.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io;

/// Why a promise that is done has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromiseError<E> {
    /// It was cancelled.
    Cancelled,
    /// Somebody set this error.
    Failed(E),
}

impl<E> PromiseError<E> {
    /// Whether the promise was cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, PromiseError::Cancelled)
    }
}

impl<E: fmt::Display> fmt::Display for PromiseError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PromiseError::Cancelled => f.write_str("the promise was cancelled"),
            PromiseError::Failed(error) => error.fmt(f),
        }
    }
}

impl<E: Error> Error for PromiseError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            PromiseError::Cancelled => None,
            PromiseError::Failed(error) => error.source(),
        }
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<PromiseError<E>> for io::Error {
    /// An `io::Error` that was set comes out as it is.
    fn from(error: PromiseError<E>) -> Self {
        match error {
            PromiseError::Cancelled => {
                io::Error::new(io::ErrorKind::Interrupted, "the promise was cancelled")
            }
            PromiseError::Failed(error) => match error.into().downcast::<io::Error>() {
                Ok(error) => *error,
                Err(error) => io::Error::other(error),
            },
        }
    }
}

impl<E: fmt::Display + 'static> From<&PromiseError<E>> for io::Error {
    /// The promise keeps its error, so this is a likeness: an `io::Error` that was set gives one of
    /// its kind, or of its number, and any other gives one that says the same.
    fn from(error: &PromiseError<E>) -> Self {
        let PromiseError::Failed(error) = error else {
            return PromiseError::<io::Error>::Cancelled.into();
        };
        match (error as &dyn Any).downcast_ref::<io::Error>() {
            None => io::Error::other(error.to_string()),
            Some(error) => match error.raw_os_error() {
                Some(number) => io::Error::from_raw_os_error(number),
                None => io::Error::new(error.kind(), error.to_string()),
            },
        }
    }
}

impl<E: Clone> From<&PromiseError<E>> for PromiseError<E> {
    fn from(error: &PromiseError<E>) -> Self {
        error.clone()
    }
}

/// The promise was not in the state that the call needs: it was done already, or was not done yet.
///
/// What was to be set comes back in it: see [`into_inner`](Self::into_inner).
#[doc(alias = "InvalidStateError")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InvalidState<T = ()> {
    value: T,
    done: bool,
}

impl<T> InvalidState<T> {
    pub(super) fn done(value: T) -> Self {
        InvalidState { value, done: true }
    }

    /// What could not be set.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl InvalidState {
    pub(super) fn pending() -> Self {
        InvalidState { value: (), done: false }
    }
}

impl<T> fmt::Display for InvalidState<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.done {
            true => "the promise is done already: its result is set once",
            false => "the promise is pending: it has no result yet, await it",
        })
    }
}

impl<T> fmt::Debug for InvalidState<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InvalidState({self})")
    }
}

impl<T> Error for InvalidState<T> {}

impl<T> From<InvalidState<T>> for io::Error {
    fn from(error: InvalidState<T>) -> Self {
        io::Error::new(io::ErrorKind::InvalidInput, error.to_string())
    }
}
