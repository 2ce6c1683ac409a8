//! An error that is told more than once.

use std::io;

/// What is kept of an `io::Error`, which cannot be cloned.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    Os(i32),
    Other(io::ErrorKind, String),
}

impl Failure {
    pub(crate) fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(errno) => Failure::Os(errno),
            None => Failure::Other(error.kind(), error.to_string()),
        }
    }

    pub(crate) fn error(&self) -> io::Error {
        match self {
            Failure::Os(errno) => io::Error::from_raw_os_error(*errno),
            Failure::Other(kind, text) => io::Error::new(*kind, text.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_is_told_again_is_the_same() {
        for error in [
            io::Error::from_raw_os_error(104),
            io::Error::other("x"),
            io::ErrorKind::TimedOut.into(),
        ] {
            let again = Failure::of(&error).error();
            assert_eq!(again.kind(), error.kind());
            assert_eq!(again.raw_os_error(), error.raw_os_error());
            assert_eq!(again.to_string(), error.to_string());
        }
    }
}
