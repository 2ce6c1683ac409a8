//! Errors that say what was tried, with which file.

use std::error::Error;
use std::ffi::{CStr, OsStr};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

use crate::blocking::LIMIT_OF_THREADS;

/// What the kernel answered, and to what. It travels inside an [`io::Error`] of the same kind; its
/// source is the kernel's own answer, errno included.
#[derive(Debug)]
struct Failed {
    intent: String,
    source: io::Error,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.intent, self.source)?;
        // The kernel's word for work that it has no thread for (`io_wq_create_worker` of
        // io_uring/io-wq.c), too.
        if self.source.raw_os_error() == Some(Errno::ECANCELED as i32) {
            write!(
                f,
                ": the loop is ending, or the kernel could start no thread{LIMIT_OF_THREADS}"
            )?;
        }
        Ok(())
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

    #[test]
    fn what_the_kernel_has_no_thread_for_names_the_limit() {
        let cancelled = io::Error::from_raw_os_error(Errno::ECANCELED as i32);
        let text = failed("opening /x".into(), cancelled).to_string();
        assert!(text.starts_with("opening /x: Operation canceled"), "{text}");
        assert!(text.contains("could start no thread") && text.contains("ulimit -u"), "{text}");
    }
}
