//! Gathering a few tasks and futures of different types: the macros, and the tuples behind them.

use std::future::Future;

use super::gather::GatherError;
use super::gathering::{All, Gathering, Settled, TryAll};
use super::in_task::{Gathered, IntoTask};
use super::members::{self, Members, TryMembers};
use crate::task::collect::Member;
use crate::task::{JoinError, Task, spawn, spawn_all};

/// Waits for a few futures and tasks of different types, which run side by side, and gives a tuple
/// of their values. A future is spawned, in order; a [`Task`](crate::Task) is taken as it is.
///
/// It is [`gather`](fn@crate::gather) in everything else: the first panic or cancel is the result,
/// at once.
///
/// Two dots and an iterator of futures, or of tasks, in the place of a list gather what it gives,
/// of one type, into a `Vec`: asyncio's `gather(*aws)`.
///
/// A future does nothing until it is polled; its tasks run from now on. `.into_task()` makes a task
/// of the whole, with callbacks: see [`Gather::into_task`](crate::Gather::into_task).
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use uring_loop::{gather, spawn};
///
/// uring_loop::run(async {
///     let started = spawn(async { "a task" });
///     let (number, text) = gather!(async { 42 }, started).await.unwrap();
///     assert_eq!((number, text), (42, "a task"));
///
///     let squares = gather!(..(1..=3).map(|n| async move { n * n }));
///     assert_eq!(squares.await.unwrap(), [1, 4, 9]);
/// })
/// # .unwrap();
/// ```
#[macro_export]
macro_rules! gather {
    (..$items:expr $(,)?) => {
        $crate::gather($crate::__all_tasks!($items))
    };
    ($($item:expr),+ $(,)?) => {
        $crate::__private::Tuple::gather($crate::__tasks!($($item),+))
    };
}

/// [`gather!`](macro@crate::gather) of results with one type of error: the first error is the
/// result, at once. See [`try_gather`](fn@crate::try_gather).
///
/// # Examples
///
/// ```
/// use std::io;
///
/// # fn main() -> io::Result<()> {
/// uring_loop::run(async {
///     let (number, text) =
///         uring_loop::try_gather!(async { Ok::<_, io::Error>(1) }, async { Ok("one") }).await?;
///     assert_eq!((number, text), (1, "one"));
///     Ok(())
/// })?
/// # }
/// ```
#[macro_export]
macro_rules! try_gather {
    (..$items:expr $(,)?) => {
        $crate::try_gather($crate::__all_tasks!($items))
    };
    ($($item:expr),+ $(,)?) => {
        $crate::__private::TryTuple::try_gather($crate::__tasks!($($item),+))
    };
}

/// [`gather!`](macro@crate::gather) that nothing ends early: a tuple of what each came to. See
/// [`gather_settled`](fn@crate::gather_settled).
#[macro_export]
macro_rules! gather_settled {
    (..$items:expr $(,)?) => {
        $crate::gather_settled($crate::__all_tasks!($items))
    };
    ($($item:expr),+ $(,)?) => {
        $crate::__private::Tuple::gather_settled($crate::__tasks!($($item),+))
    };
}

/// Gives the results of futures and tasks with one type of output in the order in which they end.
/// A future is spawned, in order; a [`Task`](crate::Task) is taken as it is.
///
/// It takes several, or `..` and an iterator. In all else it is
/// [`as_completed`](fn@crate::as_completed).
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use uring_loop::{as_completed, yield_now};
///
/// uring_loop::run(async {
///     let slow = async {
///         yield_now().await;
///         "slow"
///     };
///     let mut completed = as_completed!(slow, async { "quick" });
///     assert_eq!(completed.next().await.unwrap().1.unwrap(), "quick");
///     assert_eq!(completed.next().await.unwrap().1.unwrap(), "slow");
/// })
/// # .unwrap();
/// ```
#[macro_export]
macro_rules! as_completed {
    (..$items:expr $(,)?) => {
        $crate::as_completed($crate::__all_tasks!($items))
    };
    ($($item:expr),+ $(,)?) => {
        $crate::as_completed({
            #[allow(unused_imports)]
            use $crate::__private::SpawnArgument as _;
            [$($crate::__private::Argument($item).into_task()),+]
        })
    };
}

/// A tuple of tasks from futures and tasks.
#[doc(hidden)]
#[macro_export]
macro_rules! __tasks {
    ($($item:expr),+) => {{
        #[allow(unused_imports)]
        use $crate::__private::SpawnArgument as _;
        ($($crate::__private::Argument($item).into_task(),)+)
    }};
}

/// Tasks from an iterator of futures, or of tasks.
#[doc(hidden)]
#[macro_export]
macro_rules! __all_tasks {
    ($items:expr) => {{
        #[allow(unused_imports)]
        use $crate::__private::SpawnItems as _;
        $crate::__private::Items($items).into_tasks()
    }};
}

/// An argument of a macro. A task has the method of this type, and so not that of the trait, which
/// all futures have: a task is a future, and would be spawned again.
#[derive(Debug)]
pub struct Argument<F>(pub F);

impl<F: IntoTask> Argument<F> {
    /// The task itself.
    #[track_caller]
    pub fn into_task(self) -> Task<F::Output> {
        self.0.into_task()
    }
}

/// An argument that is no task.
pub trait SpawnArgument {
    /// Its output.
    type Output;

    /// Spawns it.
    fn into_task(self) -> Task<Self::Output>;
}

impl<F> SpawnArgument for Argument<F>
where
    F: Future + 'static,
    F::Output: 'static,
{
    type Output = F::Output;

    #[track_caller]
    fn into_task(self) -> Task<F::Output> {
        spawn(self.0).gathered()
    }
}

/// An iterable argument of a macro. Of tasks it has the method of this type, and so not that of
/// the trait.
#[derive(Debug)]
pub struct Items<I>(pub I);

impl<I, T> Items<I>
where
    I: IntoIterator,
    I::Item: IntoTask<Output = T>,
{
    /// The tasks themselves.
    #[track_caller]
    pub fn into_tasks(self) -> Vec<Task<T>> {
        self.0.into_iter().map(IntoTask::into_task).collect()
    }
}

/// An iterable argument whose items are no tasks.
pub trait SpawnItems {
    /// Their output.
    type Output;

    /// Spawns them.
    fn into_tasks(self) -> Vec<Task<Self::Output>>;
}

impl<I> SpawnItems for Items<I>
where
    I: IntoIterator,
    I::Item: Future + 'static,
    <I::Item as Future>::Output: 'static,
{
    type Output = <I::Item as Future>::Output;

    #[track_caller]
    fn into_tasks(self) -> Vec<Task<Self::Output>> {
        spawn_all(self.0).into_iter().map(Task::gathered).collect()
    }
}

/// A future with this output, which is that of a task as well.
pub trait Gathers<O, V>: Future<Output = O> + IntoTask<Output = V> {}

impl<G, O, V> Gathers<O, V> for G where G: Future<Output = O> + IntoTask<Output = V> {}

/// A tuple of tasks.
pub trait Tuple {
    /// Their values.
    type Values;
    /// What each came to.
    type Outcomes;

    /// As [`gather`](super::gather()).
    fn gather(self) -> Gathered<impl Gathers<Result<Self::Values, JoinError>, Self::Values>>;

    /// As [`gather_settled`](super::gather_settled()).
    fn gather_settled(self) -> Gathered<impl Gathers<Self::Outcomes, Self::Outcomes>>;
}

/// A future of values or the first error, which is that of a task as well.
pub trait TryGathers<O, E>:
    Future<Output = Result<O, GatherError<E>>> + IntoTask<Output = Result<O, E>>
{
}

impl<G, O, E> TryGathers<O, E> for G where
    G: Future<Output = Result<O, GatherError<E>>> + IntoTask<Output = Result<O, E>>
{
}

/// A tuple of tasks whose outputs are results.
pub trait TryTuple {
    /// Their values.
    type Values;
    /// The error of their results.
    type Error;

    /// As [`try_gather`](super::try_gather()).
    fn try_gather(self) -> Gathered<impl TryGathers<Self::Values, Self::Error>>;
}

macro_rules! tuple {
    ($($name:ident $index:tt),+) => {
        impl<$($name),+> Members for ($(Task<$name>,)+) {
            type Values = ($($name,)+);
            type Outcomes = ($(Result<$name, JoinError>,)+);

            fn len(&self) -> usize {
                [$($index),+].len()
            }

            fn member(&self, index: usize) -> &dyn Member {
                match index {
                    $($index => &self.$index,)+
                    _ => unreachable!("an index is below the length"),
                }
            }

            fn is_err(&self, index: usize) -> bool {
                match index {
                    $($index => self.$index.peek().is_err(),)+
                    _ => unreachable!("an index is below the length"),
                }
            }

            fn error(&mut self, index: usize) -> JoinError {
                match index {
                    $($index => members::error(&self.$index),)+
                    _ => unreachable!("an index is below the length"),
                }
            }

            fn values(self) -> Self::Values {
                ($(members::value(&self.$index),)+)
            }

            fn outcomes(self) -> Self::Outcomes {
                ($(self.$index.take_output(),)+)
            }
        }

        impl<$($name,)+ Z> TryMembers for ($(Task<Result<$name, Z>>,)+) {
            type Oks = ($($name,)+);
            type Error = Z;

            fn has_failed(&self, index: usize) -> bool {
                match index {
                    $($index => members::has_failed(&self.$index),)+
                    _ => unreachable!("an index is below the length"),
                }
            }

            fn failure(&mut self, index: usize) -> GatherError<Z> {
                match index {
                    $($index => members::failure(&self.$index),)+
                    _ => unreachable!("an index is below the length"),
                }
            }

            fn oks(self) -> Self::Oks {
                ($(members::ok(&self.$index),)+)
            }
        }

        impl<$($name: 'static),+> Tuple for ($(Task<$name>,)+) {
            type Values = ($($name,)+);
            type Outcomes = ($(Result<$name, JoinError>,)+);

            fn gather(
                self,
            ) -> Gathered<impl Gathers<Result<Self::Values, JoinError>, Self::Values>> {
                Gathered::new(Gathering::new(All(self)))
            }

            fn gather_settled(
                self,
            ) -> Gathered<impl Gathers<Self::Outcomes, Self::Outcomes>> {
                Gathered::new(Gathering::new(Settled(self)))
            }
        }

        impl<$($name: 'static,)+ Z: 'static> TryTuple for ($(Task<Result<$name, Z>>,)+) {
            type Values = ($($name,)+);
            type Error = Z;

            fn try_gather(self) -> Gathered<impl TryGathers<Self::Values, Z>> {
                Gathered::new(Gathering::new(TryAll(self)))
            }
        }
    };
}

tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, F 4);
tuple!(A 0, B 1, C 2, D 3, F 4, G 5);
tuple!(A 0, B 1, C 2, D 3, F 4, G 5, H 6);
tuple!(A 0, B 1, C 2, D 3, F 4, G 5, H 6, I 7);
