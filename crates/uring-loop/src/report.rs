//! Reports: what goes wrong where nobody waits for an answer.
//!
//! asyncio's exception handler (`loop.call_exception_handler`). A callback panics, a task fails
//! and its handle is gone, a poll takes too long in debug mode: the loop goes on, and tells. Whom
//! it tells can be set; by default it is the log, and stderr for a program that has no log.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;

use crate::context;
use crate::task::panic_message;

/// What has gone wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReportKind {
    /// A callback panicked, one of this thread or one that another thread sent.
    CallbackPanicked,
    /// A task panicked, or ended in an error, and nobody took its result; or that happened in a
    /// group of tasks that nobody awaits any more.
    NeverRetrieved,
    /// A task was dropped with its loop while it was waiting. In debug mode only.
    DroppedPending,
    /// A poll or a callback took longer than it may. In debug mode only.
    Slow,
    /// An operation that ends by itself, as one on a file does, takes longer than it may. In debug
    /// mode only.
    SlowOperation,
    /// A poll does not end, and the loop stands still. In debug mode only; to the log, since the
    /// handler belongs to the thread that stands still.
    Stalled,
    /// A task did not end although the run was over and all tasks were asked to end, or a call on a
    /// helper thread did not. (A task that fails meanwhile is
    /// [`NeverRetrieved`](Self::NeverRetrieved).)
    Shutdown,
    /// The exception handler panicked.
    HandlerPanicked,
    /// A server could not accept a connection, the handler of one ended with an error, or a
    /// transport failed in a way that is no news of the peer's going.
    ConnectionFailed,
    /// A descriptor cannot be watched any more
    /// ([`on_readable`](crate::io::on_readable)).
    WatchFailed,
    /// A buffered writer was dropped with bytes in it. In debug mode only.
    Unflushed,
}

/// Something that went wrong where nobody waits for an answer.
///
/// `Display` gives it in one line.
#[non_exhaustive]
pub struct Report<'a> {
    /// What has gone wrong.
    pub kind: ReportKind,
    /// The same in words.
    pub message: String,
    /// The name of the task or the callback.
    pub name: Option<String>,
    /// Where the task was spawned, or the callback scheduled.
    pub location: Option<&'static Location<'static>>,
    /// The payload of a panic.
    pub panic: Option<&'a (dyn Any + Send)>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(kind: ReportKind, message: impl Into<String>) -> Self {
        Report { kind, message: message.into(), name: None, location: None, panic: None }
    }

    pub(crate) fn named(self, name: impl Into<String>) -> Self {
        Report { name: Some(name.into()), ..self }
    }

    pub(crate) fn at(self, location: &'static Location<'static>) -> Self {
        Report { location: Some(location), ..self }
    }

    pub(crate) fn with_panic(self, panic: &'a (dyn Any + Send)) -> Self {
        Report { panic: Some(panic), ..self }
    }

    /// Tells the handler of the running loop, or the log if none runs.
    pub(crate) fn send(&self) {
        let handler = context::with_core(|core| core.handler.get()).flatten();
        self.tell(handler);
    }

    /// Tells the handler of this loop, which need not run, or the log if it is gone.
    pub(crate) fn send_to(&self, loop_id: u32) {
        let handler = context::with_loop(loop_id, |core| core.handler.get()).flatten();
        self.tell(handler);
    }

    /// Tells a handler. One that panics is reported too, to the log.
    fn tell(&self, handler: Option<Rc<HandlerFn>>) {
        let Some(handler) = handler else { return self.log() };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| handler(self))) {
            Report::new(ReportKind::HandlerPanicked, "the exception handler panicked")
                .with_panic(&*panic)
                .log();
            self.log();
        }
    }

    /// What happens without a handler: an event for the log. A program that has no log gets a line
    /// on stderr, for else it would never know (as asyncio does through `logging.lastResort`).
    pub fn log(&self) {
        match self.kind {
            ReportKind::Slow | ReportKind::SlowOperation | ReportKind::Stalled => {
                tracing::warn!("{self}")
            }
            _ => tracing::error!("{self}"),
        }
        if !tracing::dispatcher::has_been_set() {
            eprintln!("{self}");
        }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(name) = &self.name {
            write!(f, ": {name}")?;
        }
        if let Some(location) = self.location {
            write!(f, " at {location}")?;
        }
        match self.panic {
            Some(panic) => write!(f, ": {}", panic_message(panic)),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("kind", &self.kind)
            .field("message", &self.message)
            .field("name", &self.name)
            .field("location", &self.location.map(ToString::to_string))
            .field("panic", &self.panic.map(panic_message))
            .finish()
    }
}

/// What a loop calls with its reports.
pub(crate) type HandlerFn = dyn Fn(&Report<'_>);

/// The handler of a loop; none means the log.
#[derive(Default)]
pub(crate) struct Handler(RefCell<Option<Rc<HandlerFn>>>);

impl Handler {
    pub(crate) fn get(&self) -> Option<Rc<HandlerFn>> {
        self.0.borrow().clone()
    }

    pub(crate) fn set(&self, handler: Option<Rc<HandlerFn>>) {
        // The old one is dropped outside of the borrow: it may be anything.
        let _old = self.0.replace(handler);
    }
}

/// Reports the panic of a callback, which is the running task, by its name, or by its type if it
/// was given none.
pub(crate) fn callback_panicked(
    type_name: &str,
    location: &'static Location<'static>,
    panic: &(dyn Any + Send),
) {
    let given = context::with_task(|_, callback| callback.given_name()).flatten();
    Report::new(ReportKind::CallbackPanicked, "a callback panicked")
        .named(given.unwrap_or_else(|| type_name.to_owned()))
        .at(location)
        .with_panic(panic)
        .send();
}
