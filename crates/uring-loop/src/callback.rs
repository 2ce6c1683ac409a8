//! Callbacks: plain functions that the loop runs, soon or at a moment.
//!
//! A callback is a task that never waits for anything but its moment. So callbacks and tasks are in
//! one queue, first in, first out, and a callback costs what a task costs.

use std::any::type_name;
use std::cell::Cell;
use std::fmt;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::time::{Duration, Instant};

use crate::context;
use crate::locals::Locals;
use crate::sys::clock::saturating_ns;
use crate::task::Task;
use crate::time::Sleep;
use crate::turn::Core;

/// Runs `f` on the running loop, in its next round of ready tasks, after all that is ready now.
///
/// `f` is never run inside of this call. A panic in it is reported to the loop's exception
/// handler; the loop goes on.
///
/// # Panics
///
/// If no loop runs on this thread. See [`EventLoop::call_soon`](crate::EventLoop::call_soon) for
/// one that does not run yet, and [`Handle::call_soon`](crate::Handle::call_soon) for one of
/// another thread.
///
/// # Examples
///
/// ```
/// use uring_loop::{EventLoop, call_soon, stop};
///
/// let mut event_loop = EventLoop::new()?;
/// event_loop.call_soon(|| {
///     println!("hello");
///     call_soon(stop).named("stop");
/// });
/// event_loop.run_forever()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "loop.call_soon")]
#[track_caller]
pub fn call_soon(f: impl FnOnce() + 'static) -> Callback {
    let location = Location::caller();
    context::core("call_soon", |core| Callback::soon(core, f, location))
}

/// Runs `f` on the running loop once `delay` is over. See [`call_soon`].
///
/// Callbacks of the same moment run in the order in which they were asked for; asyncio leaves that
/// open. A delay of zero is over at once, but what is ready runs first.
///
/// # Panics
///
/// If no loop runs on this thread.
#[doc(alias = "loop.call_later")]
#[track_caller]
pub fn call_later(delay: Duration, f: impl FnOnce() + 'static) -> Callback {
    let location = Location::caller();
    context::core("call_later", |core| Callback::later(core, delay, f, location))
}

/// Runs `f` on the running loop at a moment of its clock ([`time::now`](crate::time::now)). See
/// [`call_soon`].
///
/// # Panics
///
/// If no loop runs on this thread.
#[doc(alias = "loop.call_at")]
#[track_caller]
pub fn call_at(when: Instant, f: impl FnOnce() + 'static) -> Callback {
    let location = Location::caller();
    context::core("call_at", |core| Callback::at(core, core.clock.ns(when), f, location))
}

/// Ends the run of the loop on this thread: what is ready in this round still runs, what that
/// makes ready waits for the next run.
///
/// [`run_forever`](crate::EventLoop::run_forever) returns then;
/// [`run_until_complete`](crate::EventLoop::run_until_complete) gives
/// [`RunError::Stopped`](crate::RunError::Stopped).
///
/// # Panics
///
/// If no loop runs on this thread; see [`Handle::stop`](crate::Handle::stop) for one of another
/// thread.
#[doc(alias = "loop.stop")]
#[track_caller]
pub fn stop() {
    context::core("stop", Core::stop);
}

/// A callback that was scheduled, and may be withdrawn.
///
/// Dropping it changes nothing: the callback runs.
#[doc(alias = "Handle")]
#[doc(alias = "TimerHandle")]
pub struct Callback {
    task: Task<()>,
    when: Option<Instant>,
    cancelled: Cell<bool>,
}

impl Callback {
    pub(crate) fn soon(
        core: &Core,
        f: impl FnOnce() + 'static,
        location: &'static Location<'static>,
    ) -> Self {
        let task = core.spawn_callback(async move { _ = run(f, location) }, location);
        Callback { task, when: None, cancelled: Cell::new(false) }
    }

    /// One that was asked for earlier: it has the task-locals of that moment.
    pub(crate) fn soon_with(
        core: &Core,
        f: impl FnOnce() + 'static,
        location: &'static Location<'static>,
        locals: Locals,
    ) -> Self {
        let callback = Self::soon(core, f, location);
        if !mutant!("done-callbacks-have-the-locals-of-the-moment") {
            locals.give_to(core, callback.task.header());
        }
        callback
    }

    pub(crate) fn later(
        core: &Core,
        delay: Duration,
        f: impl FnOnce() + 'static,
        location: &'static Location<'static>,
    ) -> Self {
        let when = core.clock.now().saturating_add(saturating_ns(delay));
        Self::at(core, when, f, location)
    }

    pub(crate) fn at(
        core: &Core,
        when: u64,
        f: impl FnOnce() + 'static,
        location: &'static Location<'static>,
    ) -> Self {
        let wait_and_run = async move {
            Sleep::until(when).await;
            run(f, location);
        };
        let task = core.spawn_callback(wait_and_run, location);
        Callback { task, when: Some(core.clock.instant(when)), cancelled: Cell::new(false) }
    }

    /// One that runs each time `next` has something for it, until that has no more, or `f` breaks
    /// off or panics. The panic of a loop that does not run tells of `what`.
    #[track_caller]
    pub(crate) fn each<T: 'static>(
        what: &str,
        mut next: impl AsyncFnMut() -> Option<T> + 'static,
        mut f: impl FnMut(T) -> ControlFlow<()> + 'static,
    ) -> Self {
        let location = Location::caller();
        let listen = async move {
            while let Some(item) = next().await {
                if run(|| f(item), location) != Some(ControlFlow::Continue(())) {
                    return;
                }
            }
        };
        let task = context::core(what, |core| core.spawn_callback(listen, location));
        Callback { task, when: None, cancelled: Cell::new(false) }
    }

    /// Withdraws the callback: if it has not begun, it never will, and is dropped.
    pub fn cancel(&self) {
        self.cancelled.set(true);
        self.task.abort();
    }

    /// Whether [`cancel`](Self::cancel) was called.
    #[doc(alias = "cancelled")]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }

    /// Whether it has yet to run, or will run again.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.task.is_done()
    }

    /// When it is due, on the loop's clock; `None` for a callback that is due at once.
    pub fn when(&self) -> Option<Instant> {
        self.when
    }

    /// Gives the callback a name for dumps, reports and logs.
    #[doc(alias = "partial")]
    pub fn named(self, name: impl Into<String>) -> Self {
        Callback { task: self.task.named(name), ..self }
    }

    /// The name given by [`named`](Self::named), or `Callback-N`.
    pub fn name(&self) -> String {
        self.task.name()
    }

    /// Where it was scheduled.
    pub fn location(&self) -> &'static Location<'static> {
        self.task.location()
    }
}

/// Runs a callback; a panic is reported, and ends nothing. `None`: it panicked.
fn run<F: FnOnce() -> R, R>(f: F, location: &'static Location<'static>) -> Option<R> {
    let ran = catch_unwind(AssertUnwindSafe(f));
    if let Err(panic) = &ran {
        crate::report::callback_panicked(type_name::<F>(), location, &**panic);
    }
    ran.ok()
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.is_cancelled(), self.task.is_done()) {
            (true, _) => "cancelled",
            (false, true) => "done",
            (false, false) => "scheduled",
        };
        write!(f, "<Callback {state} name={:?} at {}", self.name(), self.location())?;
        if let Some(when) = self.when {
            write!(f, " when={when:?}")?;
        }
        f.write_str(">")
    }
}
