//! A protocol's hold on its child.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::rc::Rc;

use super::StdPipe;
use crate::process::{Child, no_process};
use crate::protocol::Transport;
use crate::protocol::create::Close;
use crate::protocol::pipes::{reading, writing};
use crate::signal::SignalKind;

/// A child, as its [`SubprocessProtocol`](super::SubprocessProtocol) and others talk to it and end
/// it.
///
/// Clones are cheap and mean the same child. No method waits.
#[derive(Clone)]
pub struct SubprocessTransport {
    shared: Rc<Shared>,
}

struct Shared {
    id: u32,
    /// Without its pipes. Let go of when nobody is left to be told of its end: the loop reaps it
    /// then, though somebody may keep a transport.
    child: RefCell<Option<Rc<Child>>>,
    pipes: [Option<Transport>; 3],
    status: Cell<Option<ExitStatus>>,
    closing: Cell<bool>,
    /// The last call is made, or will not be.
    finished: Cell<bool>,
}

impl SubprocessTransport {
    pub(super) fn new(mut child: Child) -> Self {
        let stdin = child.stdin.take().map(writing);
        let stdout = child.stdout.take().map(reading);
        let stderr = child.stderr.take().map(reading);
        let shared = Rc::new(Shared {
            id: child.id(),
            child: RefCell::new(Some(Rc::new(child))),
            pipes: [stdin, stdout, stderr],
            status: Cell::new(None),
            closing: Cell::new(false),
            finished: Cell::new(false),
        });
        SubprocessTransport { shared }
    }

    /// The child, until its protocol's task has gone.
    pub(super) fn child(&self) -> Option<Rc<Child>> {
        self.shared.child.borrow().clone()
    }

    pub(super) fn exited(&self, status: ExitStatus) {
        self.shared.status.set(Some(status));
    }

    pub(super) fn finish(&self) {
        self.shared.finished.set(true);
    }

    /// The number of the process. Another one may have it once the child has ended.
    #[doc(alias = "get_pid")]
    #[doc(alias = "pid")]
    pub fn id(&self) -> u32 {
        self.shared.id
    }

    /// How the child has ended, from
    /// [`process_exited`](super::SubprocessProtocol::process_exited) on.
    #[doc(alias = "get_returncode")]
    #[doc(alias = "returncode")]
    pub fn status(&self) -> Option<ExitStatus> {
        self.shared.status.get()
    }

    /// The transport of a pipe: to write to stdin, to pause the reading of stdout, to close one
    /// early. `None` if it is not a pipe of ours.
    #[doc(alias = "get_pipe_transport")]
    pub fn pipe(&self, pipe: StdPipe) -> Option<&Transport> {
        self.shared.pipes[pipe as usize].as_ref()
    }

    /// Sends a signal. To a child that has ended it goes nowhere, until
    /// [`connection_lost`](super::SubprocessProtocol::connection_lost) was called.
    ///
    /// # Errors
    ///
    /// Those of kill(2); ESRCH after `connection_lost`.
    #[doc(alias = "send_signal")]
    pub fn signal(&self, kind: SignalKind) -> io::Result<()> {
        match self.child() {
            // As asyncio: `BaseSubprocessTransport` in Lib/asyncio/base_subprocess.py.
            Some(child) if !self.shared.finished.get() => child.signal_if_there(kind),
            Some(child) => child.signal(kind),
            None => Err(no_process()),
        }
    }

    /// Asks the child to end (SIGTERM). As [`signal`](Self::signal).
    ///
    /// # Errors
    ///
    /// As [`signal`](Self::signal).
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(SignalKind::TERMINATE)
    }

    /// Kills the child (SIGKILL). As [`signal`](Self::signal).
    ///
    /// # Errors
    ///
    /// As [`signal`](Self::signal).
    pub fn kill(&self) -> io::Result<()> {
        self.signal(SignalKind::KILL)
    }

    /// Closes the pipes and kills the child, if it has not ended. What the protocol is told, up to
    /// [`connection_lost`](super::SubprocessProtocol::connection_lost), still comes.
    pub fn close(&self) {
        if self.shared.closing.replace(true) {
            return;
        }
        self.shared.pipes.iter().flatten().for_each(Transport::close);
        self.kill_if_running();
    }

    /// Whether it was closed, or all is over.
    pub fn is_closing(&self) -> bool {
        self.shared.closing.get()
    }

    /// Nobody is left to be told: lets go of the pipes, and kills the child, if it has not ended.
    pub(super) fn abort(&self) {
        self.shared.closing.set(true);
        self.shared.finished.set(true);
        self.shared.pipes.iter().flatten().for_each(Transport::abort);
        self.kill_if_running();
        if !mutant!("aborted-child-stays-a-zombie") {
            let child = self.shared.child.take();
            drop(child);
        }
    }

    fn kill_if_running(&self) {
        if self.status().is_none()
            && let Some(child) = self.child()
            && let Err(error) = child.start_kill()
        {
            // It has become another user's.
            tracing::warn!("child {} is not killed: {error}", self.id());
        }
    }
}

impl Close for SubprocessTransport {
    fn close(&self) {
        SubprocessTransport::close(self);
    }
}

impl fmt::Debug for SubprocessTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubprocessTransport")
            .field("id", &self.id())
            .field("status", &self.status())
            .field("closing", &self.is_closing())
            .finish_non_exhaustive()
    }
}
