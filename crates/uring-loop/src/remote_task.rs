//! A task on the loop of another thread: its makings travel there, its result comes back.
//!
//! On the loop stands a small task, the *relay*: it starts the task, hands a request to end on to
//! it, waits for it, and sends what it came to through a channel. What nobody takes at the other
//! end is not lost if it is a failure: `Ended` tells of it wherever it is dropped, and is sent home
//! for that, since the exception handler belongs to the loop's thread.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::channel;
use crate::channel::oneshot::{self, Receiver, Sender};
use crate::context;
use crate::handle::{Gate, LoopClosed};
use crate::task::failure::{self, Failure};
use crate::task::{JoinError, Task};

/// A task on a loop of another thread: await it under any executor, or block on it.
///
/// Dropping it detaches the task. If that has failed, or fails later, its loop's exception handler
/// is told, as of a [`Task`](crate::Task) that was dropped.
///
/// # Cancel safety
///
/// Strict: awaited by reference, it may be awaited again.
#[must_use = "dropping it detaches the task; say so with `drop`"]
pub struct RemoteTask<T> {
    /// `None`: the loop was gone, or the result was given out.
    receiver: Option<Receiver<Ended<T>>>,
    /// `None`: the task was asked to end.
    cancel: Option<Sender<()>>,
    gate: Arc<Gate>,
    give_back: fn(&Gate, Ended<T>),
    location: &'static Location<'static>,
}

/// How a task ended, on its way to another thread. Dropped before it was opened, it tells of a
/// failure: the exception handler, if that is on its loop's thread, else the log.
struct Ended<T> {
    /// `None`: it was opened.
    result: Option<Result<T, JoinError>>,
    task: u32,
    location: &'static Location<'static>,
    loop_id: u32,
    failure: fn(&Result<T, JoinError>) -> Option<Failure<'_>>,
}

impl<T> Ended<T> {
    fn open(mut self) -> Result<T, JoinError> {
        self.result.take().expect("it is opened once")
    }

    fn failure(&self) -> Option<Failure<'_>> {
        self.result.as_ref().and_then(self.failure)
    }
}

impl<T> Drop for Ended<T> {
    fn drop(&mut self) {
        if let Some(failure) = self.failure() {
            failure.tell(format!("Task-{}", self.task), self.location, self.loop_id);
        }
    }
}

/// Sends a failure home. If the loop is gone, it tells the log, here.
fn give_back<T: Send + 'static>(gate: &Gate, ended: Ended<T>) {
    let drop_there = move || {
        if catch_unwind(AssertUnwindSafe(|| drop(ended))).is_err() {
            tracing::error!("the result of a remote task panicked in drop");
        }
    };
    let _closed = gate.send(Box::new(move |_| drop_there()));
}

/// The end of `task`, to which a request from the other thread is handed on.
async fn end_of<T>(task: &mut Task<T>, mut asked: Receiver<()>) -> Result<T, JoinError> {
    let mut open = true;
    poll_fn(|cx| {
        if open && let Poll::Ready(asked) = Pin::new(&mut asked).poll(cx) {
            // Asked, or the other end is gone: either comes once.
            open = false;
            if asked.is_ok() {
                task.cancel();
            }
        }
        Pin::new(&mut *task).poll(cx)
    })
    .await
}

impl<T: Send + 'static> RemoteTask<T> {
    /// Sends the makings of a future to the loop behind `gate`.
    pub(crate) fn start<C, F>(
        gate: Arc<Gate>,
        make: C,
        location: &'static Location<'static>,
    ) -> Self
    where
        C: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let (cancel, asked) = oneshot::channel();
        let loop_id = gate.loop_id;
        let sent = gate.send(Box::new(move |core| {
            let relay = async move {
                // A task of its own, so that a panic, of `make` too, is caught with its payload.
                let future = async move { make().await };
                let mut task = context::core("a remote spawn", |core| core.spawn(future, location));
                let result = Some(end_of(&mut task, asked).await);
                let failure = failure::in_result::<T>;
                let ended = Ended { result, task: task.id(), location, loop_id, failure };
                // Nobody may want it any more.
                drop(sender.send(ended));
            };
            drop(core.spawn(relay, location));
        }));
        RemoteTask {
            receiver: sent.ok().map(|()| receiver),
            cancel: Some(cancel),
            gate,
            give_back: give_back::<T>,
            location,
        }
    }
}

impl<T> RemoteTask<T> {
    /// Asks the task to end, as [`Task::cancel`](crate::Task::cancel) does on its loop; it may have
    /// ended first. Asking again does nothing.
    ///
    /// The end is waited for as ever: a task that was cancelled gives
    /// [`RemoteError::Task`], one that swallows the request its value.
    ///
    /// # Examples
    ///
    /// ```
    /// use uring_loop::{EventLoop, LoopThread, RemoteError};
    ///
    /// let background = LoopThread::start(EventLoop::builder())?;
    /// let mut task = background.handle().spawn(|| std::future::pending::<()>());
    /// task.cancel();
    /// let error = task.wait().unwrap_err();
    /// assert!(matches!(error, RemoteError::Task(error) if error.is_cancelled()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn cancel(&mut self) {
        if let Some(cancel) = self.cancel.take() {
            // The task may have ended, or its loop be gone.
            let _ = cancel.send(());
        }
    }

    /// Blocks this thread until the task is complete.
    ///
    /// # Errors
    ///
    /// [`RemoteError`].
    ///
    /// # Panics
    ///
    /// On a thread whose own loop is running: it would stand still. Await it there.
    #[track_caller]
    pub fn wait(mut self) -> Result<T, RemoteError> {
        refuse_on_a_loop();
        match self.receiver.take() {
            Some(receiver) => open(receiver.blocking_recv()),
            None => Err(RemoteError::Closed),
        }
    }

    /// Blocks this thread for at most `limit`.
    ///
    /// # Errors
    ///
    /// The outer: the time was over, and here is the task again.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn wait_timeout(mut self, limit: Duration) -> Result<Result<T, RemoteError>, Self> {
        refuse_on_a_loop();
        let Some(receiver) = &mut self.receiver else { return Ok(Err(RemoteError::Closed)) };
        match receiver.blocking_recv_timeout(limit) {
            Ok(received) => Ok(open(received)),
            Err(_) => Err(self),
        }
    }
}

#[track_caller]
fn refuse_on_a_loop() {
    assert!(
        context::loop_id() == 0,
        "waiting for a remote task would stop the loop that runs on this thread: await it"
    );
}

fn open<T>(received: Result<Ended<T>, channel::Closed>) -> Result<T, RemoteError> {
    received.map_err(|_| RemoteError::Closed)?.open().map_err(RemoteError::Task)
}

impl<T> Future for RemoteTask<T> {
    type Output = Result<T, RemoteError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.receiver {
            None => Poll::Ready(Err(RemoteError::Closed)),
            Some(receiver) => Pin::new(receiver).poll(cx).map(open),
        }
    }
}

impl<T> Drop for RemoteTask<T> {
    fn drop(&mut self) {
        let Some(mut receiver) = self.receiver.take() else { return };
        // What has not been sent by now is dropped by the relay, which tells of it.
        receiver.close();
        if let Ok(ended) = receiver.try_recv()
            && ended.failure().is_some()
            && !mutant!("a-failure-goes-with-its-remote-handle")
        {
            (self.give_back)(&self.gate, ended);
        }
    }
}

impl<T> fmt::Debug for RemoteTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = if self.cancel.is_none() { " cancelling" } else { "" };
        write!(f, "<RemoteTask{asked} on loop {} at {}>", self.gate.loop_id, self.location)
    }
}

/// Why a remote task has no result.
#[derive(Debug)]
pub enum RemoteError {
    /// The loop was gone, or went before the task was complete.
    Closed,
    /// The task was cancelled, or panicked.
    Task(JoinError),
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoteError::Closed => LoopClosed.fmt(f),
            RemoteError::Task(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RemoteError {}

impl From<RemoteError> for io::Error {
    fn from(error: RemoteError) -> Self {
        match error {
            RemoteError::Closed => LoopClosed.into(),
            RemoteError::Task(error) => error.into(),
        }
    }
}
