//! A limit with a handle: it can be moved, taken away, and looked at from inside.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;

use super::Elapsed;
use super::timeout::Limit;
use crate::context;
use crate::sys::clock::saturating_ns;

/// The deadline of a limit that never ends: the clock does not get there.
const NEVER: u64 = u64::MAX;

pin_project! {
    /// The handle that [`timeout_scope`] gives to its body.
    pub struct TimeoutScope {
        #[pin]
        limit: Limit,
    }
}

/// Runs `body` for at most `limit`, or without a limit if that is `None`, and gives it a handle to
/// move the limit.
///
/// What happens when the time is over is said at [`timeout`](super::timeout). A limit of zero ends
/// the body where it first waits.
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
/// That of the body.
///
/// # Examples
///
/// ```
/// # use std::time::Duration;
/// use uring_loop::time::{now, sleep, timeout_scope};
///
/// const SECOND: Duration = Duration::from_secs(1);
/// # uring_loop::testing::run(async {
/// // Every sign of life earns another second.
/// let ended = timeout_scope(SECOND, async |scope| {
///     for _ in 0..10 {
///         sleep(SECOND / 2).await;
///         scope.reschedule(Some(now() + SECOND))?;
///     }
///     scope.reschedule(None)?; // no limit from here on
///     sleep(10 * SECOND).await;
///     Ok("finished")
/// });
/// assert_eq!(ended.await.and_then(|ended| ended), Ok("finished"));
/// # })
/// ```
#[track_caller]
pub fn timeout_scope<T, B>(
    limit: impl Into<Option<Duration>>,
    body: B,
) -> impl Future<Output = Result<T, Elapsed>>
where
    B: AsyncFnOnce(&TimeoutScope) -> T,
{
    let after = limit.into().map(saturating_ns);
    let deadline = context::core("timeout_scope", |core| {
        after.map_or(NEVER, |after| core.clock.deadline(after))
    });
    async move {
        let scope = pin!(TimeoutScope { limit: Limit::new(deadline, after == Some(0)) });
        let scope = scope.as_ref();
        let mut body = pin!(Some(body(scope.get_ref())));
        poll_fn(|cx| scope.project_ref().limit.poll(body.as_mut(), cx)).await
    }
}

impl TimeoutScope {
    /// Moves the deadline; `None` takes the limit away. A deadline that has passed ends the body
    /// where it next waits.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] if the time is over already: the body has been asked to end, and that is not
    /// taken back.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub fn reschedule(&self, deadline: Option<Instant>) -> Result<(), Elapsed> {
        if self.expired() {
            return Err(Elapsed);
        }
        let (deadline, due) = match deadline {
            None => (NEVER, false),
            Some(deadline) => context::core("TimeoutScope::reschedule", |core| {
                let deadline = core.clock.ns(deadline);
                (deadline, deadline <= core.clock.now())
            }),
        };
        self.limit.reset(deadline, due);
        Ok(())
    }

    /// The deadline, if there is one.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub fn when(&self) -> Option<Instant> {
        let deadline = self.limit.deadline();
        let instant =
            |core: &crate::turn::Core| (deadline != NEVER).then(|| core.clock.instant(deadline));
        context::core("TimeoutScope::when", instant)
    }

    /// Whether the time is over: the body was asked to end.
    pub fn expired(&self) -> bool {
        self.limit.is_expiring()
    }
}

impl fmt::Debug for TimeoutScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TimeoutScope").field(&format_args!("{}", self.limit.state())).finish()
    }
}
