//! L3: a result that somebody else sets: asyncio's Future.
//!
//! Here are the handle and its errors. `shared.rs` has the state behind all handles and who waits
//! for it, `settled.rs` the futures that wait, `bridge.rs` the ways from and to other futures and
//! other threads, `unseen.rs` the errors that nobody looks at.

mod bridge;
mod error;
mod settled;
mod shared;
mod unseen;

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

pub use bridge::{PromiseSetter, RemotePromise};
pub use error::{InvalidState, PromiseError};
pub use settled::Settled;

use crate::task::callbacks::DoneCallback;
use shared::{Key, Shared};
pub(crate) use unseen::FailedPromises;

/// A result that is set once, by anybody who has a handle, and awaited by as many as like.
///
/// It bridges what calls back and what awaits: hand a clone to the callback, await the other. All
/// handles (`clone` is cheap) are one promise. It is *pending*, then *finished* with a value or an
/// error, or *cancelled*; what it is then it stays.
///
/// Awaiting works as iterating a collection does: `promise.await` takes the handle and gives a
/// value of your own, a clone; `(&promise).await` borrows, gives references, and so works for
/// values that are not `Clone`. Such a value is moved out by [`into_inner`](Self::into_inner) of
/// the last handle. A promise that cannot fail is a `Promise<T>`: its `E` is [`Infallible`].
///
/// Both work with `?`, where the function gives an `io::Result` or the [`PromiseError`] itself. By
/// reference, `?` gives a `&T`; to have a value of your own and keep the promise, say
/// `promise.clone().await?`.
///
/// A cancelled promise gives [`PromiseError::Cancelled`] to whoever awaits it; it does not cancel
/// them. A task that is cancelled while it awaits a promise leaves the promise as it is, since
/// others may wait for it.
///
/// It belongs to a thread, not to a loop. If it fails and nobody looks at the error, that is
/// reported when the last handle goes, at the latest when the loop does.
///
/// # Cancel safety
///
/// Strict: dropping a wait loses nothing.
///
/// # Examples
///
/// ```
/// use uring_loop::{Promise, spawn};
///
/// uring_loop::run(async {
///     let promise: Promise<u32> = Promise::new();
///     let setter = promise.clone();
///     let task = spawn(async move { setter.set_result(42).unwrap() });
///     assert_eq!((&promise).await, Ok(&42)); // by reference
///     assert_eq!(promise.await, Ok(42)); // by value
///     task.await.unwrap();
/// })
/// # .unwrap();
/// ```
#[doc(alias = "Future")]
#[doc(alias = "asyncio.Future")]
#[doc(alias = "create_future")]
pub struct Promise<T, E = Infallible> {
    shared: Rc<Shared<T, E>>,
    /// The place of this handle among those who wait, if it was polled.
    key: Cell<Option<Key>>,
}

impl<T: 'static, E: 'static> Promise<T, E> {
    /// A pending promise.
    #[track_caller]
    pub fn new() -> Self {
        Promise::of(Rc::new(Shared::new(Location::caller())))
    }

    /// Finishes it with a value.
    ///
    /// # Errors
    ///
    /// [`InvalidState`] if it is done already; the value comes back in it.
    pub fn set_result(&self, value: T) -> Result<(), InvalidState<T>> {
        match self.shared.settle(Ok(value)) {
            Err(Ok(value)) => Err(InvalidState::done(value)),
            _ => Ok(()),
        }
    }

    /// Finishes it with an error. If nobody looks at the error, it is reported to the exception
    /// handler when the last handle goes, or the loop that runs now.
    ///
    /// # Errors
    ///
    /// [`InvalidState`] if it is done already; the error comes back in it.
    #[doc(alias = "set_exception")]
    pub fn set_error(&self, error: E) -> Result<(), InvalidState<E>>
    where
        E: fmt::Debug,
    {
        match self.shared.settle(Err(PromiseError::Failed(error))) {
            Err(Err(PromiseError::Failed(error))) => Err(InvalidState::done(error)),
            _ => {
                self.shared.report_unseen_by(|error| format!("{error:?}"));
                Ok(())
            }
        }
    }

    /// Cancels it, if it is pending: who awaits it gets [`PromiseError::Cancelled`]. Callbacks are
    /// scheduled, not called. `false`: it was done already; an error in it then counts as seen.
    pub fn cancel(&self) -> bool {
        let cancelled = self.shared.settle(Err(PromiseError::Cancelled)).is_ok();
        self.shared.mark_seen();
        cancelled
    }

    /// Whether it is finished or cancelled.
    #[doc(alias = "done")]
    pub fn is_done(&self) -> bool {
        self.shared.outcome().is_some()
    }

    /// Whether it was cancelled.
    #[doc(alias = "cancelled")]
    pub fn is_cancelled(&self) -> bool {
        matches!(self.shared.outcome(), Some(Err(PromiseError::Cancelled)))
    }

    /// What it came to, without waiting.
    ///
    /// # Errors
    ///
    /// The outer: [`InvalidState`], it is pending. The inner: it failed or was cancelled.
    pub fn result(&self) -> Result<Result<&T, &PromiseError<E>>, InvalidState> {
        let outcome = self.shared.outcome().ok_or_else(InvalidState::pending)?;
        self.shared.mark_seen();
        Ok(outcome.as_ref())
    }

    /// Why it has no value, without waiting. `None`: it has one.
    ///
    /// # Errors
    ///
    /// [`InvalidState`]: it is pending.
    #[doc(alias = "exception")]
    pub fn error(&self) -> Result<Option<&PromiseError<E>>, InvalidState> {
        self.result().map(Result::err)
    }

    /// Moves the outcome out of the last handle. `None`: it is pending, or there are other
    /// handles.
    pub fn into_inner(self) -> Option<Result<T, PromiseError<E>>> {
        let shared = self.shared.clone();
        drop(self);
        Rc::into_inner(shared)?.into_outcome()
    }

    /// Waits until it is done and gives references. `(&promise).await` is short for it.
    ///
    /// # Errors
    ///
    /// [`PromiseError`]: it failed or was cancelled.
    ///
    /// # Cancel safety
    ///
    /// Strict: dropping it loses nothing.
    pub fn settled(&self) -> Settled<'_, T, E> {
        Settled::new(self)
    }

    /// Has `callback` called with this promise when it is done: by the loop, never from within
    /// `set_result`. Callbacks and awaiting tasks have their turn in the order in which they came.
    /// On a promise that is done it is called in the next round of ready tasks.
    ///
    /// It is called by the loop that runs now; if none runs, by the one that runs when the promise
    /// is settled, or that awaits it next. A callback that cannot run any more, since the promise
    /// was dropped pending or the loop is gone, is dropped.
    ///
    /// A callback needs no handle of its own. One that keeps a clone keeps a promise that is never
    /// settled from being freed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc};
    /// use uring_loop::{Promise, yield_now};
    ///
    /// uring_loop::run(async {
    ///     let (promise, seen) = (Promise::<u32>::new(), Rc::new(Cell::new(0)));
    ///     let into = seen.clone();
    ///     promise.on_done(move |promise| into.set(*promise.result().unwrap().unwrap()));
    ///     promise.set_result(7).unwrap();
    ///     assert_eq!(seen.get(), 0, "not within set_result");
    ///     yield_now().await;
    ///     assert_eq!(seen.get(), 7);
    /// })
    /// # .unwrap();
    /// ```
    #[doc(alias = "add_done_callback")]
    #[track_caller]
    pub fn on_done(&self, callback: impl FnOnce(&Promise<T, E>) + 'static) -> DoneCallback {
        self.shared.on_done(Box::new(callback))
    }

    /// Takes a callback back. `false`: the promise is done, or it is not one of its callbacks.
    pub fn remove_done_callback(&self, callback: DoneCallback) -> bool {
        self.shared.remove_callback(callback)
    }
}

impl<T, E> Promise<T, E> {
    fn of(shared: Rc<Shared<T, E>>) -> Self {
        Promise { shared, key: Cell::new(None) }
    }
}

impl<T: 'static, E: 'static> Default for Promise<T, E> {
    #[track_caller]
    fn default() -> Self {
        Promise::new()
    }
}

impl<T, E> Clone for Promise<T, E> {
    fn clone(&self) -> Self {
        Promise::of(self.shared.clone())
    }
}

impl<T, E> Drop for Promise<T, E> {
    fn drop(&mut self) {
        self.shared.leave(self.key.get());
    }
}

impl<T, E> fmt::Debug for Promise<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.shared.outcome() {
            None => "pending",
            Some(Ok(_)) => "finished",
            Some(Err(PromiseError::Failed(_))) => "failed",
            Some(Err(PromiseError::Cancelled)) => "cancelled",
        };
        write!(f, "<Promise {state} made at {}", self.shared.made_at())?;
        match self.shared.waiting() {
            0 => f.write_str(">"),
            count => write!(f, " waiting={count}>"),
        }
    }
}
