//! A loop on a thread of its own, for programs that are not asynchronous themselves.

use std::fmt;
use std::io;
use std::sync::mpsc;
use std::thread::{self, JoinHandle, Thread};

use crate::{Builder, Handle, Runner};

/// An event loop that runs on a thread of its own until it is stopped.
///
/// Everything reaches it through its [`handle`](LoopThread::handle). Dropping it stops the loop,
/// brings its tasks to an end as [`Runner`] does, and waits for the thread.
///
/// # Examples
///
/// ```
/// use uring_loop::{EventLoop, LoopThread};
///
/// let background = LoopThread::start(EventLoop::builder())?;
/// assert!(background.handle().is_running());
/// let answer = background.handle().spawn(|| async { 6 * 7 }).wait().unwrap();
/// assert_eq!(answer, 42);
/// background.stop();
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct LoopThread {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl LoopThread {
    /// Starts a thread, makes a loop on it and runs it. Returns when the loop runs.
    ///
    /// # Errors
    ///
    /// Those of [`Builder::build`], and of starting a thread.
    pub fn start(builder: Builder) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let body = move || {
            let event_loop = match builder.build() {
                Ok(event_loop) => event_loop,
                Err(error) => return drop(sender.send(Err(error))),
            };
            let handle = event_loop.handle();
            event_loop.call_soon(move || drop(sender.send(Ok(handle)))).named("started");
            let mut runner = Runner::with(event_loop);
            // It ends when it is stopped; nothing else interrupts a loop that is not on the main
            // thread.
            let _stopped = runner.event_loop().run_forever();
        };
        let thread = thread::Builder::new().name("uring-loop".into()).spawn(body)?;
        match receiver.recv() {
            Ok(Ok(handle)) => Ok(LoopThread { handle, thread: Some(thread) }),
            Ok(Err(error)) => Err(error),
            Err(mpsc::RecvError) => Err(io::Error::other("the thread of the loop died at once")),
        }
    }

    /// The handle of the loop.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The thread.
    ///
    /// # Panics
    ///
    /// Never: the thread is there until the last method that needs it.
    pub fn thread(&self) -> &Thread {
        self.thread.as_ref().expect("it is joined by drop only").thread()
    }

    /// Stops the loop, brings its tasks to an end and waits for the thread. Dropping it does the
    /// same.
    ///
    /// # Panics
    ///
    /// If the loop's thread panicked, with that panic.
    pub fn stop(mut self) {
        if let Err(panic) = self.end() {
            std::panic::resume_unwind(panic);
        }
    }

    fn end(&mut self) -> thread::Result<()> {
        // Closed: it has ended by itself.
        let _closed = self.handle.stop();
        self.thread.take().map_or(Ok(()), JoinHandle::join)
    }
}

impl Drop for LoopThread {
    fn drop(&mut self) {
        // The panic of the loop's thread was seen by its panic hook.
        let _panicked = self.end();
    }
}

impl fmt::Display for LoopThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the loop of thread {}", self.thread().name().unwrap_or("uring-loop"))
    }
}
