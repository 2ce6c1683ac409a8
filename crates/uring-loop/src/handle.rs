//! Reaching a loop from other threads: send it a closure, or the makings of a task
//! (`remote_task.rs`).

use std::any::type_name;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::callback::Callback;
use crate::context;
use crate::remote_callback::RemoteCallback;
use crate::remote_task::RemoteTask;
use crate::task::door::Door;
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
    pub(crate) loop_id: u32,
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

    /// Has `f` run as a callback. On the loop's own thread it has its place in the queue at once,
    /// so that callbacks run in the order in which they were asked for, whichever way.
    fn schedule(
        &self,
        f: impl FnOnce() + Send + 'static,
        location: &'static Location<'static>,
    ) -> Result<(), LoopClosed> {
        let soon = move |core: &Core| drop(Callback::soon(core, f, location));
        if self.loop_id != context::loop_id() {
            return self.send(Box::new(soon));
        }
        if *self.state() == State::Closed {
            return Err(LoopClosed);
        }
        context::with_core(soon);
        Ok(())
    }

    /// `Err`: the loop is gone; the closure was dropped.
    pub(crate) fn send(&self, run: Box<dyn FnOnce(&Core) + Send>) -> Result<(), LoopClosed> {
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

    /// Runs a closure on the loop, as a callback: behind what is ready when the loop learns of it,
    /// as [`call_soon`](crate::call_soon) does on the loop's own thread. A thread's calls run in
    /// the order in which they were sent; while more come in than a turn can bear, they wait for
    /// later ones.
    ///
    /// Task-locals do not go from thread to thread: the callback begins without, unless it was sent
    /// from the loop's own thread.
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
        let (callback, errand) = RemoteCallback::new(f);
        let run = move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| errand.run())) {
                crate::report::callback_panicked(type_name::<F>(), location, &*panic);
            }
        };
        self.gate.schedule(run, location)?;
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
        RemoteTask::start(self.gate.clone(), make, Location::caller())
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle(loop {})", self.gate.loop_id)
    }
}
