//! One value from one side to the other: an answer, a result, the word to begin.
//!
//! The receiver is a future. Either end can tell that the other is gone, and a value that nobody
//! will receive is given back.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::block::{block_on, block_on_for};
use super::lock::{Mutex, lock};
use super::wait::Wait;
use super::waiters::{Seat, Seats as _, poll_locked, wake_all};
use super::{Closed, TryRecvError};
use crate::time::Elapsed;

/// What both ends share.
///
/// *open*: both live, there is no value. *sent*: the sender is gone, the value is there.
/// *closed*: no value is there and none will be: it was taken, or the sender went without
/// sending, or the receiver closed before anything was sent. Who goes takes out what it left behind
/// and drops it outside of the lock.
struct State<T> {
    value: Option<T>,
    /// The sender has not sent and is not gone, and the receiver has not closed.
    open: bool,
    receiver: Seat,
    sender: Seat,
}

impl<T> State<T> {
    /// What the receiver gets, if that is decided.
    fn outcome(&mut self) -> Option<Result<T, Closed>> {
        match self.value.take() {
            Some(value) => Some(Ok(value)),
            None if self.open => None,
            None => Some(Err(Closed(()))),
        }
    }

    /// Whom to wake.
    fn send(&mut self, value: T) -> Result<Option<Waker>, Closed<T>> {
        if !self.open {
            return Err(Closed(value));
        }
        self.value = Some(value);
        Ok(self.end())
    }

    /// The sender's part is over. Whom to wake.
    fn end(&mut self) -> Option<Waker> {
        self.open = false;
        self.receiver.call()
    }

    /// The receiver wants nothing more. Whom to wake.
    fn close(&mut self) -> Option<Waker> {
        self.open = false;
        self.sender.call()
    }
}

/// A channel for one value.
///
/// # Examples
///
/// ```
/// use uring_loop::channel::oneshot;
///
/// let (sender, receiver) = oneshot::channel();
/// let thread = std::thread::spawn(move || sender.send(6 * 7));
/// assert_eq!(uring_loop::run(receiver)?, Ok(42));
/// assert_eq!(thread.join().expect("no panic"), Ok(()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "Future")]
#[doc(alias = "Promise")]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let state =
        State { value: None, open: true, receiver: Seat::default(), sender: Seat::default() };
    let state = Arc::new(Mutex::new(state));
    (Sender { state: state.clone() }, Receiver { state })
}

/// The sending end. Dropping it closes the channel.
pub struct Sender<T> {
    state: Arc<Mutex<State<T>>>,
}

impl<T> Sender<T> {
    /// Sends, without waiting.
    ///
    /// # Errors
    ///
    /// [`Closed`] with the value, if the receiver is gone or has closed the channel.
    #[doc(alias = "set_result")]
    pub fn send(self, value: T) -> Result<(), Closed<T>> {
        let waker = lock(&self.state).send(value)?;
        wake_all(waker);
        Ok(())
    }

    /// Waits until the receiver is gone or has closed the channel: nobody wants the value.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn closed(&mut self) {
        let closed = |state: &mut State<T>| (!state.open).then_some(());
        Wait::new(&self.state, |state| &mut state.sender, closed).await;
    }

    /// Whether the receiver is gone or has closed the channel.
    #[doc(alias = "cancelled")]
    pub fn is_closed(&self) -> bool {
        !lock(&self.state).open
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let waker = lock(&self.state).end();
        wake_all(waker);
    }
}

/// The receiving end: a future of the value. Dropping it closes the channel.
///
/// Ready with [`Closed`] when the sender went without sending, and when it is polled again after it
/// gave the value.
///
/// # Cancel safety
///
/// Strict: awaited by reference (`(&mut receiver).await`), a value that has come stays for the next
/// attempt.
#[must_use = "dropping it tells the sender that nobody wants the value"]
pub struct Receiver<T> {
    state: Arc<Mutex<State<T>>>,
}

impl<T> Receiver<T> {
    /// The value if it has come.
    ///
    /// # Errors
    ///
    /// [`TryRecvError`].
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        match lock(&self.state).outcome() {
            Some(outcome) => outcome.map_err(|Closed(())| TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }

    /// The value, blocking a plain thread until it comes.
    ///
    /// # Errors
    ///
    /// [`Closed`], if the sender went without sending.
    ///
    /// # Panics
    ///
    /// On a thread whose own loop is running: it would stand still.
    #[doc(alias = "wait")]
    #[track_caller]
    pub fn blocking_recv(self) -> Result<T, Closed> {
        block_on("blocking_recv", self)
    }

    /// The value, blocking a plain thread for at most `limit`. What comes later can still be
    /// received.
    ///
    /// # Errors
    ///
    /// The outer: [`Elapsed`], it did not come in time. The inner: [`Closed`], the sender went
    /// without sending.
    ///
    /// # Panics
    ///
    /// As [`blocking_recv`](Self::blocking_recv).
    #[track_caller]
    pub fn blocking_recv_timeout(&mut self, limit: Duration) -> Result<Result<T, Closed>, Elapsed> {
        block_on_for("blocking_recv_timeout", limit, self)
    }

    /// Refuses what was not sent yet. A value that was sent can be received.
    pub fn close(&mut self) {
        let waker = lock(&self.state).close();
        wake_all(waker);
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, Closed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        poll_locked(&self.state, cx, |state, registrant| match state.outcome() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                state.receiver.enter(&mut None, registrant);
                Poll::Pending
            }
        })
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let (waker, own, value) = {
            let mut state = lock(&self.state);
            (state.close(), state.receiver.call(), state.value.take())
        };
        wake_all(waker);
        drop((own, value));
    }
}

/// In words of the life story. What is written to is foreign, so not under the lock.
fn show<T>(state: &Mutex<State<T>>, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let said = {
        let state = lock(state);
        match (&state.value, state.open) {
            (Some(_), _) => "sent",
            (None, true) => "open",
            (None, false) => "closed",
        }
    };
    write!(f, "{name}({said})")
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(&self.state, "Sender", f)
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(&self.state, "Receiver", f)
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::thread;

    use super::*;
    use crate::channel::model::model;

    /// A wake that is lost is a deadlock, which loom reports.
    #[test]
    fn loom_a_value_or_the_lack_of_one_is_never_slept_through() {
        for value in [Some(7), None] {
            model(move || {
                let (sender, receiver) = channel();
                let thread = thread::spawn(move || value.map(|value| sender.send(value)));
                assert_eq!(receiver.blocking_recv().ok(), value);
                assert_eq!(thread.join().expect("no panic"), value.map(|_| Ok(())));
            });
        }
    }

    /// Sent, the value can be received, before the close or after it; refused, it is given back.
    #[test]
    fn loom_a_value_is_received_or_given_back() {
        model(|| {
            let (sender, mut receiver) = channel();
            let thread = thread::spawn(move || sender.send(7));
            receiver.close();
            let received = receiver.try_recv();
            match thread.join().expect("no panic") {
                Ok(()) => assert_eq!(received, Ok(7)),
                Err(Closed(value)) => {
                    assert_eq!((value, received), (7, Err(TryRecvError::Closed)));
                }
            }
        });
    }

    /// The sender waits for the receiver to go, and what it sends then comes back.
    #[test]
    fn loom_a_receiver_that_goes_is_noticed() {
        model(|| {
            let (mut sender, receiver) = channel();
            let thread = thread::spawn(move || drop(receiver));
            block_on("sender.closed", sender.closed());
            assert_eq!(sender.send(7), Err(Closed(7)));
            thread.join().expect("no panic");
        });
    }
}
