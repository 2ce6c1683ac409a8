//! Time: sleeping, limiting how long something may take, ticking.
//!
//! All of it runs on the loop's clock, which is `CLOCK_MONOTONIC` or, under test, a virtual one
//! that jumps to the next timer when nothing else is to be done. [`now`] reads that clock. No
//! kernel timer is used: the loop waits in the kernel until the nearest deadline.
//!
//! A timer never fires early. Timers due at the same moment fire in the order in which they were
//! armed.

pub(crate) mod clock;
mod timeout;
mod timeout_scope;
pub(crate) mod wheel;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;

use crate::context;
use crate::sys::clock::saturating_ns;
pub use timeout::{Elapsed, Timeout, timeout, timeout_at};
pub use timeout_scope::{TimeoutScope, timeout_scope};
use wheel::Entry;

/// What time it is on the loop's clock. Under a virtual clock, use this instead of
/// [`Instant::now`].
///
/// # Panics
///
/// If no loop runs on this thread.
#[doc(alias = "loop.time")]
#[track_caller]
pub fn now() -> Instant {
    context::core("time::now", |core| core.clock.instant(core.clock.now()))
}

pin_project! {
    /// Future of [`sleep`] and [`sleep_until`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct Sleep {
        #[pin]
        entry: Entry,
    }
}

/// Waits for `duration` from now.
///
/// A zero duration still lets other ready tasks run once.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Strict: dropping it takes the timer back.
///
/// # Examples
///
/// ```
/// # use std::time::Duration;
/// uring_loop::run(async {
///     uring_loop::time::sleep(Duration::from_millis(5)).await;
/// })
/// # .unwrap();
/// ```
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    let after = saturating_ns(duration);
    context::core("sleep", |core| Sleep::until(core.clock.now().saturating_add(after)))
}

/// Waits until `deadline` of the loop's clock.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Strict: dropping it takes the timer back.
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    context::core("sleep_until", |core| Sleep::until(core.clock.ns(deadline)))
}

impl Sleep {
    /// Until a moment of the loop's clock, in its nanoseconds.
    pub(crate) fn until(deadline: u64) -> Self {
        Sleep { entry: Entry::at(deadline) }
    }
}

impl Future for Sleep {
    type Output = ();

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let entry = this.entry.as_ref();
        if entry.fired() {
            return Poll::Ready(());
        }
        entry.set_waker(cx.waker());
        if !entry.armed() {
            context::core("sleep", |core| core.timers.arm(entry, entry.deadline()));
        }
        Poll::Pending
    }
}

impl std::fmt::Debug for Sleep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sleep").field("fired", &self.entry.fired()).finish_non_exhaustive()
    }
}

/// Ticks at fixed moments: the first at once, then one per `period`.
///
/// A late tick does not shift the later ones. If whole periods were missed they are skipped, and
/// the next tick comes at the next moment that is a multiple of the period from the start.
///
/// # Panics
///
/// If no loop runs on this thread, or `period` is zero.
///
/// # Examples
///
/// ```
/// # use std::time::Duration;
/// uring_loop::run(async {
///     let mut ticks = uring_loop::time::interval(Duration::from_millis(1));
///     for _ in 0..3 {
///         ticks.tick().await;
///     }
/// })
/// # .unwrap();
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    let period = saturating_ns(period);
    assert!(period > 0, "the period of an interval is more than zero");
    Interval { next: context::core("interval", |core| core.clock.now()), period }
}

/// A ticker, made by [`interval`].
#[derive(Debug)]
pub struct Interval {
    next: u64,
    period: u64,
}

impl Interval {
    /// Waits for the next tick and tells when it was due.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Cancel safety
    ///
    /// Strict: a tick that was not returned is returned by the next call.
    pub async fn tick(&mut self) -> Instant {
        Sleep::until(self.next).await;
        let (now, due) = context::core("Interval::tick", |core| {
            (core.clock.now(), core.clock.instant(self.next))
        });
        let missed = now.saturating_sub(self.next) / self.period;
        self.next = self.next.saturating_add(self.period.saturating_mul(missed + 1));
        due
    }
}
