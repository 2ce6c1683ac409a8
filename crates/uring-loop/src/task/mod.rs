//! L2: tasks. They know wakers, not the kernel.
//!
//! A task is a future that the loop drives on its own. [`spawn`] makes one and gives a [`Task`],
//! the handle: await it for the result, cancel it, abort it, or drop it and let it run on.

mod cache;
pub(crate) mod callbacks;
mod cancelling;
pub(crate) mod collect;
pub(crate) mod door;
mod error;
pub(crate) mod extras;
pub(crate) mod failure;
pub(crate) mod inbox;
mod info;
pub(crate) mod queue;
pub(crate) mod raw;
pub(crate) mod references;
mod spawn;
pub(crate) mod state;
mod task_ref;
pub(crate) mod waker;

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

use crate::cancel::{Reason, went_with_its_holder};
use crate::context;
use crate::turn::Core;
pub use error::JoinError;
pub(crate) use error::panic_message;
pub use info::TaskInfo;
use raw::Header;
pub(crate) use spawn::spawn_at;
pub use spawn::{spawn, spawn_all, spawn_eager, yield_now};
use state::flags;
pub use task_ref::{TaskRef, all_tasks, current_task};

/// A handle to a task of this thread's loop.
///
/// *Awaiting* it gives the result. If the awaiting task is cancelled meanwhile, the request is
/// forwarded to this task, and its end is waited for: if it ends cancelled, the request goes on
/// outward in the awaiting task; if it ends with a value, that is the result.
///
/// *Dropping* it detaches the task.
///
/// # Panics
///
/// If a task awaits itself.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use uring_loop::{spawn, time::sleep};
///
/// uring_loop::run(async {
///     let answer = spawn(async { 6 * 7 });
///     let slow = spawn(sleep(Duration::from_secs(3600))).named("slow");
///     assert_eq!(answer.await.unwrap(), 42);
///     // It is asked to end: what it waits for is dropped.
///     slow.cancel();
///     assert!(slow.await.unwrap_err().is_cancelled());
///     // A panic stays within its task.
///     let broken: uring_loop::Task<()> = spawn(async { panic!("out of tea") });
///     assert!(broken.await.unwrap_err().is_panic());
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "dropping a Task detaches it; say `drop(task)` or `let _ =` if that is meant"]
pub struct Task<T> {
    header: NonNull<Header>,
    _output: PhantomData<T>,
}

// The result lies in the task's cell, not in its handle.
impl<T> Unpin for Task<T> {}

impl<T> Task<T> {
    /// Takes over the handle's reference.
    ///
    /// # Safety
    ///
    /// `header` comes from `Tasks::spawn` with a future whose output is `T`.
    pub(crate) unsafe fn from_raw(header: NonNull<Header>) -> Self {
        Task { header, _output: PhantomData }
    }

    pub(crate) fn header(&self) -> &Header {
        // SAFETY: the handle holds a local reference, and is not `Send`.
        unsafe { self.header.as_ref() }
    }

    /// Asks the task to end. `false`: it had ended already; a failure then counts as seen.
    ///
    /// The request goes to the innermost [`catch_cancel`](crate::catch_cancel) in the task. If
    /// there is none, its future is dropped where it next waits; a task that never ran is dropped
    /// without being run. A task that becomes ready first wins.
    pub fn cancel(&self) -> bool {
        self.header().cancel(None)
    }

    /// [`cancel`](Self::cancel) with a reason, any text, which
    /// [`Cancelled::reason`](crate::Cancelled::reason) and [`JoinError::reason`] tell. Of several
    /// requests the last one's reason counts, also if it has none.
    ///
    /// # Examples
    ///
    /// ```
    /// use uring_loop::{spawn, yield_now};
    ///
    /// uring_loop::run(async {
    ///     let task = spawn(std::future::pending::<()>());
    ///     yield_now().await;
    ///     task.cancel_with("the client has gone");
    ///     let error = task.await.unwrap_err();
    ///     assert_eq!(error.to_string(), "the task was cancelled: the client has gone");
    /// })
    /// # .unwrap();
    /// ```
    pub fn cancel_with(&self, reason: impl fmt::Display) -> bool {
        self.header().cancel(Some(Reason::new(reason)))
    }

    /// Takes one request back: lowers the count of [`cancelling`](Self::cancelling) and returns
    /// what is left. At 0 a request that nobody in the task has taken yet is void.
    ///
    /// After the task has ended it changes nothing.
    pub fn uncancel(&self) -> u32 {
        self.header().uncancel()
    }

    /// How many requests of [`cancel`](Self::cancel) were made while the task was alive and not
    /// taken back by [`uncancel`](Self::uncancel); it counts to 32,767. Swallowing a request does
    /// not lower it.
    pub fn cancelling(&self) -> u32 {
        self.header().cancels()
    }

    /// Drops the task's future now, without asking. Joiners see [`JoinError::Cancelled`].
    ///
    /// A task that aborts itself ends where its poll next returns.
    pub fn abort(&self) {
        // SAFETY: alive, by the handle's reference.
        unsafe { raw::abort(self.header) };
    }

    /// This task as one of any output.
    pub fn task_ref(&self) -> TaskRef {
        TaskRef::new(self.header())
    }

    /// Waits for the result without a place in the awaiter's tree: its cancels don't come here.
    pub(crate) fn poll_apart(&self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        let header = self.header();
        header.join.detach();
        header.join.forward(false);
        if self.is_ready() {
            return Poll::Ready(self.take_output());
        }
        header.join.set_waker(cx.waker());
        Poll::Pending
    }

    /// Takes the result of a task that has ended.
    pub(crate) fn take_output(&self) -> Result<T, JoinError> {
        assert!(self.is_done());
        // SAFETY: complete, and `T` is the output's type (`from_raw`).
        unsafe { raw::take_output(self.header) }
    }

    /// Whether the task has ended, in whatever way.
    #[doc(alias = "done")]
    #[doc(alias = "is_finished")]
    pub fn is_done(&self) -> bool {
        self.header().has(flags::COMPLETE)
    }

    /// Whether the output may be taken: its callbacks have run.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_done() && (!callbacks::any(self.header()) || mutant!("awaiter-overtakes-callbacks"))
    }

    /// Looks at the result without taking it. `None`: the task has not ended, callbacks of it have
    /// still to run, or the result was taken.
    ///
    /// A failure that was looked at is not reported any more.
    ///
    /// # Examples
    ///
    /// ```
    /// uring_loop::run(async {
    ///     let task = uring_loop::spawn(async { 6 * 7 });
    ///     assert!(task.result().is_none());
    ///     uring_loop::yield_now().await;
    ///     assert!(matches!(task.result(), Some(Ok(42))));
    ///     assert_eq!(task.await.unwrap(), 42); // it is still there
    /// })
    /// # .unwrap();
    /// ```
    pub fn result(&self) -> Option<&Result<T, JoinError>> {
        let header = self.header();
        if !self.is_ready() || header.has(flags::TAKEN) {
            return None;
        }
        header.clear(flags::FAILED);
        // SAFETY: complete, not taken, and of this type (`from_raw`). It stays until somebody takes
        // it through this handle, exclusively, or drops the handle.
        Some(unsafe { &*raw::output(self.header).cast() })
    }

    /// The task's number, unique within its loop; `Task-7` in dumps.
    pub fn id(&self) -> u32 {
        self.header().node.id
    }

    /// Where it was spawned.
    pub fn location(&self) -> &'static Location<'static> {
        self.header().location
    }

    /// Gives the task a name for dumps and logs.
    #[doc(alias = "set_name")]
    #[must_use = "the named handle is returned"]
    pub fn named(self, name: impl Into<String>) -> Self {
        let (header, name) = (self.header(), name.into());
        let table = |core: &Core| core.tasks.extras.edit(header, |extras| extras.name = Some(name));
        context::with_loop(header.node.loop_id, table);
        self
    }

    /// Notes in debug mode that a macro has made this task of a future, and holds it.
    pub(crate) fn gathered(self) -> Self {
        let header = self.header();
        context::with_loop(header.node.loop_id, |core| core.note_gathered(header));
        self
    }

    /// The name given by [`named`](Self::named), or `Task-N`.
    #[doc(alias = "get_name")]
    pub fn name(&self) -> String {
        self.header().name()
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, JoinError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let header = self.header();
        if !self.is_ready() {
            header.wait_under(context::scope(), cx.waker());
            return Poll::Pending;
        }
        assert!(!header.has(flags::TAKEN), "a Task is not polled after it was ready");
        // SAFETY: complete, not taken, and of this type (`from_raw`).
        let output: &Result<T, JoinError> = unsafe { &*raw::output(self.header).cast() };
        let Ok(value) = output else { return self.poll_failed() };
        header.leave_with_value();
        header.set(flags::TAKEN);
        // SAFETY: nobody looks at it again, now that it counts as taken.
        Poll::Ready(Ok(unsafe { std::ptr::read(value) }))
    }
}

impl<T> Task<T> {
    /// Is awaited, and has ended without a value.
    #[inline(never)]
    fn poll_failed(&self) -> Poll<Result<T, JoinError>> {
        let failed = self.take_output();
        let cancelled = matches!(failed, Err(JoinError::Cancelled(_)));
        match self.header().goes_on_outward(cancelled) {
            true => Poll::Pending,
            false => Poll::Ready(failed),
        }
    }
}

impl<T> Drop for Task<T> {
    #[inline]
    fn drop(&mut self) {
        let join = &self.header().join;
        if join.has_forwarded() {
            join.forward(false);
            went_with_its_holder(join.origin(), context::task_id());
        }
        // SAFETY: the handle's reference, on the task's thread.
        unsafe { references::release_handle(self.header) };
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        info::describe(self.header(), f)
    }
}
