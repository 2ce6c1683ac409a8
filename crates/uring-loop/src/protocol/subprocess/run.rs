//! The task of a child: it makes all calls of the protocol.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use super::{StdPipe, SubprocessProtocol, SubprocessTransport};
use crate::cancel::catch_cancel;
use crate::hold::hold;
use crate::process::Wait;
use crate::protocol::events::{Event, Events};

struct Running<P> {
    protocol: P,
    transport: SubprocessTransport,
    /// Those that are not lost.
    pipes: [Option<Events>; 3],
    exited: bool,
    /// Why nobody knows how the child has ended.
    unknown: Option<io::Error>,
}

/// Kills the child of a protocol that has panicked, or whose task was aborted.
struct AbortOnDrop(SubprocessTransport);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs a protocol until its child has ended and the pipes are closed, and gives it back. `made` is
/// told when the first call has returned.
///
/// Asked to end, it closes the transport, which kills the child.
pub(super) async fn run<P: SubprocessProtocol>(
    protocol: P,
    transport: SubprocessTransport,
    made: impl FnOnce(),
) -> P {
    let _hold = hold("the protocol of a child");
    let child = transport.child().expect("it goes with this task");
    let _abort = AbortOnDrop(transport.clone());
    let pipes = StdPipe::ALL.map(|pipe| transport.pipe(pipe).cloned().map(Events::new));
    let mut running =
        Running { protocol, transport: transport.clone(), pipes, exited: false, unknown: None };
    running.protocol.connection_made(transport.clone());
    made();
    let mut exit = pin!(child.wait());
    while catch_cancel(poll_fn(|cx| running.poll(exit.as_mut(), cx))).await.is_err() {
        transport.close();
    }
    transport.finish();
    running.protocol.connection_lost(running.unknown);
    running.protocol
}

impl<P: SubprocessProtocol> Running<P> {
    /// Makes one call after the other, all but the last, of one pipe as often as of another.
    fn poll(&mut self, mut exit: Pin<&mut Wait<'_>>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut called = false;
            for pipe in StdPipe::ALL {
                called |= self.poll_pipe(pipe, cx);
            }
            if !self.exited
                && let Poll::Ready(status) = exit.as_mut().poll(cx)
            {
                self.exited = true;
                match status {
                    Ok(status) => self.transport.exited(status),
                    Err(error) => self.unknown = Some(error),
                }
                self.protocol.process_exited();
                called = true;
            }
            let closed = self.pipes.iter().all(Option::is_none);
            if self.exited && (closed || mutant!("child-lost-before-its-pipes")) {
                return Poll::Ready(());
            }
            if !called {
                return Poll::Pending;
            }
        }
    }

    /// Makes the next call that a pipe has to make. `false`: it has none for now.
    fn poll_pipe(&mut self, pipe: StdPipe, cx: &mut Context<'_>) -> bool {
        let Some(events) = &mut self.pipes[pipe as usize] else { return false };
        let Poll::Ready(event) = events.poll(cx) else { return false };
        match event {
            Event::Received(data) => self.protocol.pipe_data_received(pipe, data),
            // A pipe that is read has no other direction: it is lost next.
            Event::Ended => {
                if let Some(transport) = self.transport.pipe(pipe) {
                    transport.close();
                }
            }
            Event::PauseWriting => self.protocol.pause_writing(),
            Event::ResumeWriting => self.protocol.resume_writing(),
            Event::Lost(error) => {
                self.pipes[pipe as usize] = None;
                self.protocol.pipe_connection_lost(pipe, error);
            }
        }
        true
    }
}
