//! The loop as its users see it: making one, running it, looking into it, its end (`end.rs`).

mod end;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::panic::Location;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::builder::Builder;
use crate::callback::Callback;
use crate::context;
use crate::driver::ring::Ring;
use crate::driver::{InFlight, InFlightKind};
use crate::dump::Dump;
use crate::handle::Handle;
use crate::interrupt::{self, CtrlC, Interrupts};
use crate::report::Report;
use crate::run_error::RunError;
use crate::signal::{SignalKind, on_signal};
use crate::statistics::Statistics;
use crate::task::failure;
use crate::task::{JoinError, Task, TaskRef};
use crate::time::clock::Clock;
use crate::turn::{Core, Options};

/// A completion-based, single-threaded event loop.
///
/// It owns an io_uring, the tasks spawned on it and their timers, and runs while
/// [`run_until_complete`](EventLoop::run_until_complete) or
/// [`run_forever`](EventLoop::run_forever) does. It may run again afterwards; tasks that were not
/// complete go on then. Tasks and callbacks may be given to it before and between runs.
///
/// A program with one main future has it easier with [`run`](crate::run) or
/// [`Runner`](crate::Runner), which also bring the other tasks to an orderly end.
///
/// *Dropping* it, or [`close`](EventLoop::close), drops every task, cancels every operation in
/// flight and waits until the kernel has let go of the last of them, at most as long as
/// [`shutdown_patience`](Builder::shutdown_patience) says; what is left then is leaked, never
/// freed, and logged.
///
/// # Examples
///
/// ```
/// let mut event_loop = uring_loop::EventLoop::new()?;
/// let answer = event_loop.run_until_complete(async { 6 * 7 }).unwrap();
/// assert_eq!(answer, 42);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "ProactorEventLoop")]
#[doc(alias = "SelectorEventLoop")]
pub struct EventLoop {
    core: Rc<Core>,
    patience: Duration,
    closed: bool,
    /// Ctrl+C was pressed twice: nothing is waited for any more.
    forced: Cell<bool>,
    /// Who prints dumps when asked to by a signal.
    dumper: RefCell<Option<Callback>>,
}

impl EventLoop {
    /// A loop with the default options.
    ///
    /// # Errors
    ///
    /// If no ring can be had; the error names the likely cause and the fix and carries a
    /// [`Refused`](crate::Refused). Where only io_uring is refused, the loop does without
    /// ([`RingChoice`](crate::RingChoice)). A bad `URING_LOOP_RING` is `InvalidInput`.
    #[doc(alias = "new_event_loop")]
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// Options for a loop.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn assemble(
        ring: Ring,
        clock: Clock,
        patience: Duration,
        options: Options,
    ) -> io::Result<Self> {
        let core = Rc::new(Core::new(ring, clock, options)?);
        // SAFETY: the core lies in an `Rc` that this loop keeps, on this thread, until it is
        // closed (`close`, at the latest by `drop`), which takes it off.
        unsafe { context::add_loop(&core) };
        Ok(EventLoop {
            core,
            patience,
            closed: false,
            forced: Cell::new(false),
            dumper: RefCell::default(),
        })
    }

    fn open_core(&self) -> &Rc<Core> {
        assert!(!self.closed, "this event loop is closed: make another");
        &self.core
    }

    /// Runs `future` as the main task until it is complete, and everything else meanwhile.
    ///
    /// What the main task made ready at its end still runs, then this returns. A panic of the main
    /// task goes on here, once its future is dropped.
    ///
    /// # Errors
    ///
    /// [`RunError::Cancelled`] if the main task was cancelled and nobody in it caught that;
    /// [`RunError::Stopped`] if the loop was stopped ahead of its end. In both cases `future` has
    /// been dropped. To go on with something in a later run, give its [`Task`] by reference.
    ///
    /// # Panics
    ///
    /// If a loop already runs on this thread, if this one is closed, or if this process is a forked
    /// child of the one that made the loop.
    #[doc(alias = "block_on")]
    #[track_caller]
    pub fn run_until_complete<F: IntoFuture>(&mut self, future: F) -> Result<F::Output, RunError> {
        self.run_main(future, CtrlC::Never)
    }

    /// The same, which may listen for Ctrl+C.
    #[track_caller]
    pub(crate) fn run_main<F: IntoFuture>(
        &mut self,
        future: F,
        ctrl_c: CtrlC,
    ) -> Result<F::Output, RunError> {
        let location = Location::caller();
        let core = self.open_core();
        let _entered = context::enter(core);
        let _running = core.gate.run();
        let future = async {
            let _stop = StopAtEnd(core);
            future.await
        };
        // SAFETY: the future may borrow from our caller. Before we return or unwind the task is
        // complete, hence its future dropped (`AbortOnDrop`), and its output taken or dropped
        // with the handle.
        let main = AbortOnDrop(core, unsafe { core.spawn_main(future, location) });
        self.dump_on_signal();
        let pressed = interrupt::Guard::new(core, ctrl_c, Some(main.1.task_ref()));
        core.run();
        let interrupts = pressed.map_or(Interrupts::None, |pressed| pressed.heard());
        self.forced.set(interrupts == Interrupts::Forced);
        let interrupted = interrupts != Interrupts::None;
        if !main.1.is_done() {
            return Err(if interrupted { RunError::Interrupted } else { RunError::Stopped });
        }
        match main.1.take_output() {
            Ok(output) => Ok(output),
            Err(JoinError::Cancelled(_)) if interrupted => Err(RunError::Interrupted),
            Err(JoinError::Cancelled(_)) => Err(RunError::Cancelled),
            Err(JoinError::Panicked(panic)) => std::panic::resume_unwind(panic),
        }
    }

    /// Sees to it that SIGUSR1 prints a dump, if that was asked for. The loop is the current one.
    fn dump_on_signal(&self) {
        let mut dumper = self.dumper.borrow_mut();
        if !self.core.options.dump_on_signal || dumper.as_ref().is_some_and(Callback::is_waiting) {
            return;
        }
        match on_signal(SignalKind::USER1, || eprint!("{}", Dump::current())) {
            Ok(callback) => *dumper = Some(callback.named("dump on SIGUSR1")),
            Err(error) => tracing::warn!("no dump on SIGUSR1: {error}"),
        }
    }

    /// Whether [`Runner`](crate::Runner) listens for Ctrl+C.
    pub(crate) fn ctrl_c(&self) -> CtrlC {
        self.core.options.ctrl_c
    }

    /// Runs until it is stopped: by [`stop`](crate::stop) from inside, or [`Handle::stop`] from
    /// another thread. With nothing to do it waits.
    ///
    /// After a stop, what is ready in the same round still runs; what that makes ready waits for
    /// the next run. A stop that was asked for before the run lets one round run.
    ///
    /// # Errors
    ///
    /// [`RunError::Interrupted`] if Ctrl+C was pressed; see [`Builder::ctrl_c`]. The loop may be
    /// run again.
    ///
    /// # Panics
    ///
    /// As [`run_until_complete`](Self::run_until_complete).
    #[track_caller]
    pub fn run_forever(&mut self) -> Result<(), RunError> {
        let core = self.open_core();
        let _entered = context::enter(core);
        let _running = core.gate.run();
        self.dump_on_signal();
        let pressed = interrupt::Guard::new(core, core.options.ctrl_c, None);
        core.run();
        match pressed.map_or(Interrupts::None, |pressed| pressed.heard()) {
            Interrupts::None => Ok(()),
            _ => Err(RunError::Interrupted),
        }
    }

    /// Asks for a stop ahead of the next run. From inside of a run use [`stop`](crate::stop).
    pub fn stop(&self) {
        self.core.stop();
    }

    /// Whether it runs: never, as seen from here. [`Handle::is_running`] sees it from other
    /// threads and from tasks.
    pub fn is_running(&self) -> bool {
        self.core.gate.is_running()
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Ends the loop as dropping it does. Closing it again does nothing; running it, and giving it
    /// tasks or callbacks, panics.
    pub fn close(&mut self) {
        if !std::mem::replace(&mut self.closed, true) {
            self.core.shut_down(self.patience);
            context::remove_loop(&self.core);
        }
    }

    /// Starts a task, which runs when the loop does. See [`spawn`](crate::spawn).
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    #[doc(alias = "loop.create_task")]
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        failure::watch(self.open_core().spawn(future, Location::caller()))
    }

    /// Runs `f` when the loop runs. See [`call_soon`](crate::call_soon).
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    #[track_caller]
    pub fn call_soon(&self, f: impl FnOnce() + 'static) -> Callback {
        Callback::soon(self.open_core(), f, Location::caller())
    }

    /// Runs `f` when the loop runs and `delay` is over. See [`call_later`](crate::call_later).
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    #[track_caller]
    pub fn call_later(&self, delay: Duration, f: impl FnOnce() + 'static) -> Callback {
        Callback::later(self.open_core(), delay, f, Location::caller())
    }

    /// Runs `f` when the loop runs and its clock has reached `when`. See
    /// [`call_at`](crate::call_at).
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    #[track_caller]
    pub fn call_at(&self, when: Instant, f: impl FnOnce() + 'static) -> Callback {
        let core = self.open_core();
        Callback::at(core, core.clock.ns(when), f, Location::caller())
    }

    /// What time it is on the loop's clock. See [`time::now`](crate::time::now).
    #[doc(alias = "loop.time")]
    pub fn now(&self) -> Instant {
        self.core.clock.instant(self.core.clock.now())
    }

    /// Sets who is told what goes wrong where nobody waits for an answer: a panic in a callback,
    /// say. Without a handler it goes to the log.
    ///
    /// A handler that panics is reported to the log itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// use std::rc::Rc;
    ///
    /// let reports = Rc::new(RefCell::new(Vec::new()));
    /// let mut event_loop = uring_loop::EventLoop::new()?;
    /// let heard = reports.clone();
    /// event_loop.set_exception_handler(move |report| heard.borrow_mut().push(report.to_string()));
    /// event_loop.call_soon(|| panic!("oh no"));
    /// event_loop.run_until_complete(async {})?;
    /// assert!(reports.borrow()[0].ends_with("oh no"), "{reports:?}");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "call_exception_handler")]
    pub fn set_exception_handler(&mut self, handler: impl Fn(&Report<'_>) + 'static) {
        self.core.handler.set(Some(Rc::new(handler)));
    }

    /// A handle for other threads.
    pub fn handle(&self) -> Handle {
        Handle::new(self.core.gate.clone())
    }

    /// What the loop has counted so far.
    pub fn statistics(&self) -> Statistics {
        Statistics::of(&self.core)
    }

    /// The operations the kernel has not finished with.
    pub fn in_flight(&self) -> Vec<InFlight> {
        self.core.in_flight()
    }

    /// The same by kinds, the most frequent first.
    pub fn in_flight_kinds(&self) -> Vec<InFlightKind> {
        InFlightKind::of(&self.in_flight())
    }

    /// All tasks that have not ended, oldest first. See [`all_tasks`](crate::all_tasks).
    pub fn all_tasks(&self) -> Vec<TaskRef> {
        self.core.tasks.all()
    }

    /// The tasks and callbacks that have not ended, as a tree of who waits for whom.
    pub fn dump(&self) -> Dump {
        Dump::of(&self.core)
    }
}

/// Stops the run when the main task's future is gone, in whatever way.
struct StopAtEnd<'a>(&'a Core);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.stop_after_main();
    }
}

/// Completes the main task on every way out. That this asks for a stop concerns no later run.
struct AbortOnDrop<'a, T>(&'a Core, Task<T>);

impl<T> Drop for AbortOnDrop<'_, T> {
    fn drop(&mut self) {
        self.1.abort();
        self.0.forget_stop();
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("id", &self.core.id)
            .field("driver", &self.core.driver)
            .field("tasks", &self.core.tasks.alive())
            .field("extras", &self.core.tasks.extras)
            .field("timers", &self.core.timers)
            .finish()
    }
}
