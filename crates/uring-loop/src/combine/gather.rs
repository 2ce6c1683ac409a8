//! Gathering the results of many tasks of one type.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::gathering::{All, Gathering, Settled, TryAll};
use super::in_task::{IntoTask, sealed};
use crate::task::{JoinError, Task};

/// Waits for all tasks and gives their values, in the order of the arguments.
///
/// It takes tasks, those of a [`TaskGroup`](crate::TaskGroup) too, and gatherings. Futures are
/// given to [`spawn_all`](crate::spawn_all) first, or to the macro: `gather!(..futures)`, see
/// [`gather!`](macro@crate::gather).
///
/// If a task panics or is cancelled by somebody, that is the result, at once; the others run on,
/// and nobody hears how they end. An output that is an `Err` is a value here; see [`try_gather`].
/// Without tasks it is done at once.
///
/// If the awaiting task is asked to end meanwhile, every task that is not done is asked, and all
/// are waited for. If one of them ends cancelled, so does the awaiter. *Dropping* it is dropping
/// the handles: the tasks run on.
///
/// Not awaited, it does nothing but hold the handles. [`Gather::into_task`] makes a task of it,
/// which has callbacks, and can be cancelled and looked at.
///
/// # Errors
///
/// Of the first task that panicked or was cancelled.
///
/// # Cancel safety
///
/// Weak: the results are lost, for the handles of the tasks are in it.
///
/// # Examples
///
/// ```
/// use uring_loop::{gather, spawn, spawn_all};
///
/// async fn square(n: u32) -> u32 {
///     n * n
/// }
///
/// uring_loop::run(async {
///     let squares = gather((1..=3).map(|n| spawn(square(n)))).await.unwrap();
///     assert_eq!(squares, [1, 4, 9]);
///     assert_eq!(gather(spawn_all((1..=3).map(square))).await.unwrap(), [1, 4, 9]);
///     assert_eq!(gather!(..(1..=3).map(square)).await.unwrap(), [1, 4, 9]);
/// })
/// # .unwrap();
/// ```
#[doc(alias = "join_all")]
#[doc(alias = "asyncio.gather")]
pub fn gather<T>(tasks: impl IntoIterator<Item: IntoTask<Output = T>>) -> Gather<T> {
    Gather { gathering: Gathering::new(All(all(tasks))) }
}

/// Waits for all tasks, whose outputs are results, and gives their values, in the order of the
/// arguments. The first error is the result, at once; the others run on.
///
/// In all else as [`gather`].
///
/// # Errors
///
/// The first error of a task, or that the task panicked or was cancelled.
///
/// # Cancel safety
///
/// Weak: the results are lost, for the handles of the tasks are in it.
///
/// # Examples
///
/// ```
/// use std::io;
/// use uring_loop::{spawn_all, try_gather};
///
/// async fn parse(text: &'static str) -> io::Result<u32> {
///     text.parse().map_err(io::Error::other)
/// }
///
/// # fn main() -> io::Result<()> {
/// uring_loop::run(async {
///     let numbers = try_gather(spawn_all(["1", "2"].map(parse))).await?;
///     assert_eq!(numbers, [1, 2]);
///     assert!(try_gather(spawn_all(["1", "two"].map(parse))).await.is_err());
///     Ok(())
/// })?
/// # }
/// ```
#[doc(alias = "try_join_all")]
pub fn try_gather<T, E>(
    tasks: impl IntoIterator<Item: IntoTask<Output = Result<T, E>>>,
) -> TryGather<T, E> {
    TryGather { gathering: Gathering::new(TryAll(all(tasks))) }
}

/// Waits for all tasks and tells what each came to, in the order of the arguments.
///
/// As asyncio's `gather(return_exceptions=True)`: no error ends it early. In all else as
/// [`gather`]; in particular, if the awaiting task was asked to end and a task ended cancelled by
/// that, the awaiter ends cancelled too.
///
/// # Cancel safety
///
/// Weak: the results are lost, for the handles of the tasks are in it.
///
/// # Examples
///
/// ```
/// use uring_loop::{gather_settled, spawn_all};
///
/// uring_loop::run(async {
///     let halves = [4, 0].map(|n| async move { 100 / n });
///     let settled = gather_settled(spawn_all(halves)).await;
///     assert_eq!(*settled[0].as_ref().unwrap(), 25);
///     assert!(settled[1].as_ref().unwrap_err().is_panic());
/// })
/// # .unwrap();
/// ```
#[doc(alias = "return_exceptions")]
pub fn gather_settled<T>(tasks: impl IntoIterator<Item: IntoTask<Output = T>>) -> GatherSettled<T> {
    GatherSettled { gathering: Gathering::new(Settled(all(tasks))) }
}

fn all<T>(tasks: impl IntoIterator<Item: IntoTask<Output = T>>) -> Vec<Task<T>> {
    tasks.into_iter().map(IntoTask::into_task).collect()
}

pin_project! {
    /// Future of [`gather`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct Gather<T> {
        #[pin]
        gathering: Gathering<All<Vec<Task<T>>>>,
    }
}

pin_project! {
    /// Future of [`try_gather`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct TryGather<T, E> {
        #[pin]
        gathering: Gathering<TryAll<Vec<Task<Result<T, E>>>>>,
    }
}

pin_project! {
    /// Future of [`gather_settled`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct GatherSettled<T> {
        #[pin]
        gathering: Gathering<Settled<Vec<Task<T>>>>,
    }
}

impl<T: 'static> Gather<T> {
    /// Gathers in a task of its own, from now on, on the loop of its tasks.
    ///
    /// The task gives the values, and ends as the gathered task that failed: with its panic, or
    /// cancelled. So its callbacks ([`Task::on_done`]) see what awaiting this would give. To cancel
    /// it is to cancel what is gathered. Dropping its handle detaches it, and it gathers on.
    ///
    /// # Panics
    ///
    /// If the loop of the tasks is gone; without tasks, if no loop runs on this thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use uring_loop::{gather, spawn_all};
    ///
    /// uring_loop::run(async {
    ///     let all = gather(spawn_all((1..=3).map(|n| async move { n * n }))).into_task();
    ///     all.on_done(|squares| assert_eq!(squares.as_deref().unwrap(), [1, 4, 9]));
    ///     assert_eq!(all.await.unwrap(), [1, 4, 9]);
    /// })
    /// # .unwrap();
    /// ```
    #[doc(alias = "add_done_callback")]
    #[track_caller]
    pub fn into_task(self) -> Task<Vec<T>> {
        self.gathering.into_task()
    }
}

impl<T: 'static, E: 'static> TryGather<T, E> {
    /// Gathers in a task of its own, whose output is a result, as that of the gathered ones. In all
    /// else as [`Gather::into_task`].
    ///
    /// # Panics
    ///
    /// As [`Gather::into_task`].
    #[track_caller]
    pub fn into_task(self) -> Task<Result<Vec<T>, E>> {
        self.gathering.into_task()
    }
}

impl<T: 'static> GatherSettled<T> {
    /// Gathers in a task of its own. See [`Gather::into_task`].
    ///
    /// # Panics
    ///
    /// As [`Gather::into_task`].
    #[track_caller]
    pub fn into_task(self) -> Task<Vec<Result<T, JoinError>>> {
        self.gathering.into_task()
    }
}

impl<T> sealed::Sealed for Gather<T> {}
impl<T, E> sealed::Sealed for TryGather<T, E> {}
impl<T> sealed::Sealed for GatherSettled<T> {}

impl<T: 'static> IntoTask for Gather<T> {
    type Output = Vec<T>;

    #[track_caller]
    fn into_task(self) -> Task<Vec<T>> {
        self.into_task()
    }
}

impl<T: 'static, E: 'static> IntoTask for TryGather<T, E> {
    type Output = Result<Vec<T>, E>;

    #[track_caller]
    fn into_task(self) -> Task<Result<Vec<T>, E>> {
        self.into_task()
    }
}

impl<T: 'static> IntoTask for GatherSettled<T> {
    type Output = Vec<Result<T, JoinError>>;

    #[track_caller]
    fn into_task(self) -> Task<Vec<Result<T, JoinError>>> {
        self.into_task()
    }
}

impl<T> Future for Gather<T> {
    type Output = Result<Vec<T>, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().gathering.poll(cx)
    }
}

impl<T, E> Future for TryGather<T, E> {
    type Output = Result<Vec<T>, GatherError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().gathering.poll(cx)
    }
}

impl<T> Future for GatherSettled<T> {
    type Output = Vec<Result<T, JoinError>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().gathering.poll(cx)
    }
}

impl<T> fmt::Debug for Gather<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gather({} left)", self.gathering.left())
    }
}

impl<T, E> fmt::Debug for TryGather<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TryGather({} left)", self.gathering.left())
    }
}

impl<T> fmt::Debug for GatherSettled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GatherSettled({} left)", self.gathering.left())
    }
}

/// Why [`try_gather`] has no values.
#[derive(Debug)]
pub enum GatherError<E> {
    /// A task gave this error.
    Failed(E),
    /// A task panicked or was cancelled.
    Join(JoinError),
}

impl<E> From<JoinError> for GatherError<E> {
    fn from(error: JoinError) -> Self {
        GatherError::Join(error)
    }
}

impl<E: fmt::Display> fmt::Display for GatherError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GatherError::Failed(error) => error.fmt(f),
            GatherError::Join(error) => error.fmt(f),
        }
    }
}

impl<E: Error> Error for GatherError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            GatherError::Failed(error) => error.source(),
            GatherError::Join(error) => error.source(),
        }
    }
}

impl<E: Into<io::Error>> From<GatherError<E>> for io::Error {
    fn from(error: GatherError<E>) -> Self {
        match error {
            GatherError::Failed(error) => error.into(),
            GatherError::Join(error) => error.into(),
        }
    }
}
