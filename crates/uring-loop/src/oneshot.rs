//! A value from one thread to another, once; awaited or waited for.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// What both ends share.
///
/// *open*: the sender lives, `value` is empty. *sent*: `value` is there until it is taken.
/// *gone*: the sender was dropped without sending. The receiver may go at any time; a value then
/// goes with the last end.
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    value: Option<T>,
    open: bool,
    waker: Option<Waker>,
}

/// The sending end.
pub(crate) struct Sender<T>(Arc<Shared<T>>);

/// The receiving end: a future of the value, or of `None` if the sender went.
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let state = State { value: None, open: true, waker: None };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
    (Sender(shared.clone()), Receiver(shared))
}

impl<T> Shared<T> {
    fn close(&self, value: Option<T>) {
        let waker = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if !state.open {
                return;
            }
            state.open = false;
            state.value = value;
            state.waker.take()
        };
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Sender<T> {
    pub(crate) fn send(self, value: T) {
        self.0.close(Some(value));
    }

    /// Whether the receiving end is still there.
    pub(crate) fn is_heard(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.close(None);
    }
}

impl<T> Receiver<T> {
    /// Blocks until there is a value or none can come. `Err`: the limit was reached.
    pub(crate) fn wait(self, limit: Option<Duration>) -> Result<Option<T>, Self> {
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.open {
            let waited = match deadline {
                None => self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        drop(state);
                        return Err(self);
                    }
                    self.0
                        .changed
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
            state = waited;
        }
        Ok(state.value.take())
    }
}

impl<T> Future for Receiver<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.open {
            return Poll::Ready(state.value.take());
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver")
    }
}
