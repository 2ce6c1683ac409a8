//! Limits on how long something may take. A timeout is an origin of cancel requests.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;

use super::wheel::Entry;
use crate::cancel::{LinkKind, Parked, Scope};
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
    /// A limit: a timer, and the scope that it ends.
    ///
    /// *Active* until its time is over. *Expiring* from the first poll after that: whoever catches
    /// inside is asked, and where nobody does the future is dropped when it next waits. *Expired*
    /// once the future is gone, *finished* if it gave a value before.
    pub(super) struct Limit {
        #[pin]
        scope: Scope,
        #[pin]
        entry: Entry,
    }
}

impl Limit {
    /// One that ends at `deadline`. If that is `due` already, it ends its future at the first park.
    pub(super) fn new(deadline: u64, due: bool) -> Self {
        let entry = Entry::at(deadline);
        if due && !mutant!("a-limit-of-zero-waits") {
            entry.reset(deadline, true);
        }
        Limit { scope: Scope::new(LinkKind::Origin), entry }
    }

    /// The deadline in nanoseconds of the loop's clock.
    pub(super) fn deadline(&self) -> u64 {
        self.entry.deadline()
    }

    pub(super) fn is_expiring(&self) -> bool {
        self.scope.is_ending()
    }

    /// What to call its state while its future is there.
    pub(super) fn state(&self) -> &'static str {
        if self.is_expiring() { "expiring" } else { "active" }
    }

    /// Moves the deadline. It is armed when the future inside next waits.
    pub(super) fn reset(&self, deadline: u64, due: bool) {
        self.entry.reset(deadline, due);
    }

    /// Polls `inner` under this limit, and drops it when it is ready or over.
    pub(super) fn poll<F: Future>(
        self: Pin<&Self>,
        mut inner: Pin<&mut Option<F>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<F::Output, Elapsed>> {
        let this = self.project_ref();
        let (scope, entry) = (this.scope, this.entry);
        if entry.fired() {
            if scope.is_gone() {
                return Poll::Pending;
            }
            scope.end();
        }
        loop {
            let polled = {
                let _entered = scope.enter();
                let inner = inner.as_mut().as_pin_mut();
                inner.expect("a timeout is not polled after it was ready").poll(cx)
            };
            if let Poll::Ready(value) = polled {
                scope.leave_answered();
                entry.disarm();
                inner.set(None);
                return Poll::Ready(Ok(value));
            }
            if !entry.fired() {
                entry.set_waker(cx.waker());
                if !entry.armed() {
                    context::core("timeout", |core| core.timers.arm(entry, entry.deadline()));
                }
                return Poll::Pending;
            }
            match scope.parked() {
                Parked::Drop => return self.expire(inner, cx),
                Parked::Asked => {}
                Parked::Wait => {
                    scope.set_waker(cx.waker());
                    return Poll::Pending;
                }
            }
        }
    }

    /// Drops `inner`, unless something further out is about to do so: then that counts.
    fn expire<F: Future>(
        self: Pin<&Self>,
        mut inner: Pin<&mut Option<F>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<F::Output, Elapsed>> {
        let scope = self.project_ref().scope;
        if scope.is_outranked() && !mutant!("a-foreign-cancel-becomes-elapsed") {
            // Should we survive it, we want to be asked once more.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        scope.drop_inside(|| inner.set(None));
        if scope.hand_on_what_was_inside() {
            return Poll::Pending;
        }
        Poll::Ready(Err(Elapsed))
    }
}

pin_project! {
    /// Future of [`timeout`] and [`timeout_at`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct Timeout<F> {
        #[pin]
        inner: Option<F>,
        #[pin]
        limit: Limit,
    }
}

/// Runs `future` for at most `duration`.
///
/// When the time is over, whoever catches cancels inside of `future` is asked to end
/// ([`catch_cancel`](crate::catch_cancel), an awaited [`Task`](crate::Task)) and may clean up or
/// even go on to a value, which is then the result. Where nobody catches, `future` is dropped.
/// Cancels from outside pass through.
///
/// If the future is ready in the very poll in which the time is over, its value is returned. A
/// limit of zero polls it once: what is not ready by then is dropped where it first waits.
///
/// This is asyncio's `wait_for` as well: a `Task` that is limited is cancelled and its end awaited,
/// and what it answers with counts. To end without a limit, move the limit, or see it,
/// [`timeout_scope`](super::timeout_scope) has a handle.
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
    context::core("timeout", |core| Timeout::new(core.clock.deadline(after), after == 0, future))
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
    context::core("timeout_at", |core| {
        let deadline = core.clock.ns(deadline);
        Timeout::new(deadline, deadline <= core.clock.now(), future)
    })
}

impl<F> Timeout<F> {
    fn new(deadline: u64, due: bool, future: F) -> Self {
        Timeout { inner: Some(future), limit: Limit::new(deadline, due) }
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.limit.as_ref().poll(this.inner, cx)
    }
}

impl<F> fmt::Debug for Timeout<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.inner.is_none() { "over" } else { self.limit.state() };
        f.debug_tuple("Timeout").field(&format_args!("{state}")).finish()
    }
}
