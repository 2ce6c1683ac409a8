//! Pipes of ours as what a child reads and writes.

use std::io;
use std::process::Stdio;

use crate::pipe::{PipeReader, PipeWriter};

/// The reading end becomes a child's: that is how the output of one child is the input of another.
///
/// # Examples
///
/// ```
/// use uring_loop::process::{Command, Stdio};
///
/// uring_loop::run(async {
///     let mut first = Command::new("echo").args(["b", "a"]).stdout(Stdio::piped()).spawn()?;
///     let words = first.stdout.take().expect("piped");
///     let output = Command::new("wc").arg("-w").stdin(Stdio::try_from(words)?).output().await?;
///     assert_eq!(output.stdout.trim_ascii(), b"2");
///     assert!(first.wait().await?.success());
///     # Ok::<(), std::io::Error>(())
/// })?
/// # ;
/// # Ok::<(), std::io::Error>(())
/// ```
impl TryFrom<PipeReader> for Stdio {
    type Error = io::Error;

    /// Fails for a reader whose `recv` was used: it may have bytes that the child would miss.
    fn try_from(reader: PipeReader) -> io::Result<Stdio> {
        reader.into_fd().map(Stdio::from).map_err(|_| {
            let text = "a pipe that this process has begun to receive from is not given to a child";
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })
    }
}

/// The writing end becomes a child's.
impl From<PipeWriter> for Stdio {
    fn from(writer: PipeWriter) -> Stdio {
        writer.into_fd().into()
    }
}
