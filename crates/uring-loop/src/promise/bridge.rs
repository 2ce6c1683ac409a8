//! Promises and the world: other futures, other threads, other executors.
//!
//! What crosses is a [`oneshot`](crate::channel::oneshot), and on the loop's side a small task, the
//! *relay*, that waits for either end. The promise itself never leaves its thread.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use super::{Promise, PromiseError};
use crate::channel::oneshot::{self, Receiver, Sender};
use crate::context;
use crate::task::spawn;

/// Whoever waits for a promise whose relay goes away shall not wait for ever.
struct CancelOnDrop<T: 'static, E: 'static>(Promise<T, E>);

impl<T: 'static, E: 'static> Drop for CancelOnDrop<T, E> {
    fn drop(&mut self) {
        if !self.0.is_done() {
            self.0.cancel();
        }
    }
}

impl<T: 'static, E: 'static> Promise<T, E> {
    /// What `future` gives, or `None` if the promise is done first.
    async fn before_done<F: Future>(&self, future: F) -> Option<F::Output> {
        let settled = self.settled();
        let mut future = pin!(future);
        poll_fn(|cx| match settled.poll_unseen(cx) {
            true => Poll::Ready(None),
            false => future.as_mut().poll(cx).map(Some),
        })
        .await
    }
}

impl<T: 'static, E: fmt::Debug + 'static> Promise<T, E> {
    /// A promise of what `future` gives: it is driven by a task of its own.
    ///
    /// Cancelling the promise drops the future. A future that panics, or is dropped with its loop,
    /// leaves the promise cancelled. A future that cannot fail is given as
    /// `async { Ok(future.await) }`.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io;
    /// use uring_loop::{Promise, unblock};
    ///
    /// uring_loop::run(async {
    ///     let kernel = Promise::from_future(async {
    ///         unblock(|| std::fs::read_to_string("/proc/sys/kernel/ostype")).await?
    ///     });
    ///     kernel.on_done(|promise| println!("it is {promise:?}"));
    ///     assert_eq!((&kernel).await.unwrap().trim(), "Linux");
    ///     # let _: &Promise<String, io::Error> = &kernel;
    /// })
    /// # .unwrap();
    /// ```
    #[doc(alias = "wrap_future")]
    #[track_caller]
    pub fn from_future<F>(future: F) -> Self
    where
        F: Future<Output = Result<T, E>> + 'static,
    {
        context::core("Promise::from_future", |_| ());
        let promise = Promise::new();
        let relay = CancelOnDrop(promise.clone());
        drop(spawn(async move {
            let outcome = relay.0.before_done(future).await;
            relay.0.set_unless_done(outcome);
        }));
        promise
    }

    /// Who came first has settled it; what came later is dropped.
    fn set_unless_done(&self, outcome: Option<Result<T, E>>) {
        match outcome {
            Some(Ok(value)) => drop(self.set_result(value)),
            Some(Err(error)) => drop(self.set_error(error)),
            None => (),
        }
    }

    /// A setter for another thread.
    ///
    /// If it is dropped without a result, the promise is cancelled; nobody waits in vain.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use uring_loop::Promise;
    ///
    /// uring_loop::run(async {
    ///     let promise: Promise<u32> = Promise::new();
    ///     let setter = promise.setter();
    ///     std::thread::spawn(move || setter.set_result(42));
    ///     assert_eq!(promise.await, Ok(42));
    /// })
    /// # .unwrap();
    /// ```
    #[track_caller]
    pub fn setter(&self) -> PromiseSetter<T, E>
    where
        T: Send,
        E: Send,
    {
        context::core("Promise::setter", |_| ());
        let (sender, receiver) = oneshot::channel();
        let relay = CancelOnDrop(self.clone());
        drop(spawn(async move {
            let received = relay.0.before_done(receiver).await;
            relay.0.set_unless_done(received.and_then(Result::ok));
        }));
        PromiseSetter { sender }
    }

    /// The receiving side for another thread or executor: a clone of the outcome goes there.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub fn remote(&self) -> RemotePromise<T, E>
    where
        T: Clone + Send,
        E: Clone + Send,
    {
        context::core("Promise::remote", |_| ());
        let (sender, receiver) = oneshot::channel();
        let (cancel, cancelled) = oneshot::channel();
        let promise = self.clone();
        drop(spawn(async move {
            // `Some(Err(_))`: the remote end is gone.
            let asked = promise.before_done(cancelled).await;
            if asked == Some(Ok(())) {
                promise.cancel();
            }
            if promise.is_done() {
                drop(sender.send(promise.await));
            }
        }));
        RemotePromise { receiver, cancel: Some(cancel) }
    }
}

/// Sets a promise from any thread. Made by [`Promise::setter`].
///
/// Dropping it without a result cancels the promise.
#[must_use = "dropping a setter cancels its promise"]
pub struct PromiseSetter<T, E> {
    sender: Sender<Result<T, E>>,
}

impl<T, E> PromiseSetter<T, E> {
    /// Finishes the promise with a value. It is dropped if the promise is done already, or its
    /// loop gone.
    pub fn set_result(self, value: T) {
        drop(self.sender.send(Ok(value)));
    }

    /// Finishes the promise with an error. It is dropped if the promise is done already, or its
    /// loop gone.
    #[doc(alias = "set_exception")]
    pub fn set_error(self, error: E) {
        drop(self.sender.send(Err(error)));
    }

    /// Cancels the promise.
    pub fn cancel(self) {}

    /// Whether a result is still wanted: `false` soon after the promise was cancelled or settled
    /// by somebody else, or its loop has gone.
    pub fn is_wanted(&self) -> bool {
        !self.sender.is_closed()
    }
}

impl<T, E> fmt::Debug for PromiseSetter<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PromiseSetter").field("wanted", &self.is_wanted()).finish()
    }
}

/// A promise as seen from another thread: await it under any executor, or block on it. Made by
/// [`Promise::remote`].
///
/// If the loop goes first, it gives [`PromiseError::Cancelled`]. Dropping it leaves the promise as
/// it is.
///
/// # Cancel safety
///
/// Strict: it may be polled by reference, and dropping it changes nothing on the loop.
#[must_use = "it does nothing unless awaited or waited for"]
pub struct RemotePromise<T, E> {
    receiver: Receiver<Result<T, PromiseError<E>>>,
    cancel: Option<Sender<()>>,
}

impl<T, E> RemotePromise<T, E> {
    /// Asks the loop to cancel the promise; it may be done first.
    pub fn cancel(&mut self) {
        if let Some(cancel) = self.cancel.take() {
            // The promise may be gone by now.
            let _ = cancel.send(());
        }
    }

    /// Blocks this thread until the promise is done.
    ///
    /// # Errors
    ///
    /// [`PromiseError`]: it failed or was cancelled, or its loop is gone.
    ///
    /// # Panics
    ///
    /// On a thread whose own loop is running: it would stand still. Await it there.
    #[track_caller]
    pub fn wait(self) -> Result<T, PromiseError<E>> {
        refuse_on_a_loop();
        self.receiver.blocking_recv().unwrap_or(Err(PromiseError::Cancelled))
    }

    /// Blocks this thread for at most `limit`.
    ///
    /// # Errors
    ///
    /// The outer: the time was over, and here is the promise again.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn wait_timeout(mut self, limit: Duration) -> Result<Result<T, PromiseError<E>>, Self> {
        refuse_on_a_loop();
        match self.receiver.blocking_recv_timeout(limit) {
            Ok(received) => Ok(received.unwrap_or(Err(PromiseError::Cancelled))),
            Err(_) => Err(self),
        }
    }
}

#[track_caller]
fn refuse_on_a_loop() {
    assert!(
        context::loop_id() == 0,
        "waiting for a promise would stop the loop that runs on this thread: await it"
    );
}

impl<T, E> Future for RemotePromise<T, E> {
    type Output = Result<T, PromiseError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let received = Pin::new(&mut self.receiver).poll(cx);
        received.map(|outcome| outcome.unwrap_or(Err(PromiseError::Cancelled)))
    }
}

impl<T, E> fmt::Debug for RemotePromise<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RemotePromise")
    }
}
