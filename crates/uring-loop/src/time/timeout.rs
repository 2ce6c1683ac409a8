//! Limits on how long something may take. A timeout is an origin of cancel requests.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;

use super::wheel::Entry;
use crate::cancel::{LinkKind, Scope};
use crate::context;
use crate::sys::clock::saturating_ns;

/// The time was over before the future was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time limit was reached")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}

pin_project! {
    /// Future of [`timeout`] and [`timeout_at`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct Timeout<F> {
        #[pin]
        inner: Option<F>,
        #[pin]
        scope: Scope,
        #[pin]
        entry: Entry,
        requested: bool,
    }
}

/// Runs `future` for at most `duration`.
///
/// When the time is over, whoever catches cancels inside of `future` is asked to end
/// ([`catch_cancel`](crate::catch_cancel), an awaited [`Task`](crate::Task)) and may clean up or
/// even go on to a value, which is then the result. Where nobody catches, `future` is dropped.
/// Cancels from outside pass through.
///
/// If the future is ready in the very poll in which the time is over, its value is returned.
///
/// # Errors
///
/// [`Elapsed`], which converts into an `io::Error` of kind `TimedOut`.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// That of `future`.
///
/// # Examples
///
/// ```
/// # use std::time::Duration;
/// use uring_loop::time::{Elapsed, sleep, timeout};
///
/// uring_loop::run(async {
///     let slow = sleep(Duration::from_secs(3600));
///     assert_eq!(timeout(Duration::from_millis(5), slow).await, Err(Elapsed));
/// })
/// # .unwrap();
/// ```
#[doc(alias = "wait_for")]
#[track_caller]
pub fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    let after = saturating_ns(duration);
    context::core("timeout", |core| Timeout::new(core.clock.deadline(after), future))
}

/// Runs `future` until `deadline` of the loop's clock at most. See [`timeout`].
///
/// # Errors
///
/// [`Elapsed`].
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// That of `future`.
#[track_caller]
pub fn timeout_at<F: Future>(deadline: Instant, future: F) -> Timeout<F> {
    context::core("timeout_at", |core| Timeout::new(core.clock.ns(deadline), future))
}

impl<F> Timeout<F> {
    fn new(deadline: u64, future: F) -> Self {
        Timeout {
            inner: Some(future),
            scope: Scope::new(LinkKind::Origin),
            entry: Entry::at(deadline),
            requested: false,
        }
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let scope = this.scope.as_ref();
        let polled = {
            let _entered = scope.enter();
            let inner = this.inner.as_mut().as_pin_mut();
            inner.expect("a Timeout is not polled after it was ready").poll(cx)
        };
        if let Poll::Ready(value) = polled {
            scope.leave();
            this.entry.disarm();
            this.inner.set(None);
            return Poll::Ready(Ok(value));
        }
        let entry = this.entry.as_ref();
        let newly = entry.fired() && !std::mem::replace(this.requested, entry.fired());
        if scope.must_drop() || (newly && !scope.request()) {
            {
                let _entered = scope.enter();
                this.inner.set(None);
            }
            scope.leave();
            this.entry.disarm();
            return Poll::Ready(Err(Elapsed));
        }
        entry.set_waker(cx.waker());
        if *this.requested {
            scope.set_waker(cx.waker());
        }
        if !entry.armed() && !entry.fired() {
            context::core("timeout", |core| core.timers.arm(entry, entry.deadline()));
        }
        Poll::Pending
    }
}

impl<F> fmt::Debug for Timeout<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout").field("expired", &self.entry.fired()).finish_non_exhaustive()
    }
}
