//! Reaching a loop from other threads: send it a closure, get a future's result back.

use std::any::type_name;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::channel;
use crate::channel::oneshot::{self, Receiver};
use crate::context;
use crate::remote_callback::RemoteCallback;
use crate::task::JoinError;
use crate::task::door::Door;
use crate::task::failure;
use crate::task::inbox::Node;
use crate::turn::Core;

/// A closure on its way to a loop. Made here, leaked into the door, taken back by the loop.
#[repr(C)]
pub(crate) struct RemoteCall {
    pub(crate) node: Node,
    pub(crate) run: Box<dyn FnOnce(&Core) + Send>,
}

/// Whether the loop still takes calls. The lock is held over a push, so that none slips in after
/// the loop has looked for the last time.
#[derive(Debug)]
pub(crate) struct Gate {
    door: &'static Door,
    loop_id: u32,
    state: Mutex<State>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Idle,
    Running,
    Closed,
}

/// While it lives, the loop runs, as seen from other threads.
pub(crate) struct Running<'a>(&'a Gate);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        *self.0.state() = State::Idle;
    }
}

impl Gate {
    pub(crate) fn new(door: &'static Door, loop_id: u32) -> Arc<Self> {
        Arc::new(Gate { door, loop_id, state: Mutex::new(State::Idle) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn run(&self) -> Running<'_> {
        *self.state() = State::Running;
        Running(self)
    }

    pub(crate) fn is_running(&self) -> bool {
        *self.state() == State::Running
    }

    pub(crate) fn close(&self) {
        *self.state() = State::Closed;
    }

    /// `Err`: the loop is gone; the closure was dropped.
    fn send(&self, run: Box<dyn FnOnce(&Core) + Send>) -> Result<(), LoopClosed> {
        let state = self.state();
        if *state == State::Closed {
            return Err(LoopClosed);
        }
        let call = Box::new(RemoteCall { node: Node::new(0, self.loop_id), run });
        // SAFETY: a fresh box, valid until the loop takes it back.
        unsafe { self.door.push(Box::into_raw(call).cast()) };
        Ok(())
    }
}

/// The loop that was asked for is gone.
#[doc(alias = "RuntimeError")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopClosed;

impl fmt::Display for LoopClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the event loop is closed")
    }
}

impl std::error::Error for LoopClosed {}

impl From<LoopClosed> for io::Error {
    fn from(closed: LoopClosed) -> Self {
        io::Error::new(io::ErrorKind::NotConnected, closed)
    }
}

/// A loop as seen from other threads. Cheap to clone; does not keep the loop alive.
///
/// # Examples
///
/// ```
/// use std::rc::Rc;
///
/// let mut event_loop = uring_loop::EventLoop::new()?;
/// let handle = event_loop.handle();
/// let thread = std::thread::spawn(move || {
///     // The closure travels, the future it makes stays on the loop: it need not be `Send`.
///     let answer = handle.spawn(|| async { *Rc::new(42) }).wait();
///     handle.stop().unwrap();
///     answer
/// });
/// event_loop.run_forever()?;
/// assert_eq!(thread.join().unwrap().unwrap(), 42);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Handle {
    gate: Arc<Gate>,
}

impl Handle {
    pub(crate) fn new(gate: Arc<Gate>) -> Self {
        Handle { gate }
    }

    /// The handle of the loop that runs on this thread.
    ///
    /// # Panics
    ///
    /// If none runs.
    #[doc(alias = "get_running_loop")]
    #[doc(alias = "get_event_loop")]
    #[track_caller]
    pub fn current() -> Handle {
        context::core("Handle::current", |core| Handle::new(core.gate.clone()))
    }

    /// Runs a closure on the loop, in its next turn. A thread's calls run in the order in which
    /// they were sent; while more come in than a turn can bear, they wait for later ones.
    ///
    /// A panic in it is reported to the loop's exception handler; the loop goes on. If the loop
    /// goes first, the closure is dropped without having run.
    ///
    /// # Errors
    ///
    /// [`LoopClosed`] if the loop is gone.
    #[doc(alias = "call_soon_threadsafe")]
    #[track_caller]
    pub fn call_soon<F>(&self, f: F) -> Result<RemoteCallback, LoopClosed>
    where
        F: FnOnce() + Send + 'static,
    {
        let location = Location::caller();
        let callback = RemoteCallback::new(f);
        let run = callback.clone();
        self.gate.send(Box::new(move |_| {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run.run())) {
                crate::report::callback_panicked(type_name::<F>(), location, &*panic);
            }
        }))?;
        Ok(callback)
    }

    /// Ends the loop's run, and wakes the loop for it: see [`stop`](crate::stop). A loop that does
    /// not run gives its next run one round.
    ///
    /// # Errors
    ///
    /// [`LoopClosed`] if the loop is gone.
    #[doc(alias = "loop.stop")]
    pub fn stop(&self) -> Result<(), LoopClosed> {
        self.gate.send(Box::new(Core::stop))
    }

    /// Whether the loop runs at this moment.
    pub fn is_running(&self) -> bool {
        self.gate.is_running()
    }

    /// Whether the loop is gone.
    pub fn is_closed(&self) -> bool {
        *self.gate.state() == State::Closed
    }

    /// Makes a future on the loop, from a closure that travels there, and runs it as a task.
    #[doc(alias = "run_coroutine_threadsafe")]
    #[track_caller]
    pub fn spawn<C, F>(&self, make: C) -> RemoteTask<F::Output>
    where
        C: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let location = Location::caller();
        let sent = self.gate.send(Box::new(move |core| {
            let relay = async move {
                // A task of its own, so that a panic, of `make` too, is caught with its payload.
                let future = async move { make().await };
                let mut task = context::core("a remote spawn", |core| core.spawn(future, location));
                let result = (&mut task).await;
                // Nobody may want it any more.
                if let Err(channel::Closed(result)) = sender.send(result) {
                    failure::undelivered(&task, &result);
                }
            };
            drop(core.spawn(relay, location));
        }));
        RemoteTask { receiver: sent.ok().map(|()| receiver) }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle(loop {})", self.gate.loop_id)
    }
}

/// A task on a loop of another thread: await it under any executor, or block on it.
///
/// Dropping it detaches the task. If that fails later, its loop's exception handler is told, as of
/// a [`Task`](crate::Task) that was dropped.
#[must_use = "dropping it detaches the task; say so with `drop`"]
#[derive(Debug)]
pub struct RemoteTask<T> {
    receiver: Option<Receiver<Result<T, JoinError>>>,
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

impl<T> RemoteTask<T> {
    /// Blocks this thread until the task is complete.
    ///
    /// # Errors
    ///
    /// [`RemoteError`].
    ///
    /// # Panics
    ///
    /// On a thread whose own loop is running: it would stand still. Await it there.
    pub fn wait(self) -> Result<T, RemoteError> {
        refuse_on_a_loop();
        match self.receiver {
            Some(receiver) => flatten(receiver.blocking_recv()),
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
    pub fn wait_timeout(mut self, limit: Duration) -> Result<Result<T, RemoteError>, Self> {
        refuse_on_a_loop();
        let Some(receiver) = &mut self.receiver else { return Ok(Err(RemoteError::Closed)) };
        match receiver.blocking_recv_timeout(limit) {
            Ok(received) => Ok(flatten(received)),
            Err(_) => Err(self),
        }
    }
}

fn refuse_on_a_loop() {
    assert_eq!(
        context::loop_id(),
        0,
        "waiting for a remote task would stop the loop that runs on this thread: await it"
    );
}

fn flatten<T>(received: Result<Result<T, JoinError>, channel::Closed>) -> Result<T, RemoteError> {
    received.map_err(|_| RemoteError::Closed)?.map_err(RemoteError::Task)
}

impl<T> Future for RemoteTask<T> {
    type Output = Result<T, RemoteError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.receiver {
            None => Poll::Ready(Err(RemoteError::Closed)),
            Some(receiver) => Pin::new(receiver).poll(cx).map(flatten),
        }
    }
}
