//! Children that call back.

mod run;
mod transport;

use std::fmt;
use std::io;

use run::run;
pub use transport::SubprocessTransport;

use super::create::begin;
use crate::io::RecvBuf;
use crate::process::Command;
use crate::task::Task;

/// What is done with a child: asyncio's protocol of a subprocess.
///
/// One task makes all calls. [`connection_made`](Self::connection_made) comes first,
/// [`connection_lost`](Self::connection_lost) last: when the child has ended *and* all its pipes
/// are closed. Of each pipe, [`pipe_connection_lost`](Self::pipe_connection_lost) comes behind its
/// data. When [`process_exited`](Self::process_exited) comes among those, nobody can say: a child
/// may close its pipes and go on, and its own children may keep them open.
///
/// A protocol that panics is reported and dropped; the child is killed.
pub trait SubprocessProtocol: 'static {
    /// The child runs. It comes first.
    fn connection_made(&mut self, transport: SubprocessTransport) {
        let _ = transport;
    }

    /// The child has written to its stdout or stderr, at least one byte.
    fn pipe_data_received(&mut self, pipe: StdPipe, data: RecvBuf);

    /// A pipe is closed: the child has closed it, or we have (`None`), or it failed. For stdin,
    /// `BrokenPipe` says that not all of it was wanted.
    fn pipe_connection_lost(&mut self, pipe: StdPipe, error: Option<io::Error>) {
        let _ = (pipe, error);
    }

    /// The child has ended; [`SubprocessTransport::status`] says how. Its last words may still
    /// come.
    fn process_exited(&mut self) {}

    /// The child has ended, and so have its pipes. It comes once, last, with an error if the status
    /// of the child is lost ([`Child::wait`](crate::process::Child::wait)).
    fn connection_lost(&mut self, error: Option<io::Error>) {
        let _ = error;
    }

    /// More was written to stdin than its transport's high water mark: write no more for now.
    fn pause_writing(&mut self) {}

    /// What is to be written to stdin is down to the low water mark: go on.
    fn resume_writing(&mut self) {}
}

/// One of the pipes of a child. `as i32`, it is the number of the child's descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StdPipe {
    /// What the child reads.
    Stdin = 0,
    /// What it writes.
    Stdout = 1,
    /// What it writes of errors.
    Stderr = 2,
}

impl StdPipe {
    const ALL: [StdPipe; 3] = [StdPipe::Stdin, StdPipe::Stdout, StdPipe::Stderr];
}

impl fmt::Display for StdPipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StdPipe::Stdin => "stdin",
            StdPipe::Stdout => "stdout",
            StdPipe::Stderr => "stderr",
        })
    }
}

/// Starts a program and makes a protocol for it.
///
/// Of stdin, stdout and stderr, those of which the command says nothing become pipes. The call
/// answers when [`SubprocessProtocol::connection_made`] has returned. The task ends with the
/// protocol after [`SubprocessProtocol::connection_lost`]; it may be dropped, and all goes on.
/// Cancelled, it [closes](SubprocessTransport::close) the transport, which kills the child.
///
/// A [virtual clock](crate::hold) is held until then. For a line of the shell, give
/// [`Command::shell`].
///
/// # Errors
///
/// As [`Command::spawn`].
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Strict: the child of a dropped call is killed, and reaped.
///
/// # Examples
///
/// ```
/// use std::io;
/// use uring_loop::buf::RecvBuf;
/// use uring_loop::process::Command;
/// use uring_loop::protocol::{StdPipe, SubprocessProtocol, SubprocessTransport, subprocess_exec};
///
/// #[derive(Default)]
/// struct Keep(Vec<u8>);
///
/// impl SubprocessProtocol for Keep {
///     fn connection_made(&mut self, transport: SubprocessTransport) {
///         let stdin = transport.pipe(StdPipe::Stdin).unwrap();
///         stdin.write("pear\napple\n");
///         stdin.write_eof();
///     }
///
///     fn pipe_data_received(&mut self, pipe: StdPipe, data: RecvBuf) {
///         assert_eq!(pipe, StdPipe::Stdout);
///         self.0.extend_from_slice(&data);
///     }
/// }
///
/// uring_loop::run(async {
///     let (transport, child) = subprocess_exec(Keep::default, &mut Command::new("sort")).await?;
///     assert_eq!(child.await?.0, b"apple\npear\n");
///     assert!(transport.status().unwrap().success());
///     Ok::<(), io::Error>(())
/// })?
/// # ; Ok::<(), io::Error>(())
/// ```
#[doc(alias = "subprocess_shell")]
pub async fn subprocess_exec<P: SubprocessProtocol>(
    factory: impl FnOnce() -> P,
    command: &mut Command,
) -> io::Result<(SubprocessTransport, Task<P>)> {
    let protocol = factory();
    let transport = SubprocessTransport::new(command.spawn_piped()?);
    Ok(begin(transport, |transport, told| run(protocol, transport, || drop(told))).await)
}
