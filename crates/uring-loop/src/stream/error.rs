//! What may come of waiting for a line, or for so many bytes.

use std::fmt;
use std::io;

/// Why there is no line, or not so many bytes.
#[derive(Debug)]
pub enum ReadError {
    /// The stream failed.
    Io(io::Error),
    /// It ended before there was enough. These bytes came before the end; they have been taken out.
    #[doc(alias = "IncompleteReadError")]
    Incomplete {
        /// What there was.
        partial: Vec<u8>,
        /// How many bytes were asked for; `None`: as many as there are up to a separator.
        expected: Option<usize>,
    },
    /// There is no separator within the reader's limit.
    #[doc(alias = "LimitOverrunError")]
    Limit {
        /// So many bytes have been looked at, and no separator begins in them. They are still to be
        /// read, by [`StreamReader::read_exact`](super::StreamReader::read_exact) say; of
        /// [`read_line`](super::StreamReader::read_line) they are gone.
        consumed: usize,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Io(error) => error.fmt(f),
            ReadError::Incomplete { partial, expected: Some(expected) } => {
                write!(f, "the stream ended after {} of {expected} bytes", partial.len())
            }
            ReadError::Incomplete { partial, expected: None } => {
                write!(f, "the stream ended after {} bytes, without a separator", partial.len())
            }
            ReadError::Limit { consumed } => {
                write!(f, "no separator in {consumed} bytes, more than the reader's limit")
            }
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReadError::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        ReadError::Io(error)
    }
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => error,
            ReadError::Incomplete { .. } => io::Error::new(io::ErrorKind::UnexpectedEof, error),
            ReadError::Limit { .. } => io::Error::new(io::ErrorKind::InvalidData, error),
        }
    }
}
