//! Starting tasks, and giving way to others.

use std::future::Future;
use std::panic::Location;
use std::task::Poll;

use super::{Task, failure};
use crate::context;

/// Starts a task on the running loop. It is polled for the first time in its turn, not here.
///
/// The handle may be dropped: the task runs on. A panic in it that nobody takes is reported, and so
/// are errors of some types, and of any with [`Task::report_error`].
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// uring_loop::run(async {
///     let task = uring_loop::spawn(async { 6 * 7 });
///     assert_eq!(task.await.unwrap(), 42);
/// })
/// # .unwrap();
/// ```
#[doc(alias = "create_task")]
#[doc(alias = "ensure_future")]
#[doc(alias = "spawn_local")]
#[track_caller]
pub fn spawn<F>(future: F) -> Task<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let location = Location::caller();
    context::core("spawn", |core| failure::watch(core.spawn(future, location)))
}

/// Starts a task on a loop of this thread, running or not.
///
/// # Panics
///
/// If there is none with this id; 0 is the id of none.
#[track_caller]
pub(crate) fn spawn_at<F>(
    loop_id: u32,
    future: F,
    location: &'static Location<'static>,
) -> Task<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let task = context::with_loop(loop_id, |core| core.spawn(future, location));
    task.expect("a task needs an event loop on this thread: the one it was meant for is gone")
}

/// Starts a task for each future, in order. See [`spawn`].
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use uring_loop::spawn_all;
///
/// uring_loop::run(async {
///     let mut sum = 0;
///     for task in spawn_all((1..=3).map(|n| async move { n * n })) {
///         sum += task.await.unwrap();
///     }
///     assert_eq!(sum, 14);
/// })
/// # .unwrap();
/// ```
#[track_caller]
pub fn spawn_all<I>(futures: I) -> Vec<Task<<I::Item as Future>::Output>>
where
    I: IntoIterator,
    I::Item: Future + 'static,
    <I::Item as Future>::Output: 'static,
{
    let location = Location::caller();
    let start =
        |future| context::core("spawn_all", |core| failure::watch(core.spawn(future, location)));
    futures.into_iter().map(start).collect()
}

/// Starts a task on the running loop and polls it at once, inside of this call; if it does not
/// wait, it is complete when this returns. See [`spawn`].
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// uring_loop::run(async {
///     let task = uring_loop::spawn_eager(async { 6 * 7 });
///     assert!(task.is_done());
/// })
/// # .unwrap();
/// ```
#[doc(alias = "eager_start")]
#[track_caller]
pub fn spawn_eager<F>(future: F) -> Task<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let location = Location::caller();
    context::core("spawn_eager", |core| failure::watch(core.spawn_eager(future, location)))
}

/// Lets every other ready task run once, then goes on.
///
/// # Cancel safety
///
/// Strict: there is nothing to lose.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}
