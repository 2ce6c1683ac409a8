//! Errors that say what was tried, with which file.

use std::error::Error;
use std::ffi::{CStr, OsStr};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What the kernel answered, and to what. It travels inside an [`io::Error`] of the same kind; its
/// source is the kernel's own answer, errno included.
#[derive(Debug)]
struct Failed {
    intent: String,
    source: io::Error,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.intent, self.source)
    }
}

impl Error for Failed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// Adds to an error what was tried.
pub(super) fn failed(intent: String, source: io::Error) -> io::Error {
    io::Error::new(source.kind(), Failed { intent, source })
}

/// The same for something done to one path.
pub(super) fn at<'a>(what: &'a str, path: &'a Path) -> impl Fn(io::Error) -> io::Error + 'a {
    move |error| failed(format!("{what} {}", path.display()), error)
}

/// A path that was given to the kernel, for eyes.
pub(super) fn shown(path: &CStr) -> std::path::Display<'_> {
    Path::new(OsStr::from_bytes(path.to_bytes())).display()
}

/// A mistake of the caller's that the kernel would answer with a bare EINVAL.
pub(super) fn invalid(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_was_tried_and_keeps_kind_and_errno() {
        let error = at("opening", Path::new("/x/y"))(io::Error::from_raw_os_error(2));
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(error.to_string(), "opening /x/y: No such file or directory (os error 2)");
        let source = error.get_ref().and_then(Error::source).expect("the kernel's answer");
        let source = source.downcast_ref::<io::Error>().expect("an io::Error");
        assert_eq!(source.raw_os_error(), Some(2));
    }
}
