//! Gathering a few tasks and futures of different types: the macros, and the tuples behind them.

use std::future::Future;

use super::gather::GatherError;
use super::gathering::{All, Gathering, Settled, TryAll};
use super::members::{self, Members, TryMembers};
use crate::task::collect::Member;
use crate::task::{JoinError, Task, spawn};

/// Waits for a few futures and tasks of different types, which run side by side, and gives a tuple
/// of their values. A future is spawned, in order; a [`Task`](crate::Task) is taken as it is.
///
/// It is [`gather`](fn@crate::gather) in everything else: the first panic or cancel is the result,
/// at once.
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
/// })
/// # .unwrap();
/// ```
#[macro_export]
macro_rules! gather {
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
    ($($item:expr),+ $(,)?) => {
        $crate::__private::TryTuple::try_gather($crate::__tasks!($($item),+))
    };
}

/// [`gather!`](macro@crate::gather) that nothing ends early: a tuple of what each came to. See
/// [`gather_settled`](fn@crate::gather_settled).
#[macro_export]
macro_rules! gather_settled {
    ($($item:expr),+ $(,)?) => {
        $crate::__private::Tuple::gather_settled($crate::__tasks!($($item),+))
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

/// An argument of a macro. A task has the method of this type, and so not that of the trait, which
/// all futures have: a task is a future, and would be spawned again.
#[derive(Debug)]
pub struct Argument<F>(pub F);

impl<T> Argument<Task<T>> {
    /// The task itself.
    pub fn into_task(self) -> Task<T> {
        self.0
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
        spawn(self.0)
    }
}

/// A tuple of tasks.
pub trait Tuple {
    /// Their values.
    type Values;
    /// What each came to.
    type Outcomes;

    /// As [`gather`](super::gather()).
    fn gather(self) -> impl Future<Output = Result<Self::Values, JoinError>>;

    /// As [`gather_settled`](super::gather_settled()).
    fn gather_settled(self) -> impl Future<Output = Self::Outcomes>;
}

/// A tuple of tasks whose outputs are results.
pub trait TryTuple {
    /// Their values.
    type Values;
    /// The error of their results.
    type Error;

    /// As [`try_gather`](super::try_gather()).
    fn try_gather(self) -> impl Future<Output = Result<Self::Values, GatherError<Self::Error>>>;
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

        impl<$($name),+> Tuple for ($(Task<$name>,)+) {
            type Values = ($($name,)+);
            type Outcomes = ($(Result<$name, JoinError>,)+);

            fn gather(self) -> impl Future<Output = Result<Self::Values, JoinError>> {
                Gathering::new(All(self))
            }

            fn gather_settled(self) -> impl Future<Output = Self::Outcomes> {
                Gathering::new(Settled(self))
            }
        }

        impl<$($name,)+ Z> TryTuple for ($(Task<Result<$name, Z>>,)+) {
            type Values = ($($name,)+);
            type Error = Z;

            fn try_gather(self) -> impl Future<Output = Result<Self::Values, GatherError<Z>>> {
                Gathering::new(TryAll(self))
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
