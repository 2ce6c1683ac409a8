//! Waiting for all of several futures.

use std::future::{Future, poll_fn};
use std::ops::ControlFlow;
use std::pin::pin;

use super::branches::{Collect, IntoBranches, TryCollect};
use super::side::Side;

/// Polls several futures side by side, in the task that awaits this, until all are ready.
///
/// Takes a tuple of up to 12 futures, an array, or a `Vec`, and gives a tuple, an array or a `Vec`
/// of their outputs. The futures may borrow, and need no task of their own.
///
/// Each is a *branch*. A cancel request that finds something to catch it in some of them drops the
/// others where they wait; once all are over, the request goes on outward, since not all outputs
/// are there. If all that were left have answered with a value, that is the result.
///
/// # Cancel safety
///
/// That of the futures: dropping it drops those that are not ready, and the outputs of the others.
///
/// # Examples
///
/// ```
/// # use std::time::Duration;
/// use uring_loop::time::sleep;
///
/// # uring_loop::testing::run(async {
/// let word = String::from("borrowed");
/// let length = async {
///     sleep(Duration::from_secs(1)).await;
///     word.len()
/// };
/// assert_eq!(uring_loop::join((length, async { 'x' })).await, (8, 'x'));
///
/// let squares = (0..100).map(async |n| n * n).collect::<Vec<_>>();
/// assert_eq!(uring_loop::join(squares).await[7], 49);
/// # })
/// ```
#[doc(alias = "join_all")]
pub fn join<B>(futures: B) -> impl Future<Output = <B::Branches as Collect>::Outputs>
where
    B: IntoBranches<Branches: Collect>,
{
    let side = Side::new(futures.into_branches());
    async move {
        let mut side = pin!(side);
        let mut slots = <B::Branches as Collect>::Slots::default();
        let ended: Option<()> = poll_fn(|cx| {
            side.as_mut().poll(cx, 0, &mut |index, item| {
                <B::Branches as Collect>::put(&mut slots, index, item);
                ControlFlow::Continue(())
            })
        })
        .await;
        debug_assert!(ended.is_none());
        <B::Branches as Collect>::outputs(slots)
    }
}

/// What [`try_join`] gives.
type Tried<B> = Result<<B as TryCollect>::Outputs, <B as TryCollect>::Error>;

/// Polls several futures side by side until all are ready, or one fails.
///
/// As [`join`], for futures that give a `Result`. The first error drops the other futures where
/// they wait; for children that shall clean up, there is [`TaskGroup`](crate::TaskGroup).
///
/// # Errors
///
/// The first error of a branch. It comes before a cancel request that was on its way: that one
/// waits for the next park of the task.
///
/// # Cancel safety
///
/// As [`join`].
///
/// # Examples
///
/// ```
/// # uring_loop::testing::run(async {
/// let parse = async |text: &str| text.parse::<u8>();
/// assert!(uring_loop::try_join((parse("1"), parse("x"))).await.is_err());
/// # })
/// ```
#[doc(alias = "try_join_all")]
pub fn try_join<B>(futures: B) -> impl Future<Output = Tried<B::Branches>>
where
    B: IntoBranches<Branches: TryCollect>,
{
    let side = Side::new(futures.into_branches()).owing();
    async move {
        let mut side = pin!(side);
        let mut slots = <B::Branches as TryCollect>::Slots::default();
        let failed = poll_fn(|cx| {
            side.as_mut().poll(cx, 0, &mut |index, item| match <B::Branches as TryCollect>::put(
                &mut slots, index, item,
            ) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(error),
            })
        })
        .await;
        match failed {
            Some(error) => Err(error),
            None => Ok(<B::Branches as TryCollect>::outputs(slots)),
        }
    }
}
