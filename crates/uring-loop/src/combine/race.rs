//! Waiting for the first of several futures.

use std::future::{Future, poll_fn};
use std::ops::ControlFlow;
use std::pin::pin;

use super::branches::{Branches as _, IntoBranches, Uniform};
use super::side::Side;

/// Polls several futures side by side until one is ready, and drops the others.
///
/// Takes a tuple, an array or a `Vec` of futures with one type of output. Of several that are ready
/// at the same time the first one wins. Operations of this crate that lose are dropped, and say
/// under *Cancel safety* what that means for them.
///
/// Each is a *branch*: a cancel request that finds something to catch it in some of them drops the
/// others. If one of those that clean up answers with a value, that is the result; if none does,
/// the request goes on outward when all are over.
///
/// # Panics
///
/// If there is no future at all, which would wait for ever.
///
/// # Cancel safety
///
/// That of the futures.
///
/// # Examples
///
/// ```
/// # use std::time::Duration;
/// use uring_loop::time::sleep;
///
/// # uring_loop::testing::run(async {
/// let after = async |seconds| {
///     sleep(Duration::from_secs(seconds)).await;
///     seconds
/// };
/// assert_eq!(uring_loop::race((after(7), after(2), after(5))).await, 2);
/// # })
/// ```
#[doc(alias = "select_all")]
#[track_caller]
pub fn race<B>(futures: B) -> impl Future<Output = <B::Branches as Uniform>::Output>
where
    B: IntoBranches<Branches: Uniform>,
{
    let branches = futures.into_branches();
    assert!(branches.count() > 0, "a race without a future would never end");
    let side = Side::new(branches);
    async move {
        let mut side = pin!(side);
        let first = poll_fn(|cx| {
            side.as_mut().poll(cx, 0, &mut |_, item| {
                ControlFlow::Break(<B::Branches as Uniform>::output(item))
            })
        });
        first.await.expect("a branch breaks off with its output")
    }
}
