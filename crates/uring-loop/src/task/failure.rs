//! Failures of tasks that nobody takes: told instead of lost.
//!
//! A panic always is one. Whether an `Err` is depends on the type of the output, which is unknown
//! where the task ends: three bits among its flags say by which *reader* the error is found. Most
//! tasks have none, and pay for it with a test of those bits. Outputs of the types in the table
//! have theirs from the start; [`Task::report_error`] gives one to any other, kept beside the task
//! (`extras.rs`).

use std::any::{Any, TypeId};
use std::error::Error;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::NonNull;

use super::raw::Header;
use super::state::flags;
use super::{JoinError, Task};
use crate::context;
use crate::report::{Report, ReportKind};
use crate::turn::Core;

/// What a task's output may say that somebody should hear of.
pub(crate) enum Failure<'a> {
    Panic(&'a (dyn Any + Send)),
    Error(&'a dyn fmt::Display),
}

impl Failure<'_> {
    /// Tells the loop's exception handler.
    pub(super) fn report(&self, header: &Header) {
        self.tell(header.name(), header.location, header.node.loop_id);
    }

    /// Tells the exception handler of this loop; the log, if that is gone or of another thread.
    pub(crate) fn tell(&self, name: String, location: &'static Location<'static>, loop_id: u32) {
        let kind = ReportKind::NeverRetrieved;
        let report = match self {
            Failure::Panic(panic) => {
                Report::new(kind, "a task panicked, and nobody took its result").with_panic(*panic)
            }
            Failure::Error(error) => {
                let words = "a task ended with an error, and nobody took its result";
                Report::new(kind, format!("{words} ({})", in_words(*error)))
            }
        };
        report.named(name).at(location).send_to(loop_id);
    }
}

/// An error may be of any make, and one that can't be printed must not take the loop with it.
fn in_words(error: &dyn fmt::Display) -> String {
    let words = catch_unwind(AssertUnwindSafe(|| error.to_string()));
    words.unwrap_or_else(|_| "an error that panics when it is printed".to_owned())
}

/// Finds the error in the output that it is given.
pub(super) type Reader = unsafe fn(NonNull<()>) -> Option<NonNull<dyn fmt::Display>>;

/// The reader of `Result<T, E>`.
///
/// # Safety
///
/// `output` points to one.
unsafe fn read<T: 'static, E: fmt::Display + 'static>(
    output: NonNull<()>,
) -> Option<NonNull<dyn fmt::Display>> {
    // SAFETY: the caller's promise.
    let output = unsafe { output.cast::<Result<T, E>>().as_ref() };
    output.as_ref().err().map(|error| NonNull::from(error as &dyn fmt::Display))
}

/// Makes both ways through the table from one list.
macro_rules! readers {
    ($($number:literal: $T:ty, $E:ty;)+) => {
        /// The number of the reader of this type; 0: the table has none.
        ///
        /// A constant, once it is compiled.
        #[inline]
        fn number_of<O: 'static>() -> u16 {
            let output = TypeId::of::<O>();
            $(if output == TypeId::of::<Result<$T, $E>>() {
                return $number;
            })+
            0
        }

        fn numbered(number: u16) -> Option<Reader> {
            match number {
                $($number => Some(read::<$T, $E>),)+
                _ => None,
            }
        }
    };
}

// Numbers 1 to 6: 7 is `GIVEN`.
readers! {
    1: (), io::Error;
    2: (), String;
    3: (), Box<dyn Error>;
    4: (), Box<dyn Error + Send + Sync>;
    5: usize, io::Error;
    6: u64, io::Error;
}

/// The number of a reader that [`Task::report_error`] gave.
const GIVEN: u16 = flags::READER >> flags::READER_SHIFT;

/// The error in a task's output, if that has one and there is a reader for it.
///
/// # Safety
///
/// `output` points to a value of the type of this task's output.
pub(super) unsafe fn error_in<'a>(
    header: &Header,
    output: NonNull<()>,
) -> Option<&'a dyn fmt::Display> {
    let reader = match header.reader() {
        GIVEN => {
            let given = |core: &Core| core.tasks.extras.look(header, |extras| extras.reader);
            context::with_loop(header.node.loop_id, given).flatten().flatten()
        }
        number => numbered(number),
    };
    // SAFETY: a task's reader is one of its type (`set_reader`), and the caller promises the rest.
    unsafe { reader?(output).map(|error| error.as_ref()) }
}

/// Gives a fresh task the reader for its type, if the table has one.
#[inline]
pub(crate) fn watch<T: 'static>(task: Task<T>) -> Task<T> {
    let number = number_of::<T>();
    if number != 0 {
        set_reader(&task, number);
    }
    task
}

/// The failure in a result that was taken of a task, by the readers of the table.
pub(crate) fn in_result<T: 'static>(result: &Result<T, JoinError>) -> Option<Failure<'_>> {
    match result {
        Err(JoinError::Panicked(panic)) => Some(Failure::Panic(&**panic)),
        Err(JoinError::Cancelled(_)) => None,
        Ok(value) => {
            let reader = numbered(number_of::<T>())?;
            // SAFETY: the reader is the one of this type, and so is the value.
            let error = unsafe { reader(NonNull::<T>::from(value).cast()) };
            // SAFETY: it lies in the value, which is borrowed as long.
            error.map(|error| Failure::Error(unsafe { error.as_ref() }))
        }
    }
}

/// From now on the reader of this number looks at the output, which must be one of its type.
fn set_reader<T>(task: &Task<T>, number: u16) {
    let header = task.header();
    header.clear(flags::READER);
    header.set(number << flags::READER_SHIFT);
    // Too late for the end of the task to look: done here.
    if task.is_ready() && !header.has(flags::TAKEN) {
        look_late(task);
    }
}

/// Looks at the output of a task that has ended before it had a reader, and is still there.
#[cold]
fn look_late<T>(task: &Task<T>) {
    let (header, output) = (task.header(), task.peek());
    let Ok(value) = output else { return };
    // SAFETY: of this task's output, which `peek` has found in its place.
    let error = unsafe { error_in(header, NonNull::from(value).cast()) };
    if error.is_some() {
        header.set(flags::FAILED);
        // A failed task has extras, so that the end of the loop finds it.
        let enter = |core: &Core| core.tasks.extras.edit(header, |_| ());
        context::with_loop(header.node.loop_id, enter);
    }
}

impl<T: 'static, E: fmt::Display + 'static> Task<Result<T, E>> {
    /// Has an error reported that nobody retrieves: to the loop's exception handler, when the task
    /// has ended and its handle is gone, or when the loop ends. Retrieved is what was awaited,
    /// looked at with [`result`](Task::result), or shown to a callback.
    ///
    /// A task that panics is reported in any case. So are, without this, the errors of tasks whose
    /// output is `Result<(), E>`, where `E` is `io::Error`, `String`, `Box<dyn Error>` or
    /// `Box<dyn Error + Send + Sync>`, or is `io::Result<usize>` or `io::Result<u64>`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{cell::RefCell, rc::Rc};
    /// use uring_loop::{EventLoop, spawn, yield_now};
    ///
    /// let told = Rc::new(RefCell::new(String::new()));
    /// let tell = told.clone();
    /// let mut event_loop = EventLoop::new()?;
    /// event_loop.set_exception_handler(move |report| *tell.borrow_mut() = report.to_string());
    /// event_loop
    ///     .run_until_complete(async {
    ///         drop(spawn(async { "five".parse::<u8>() }).report_error());
    ///         yield_now().await;
    ///     })
    ///     .unwrap();
    /// assert!(told.borrow().contains("invalid digit"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "call_exception_handler")]
    #[must_use = "the handle is returned; dropping it detaches the task"]
    pub fn report_error(self) -> Self {
        if number_of::<Result<T, E>>() != 0 {
            return self; // it is already
        }
        let header = self.header();
        let give = |core: &Core| {
            core.tasks.extras.edit(header, |extras| extras.reader = Some(read::<T, E>));
        };
        // Without its loop the task has no place for it, nor anybody to tell.
        if context::with_loop(header.node.loop_id, give).is_some() {
            set_reader(&self, GIVEN);
        }
        self
    }
}
