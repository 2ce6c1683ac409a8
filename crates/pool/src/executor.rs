//! What both pools can do: the [`Executor`] trait, and the bounds its functions and values need.
//!
//! The bounds are those of processes, the narrower ones: code written against `Executor` runs on
//! threads and processes alike. `ThreadPool`'s own methods of the same names take any closure.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::job::Job;
use crate::map::Map;
use crate::options::JobOptions;

/// A value that can be sent to a worker process and back: what serde can write and read again.
///
/// Implemented for every type that fits; there is nothing to write.
pub trait Wire: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Wire for T {}

/// A function of the arguments in the tuple `Args` that a worker process can call by itself:
/// `Copy`, so it owns nothing.
///
/// Implemented for `fn` items and closures of up to eight arguments. For a process pool they must
/// also capture nothing, which the compiler checks at the call of `submit` or `map`.
pub trait Task<Args>: Copy + Send + Sync + 'static {
    /// What the function returns.
    type Output;

    /// Calls the function.
    fn call(&self, args: Args) -> Self::Output;
}

/// A function of the arguments in the tuple `Args` that is called once, on a thread: any closure.
///
/// Implemented for `fn` items and closures of up to eight arguments.
pub trait CallOnce<Args>: Send + 'static {
    /// What the function returns.
    type Output;

    /// Calls the function.
    fn call_once(self, args: Args) -> Self::Output;
}

macro_rules! functions_of {
    ($($arg:ident)*) => {
        impl<Func, Ret, $($arg),*> Task<($($arg,)*)> for Func
        where
            Func: Fn($($arg),*) -> Ret + Copy + Send + Sync + 'static,
        {
            type Output = Ret;

            #[inline]
            #[allow(non_snake_case, clippy::unused_unit)]
            fn call(&self, ($($arg,)*): ($($arg,)*)) -> Ret {
                self($($arg),*)
            }
        }

        impl<Func, Ret, $($arg),*> CallOnce<($($arg,)*)> for Func
        where
            Func: FnOnce($($arg),*) -> Ret + Send + 'static,
        {
            type Output = Ret;

            #[inline]
            #[allow(non_snake_case)]
            fn call_once(self, ($($arg,)*): ($($arg,)*)) -> Ret {
                self($($arg),*)
            }
        }
    };
}

functions_of!();
functions_of!(A);
functions_of!(A B);
functions_of!(A B C);
functions_of!(A B C D);
functions_of!(A B C D E);
functions_of!(A B C D E F);
functions_of!(A B C D E F G);
functions_of!(A B C D E F G H);

/// What both pools can do. Write against it what should run on threads and on processes.
///
/// # Examples
///
/// ```
/// use pool::{Executor, JobError, ThreadPool};
///
/// fn square(n: u64) -> u64 {
///     n * n
/// }
///
/// fn sum_of_squares(pool: &impl Executor, upto: u64) -> Result<u64, JobError> {
///     pool.map(square, 1..=upto).sum()
/// }
///
/// let threads = ThreadPool::new();
/// assert_eq!(sum_of_squares(&threads, 100)?, 338_350);
/// # Ok::<(), JobError>(())
/// ```
#[doc(alias = "concurrent.futures")]
pub trait Executor {
    /// Gives the call `f(args...)` to the pool. Never blocks for a worker.
    ///
    /// A pool that takes no more jobs answers with a job that has ended with the reason
    /// ([`PoolShutdown`](crate::JobError::PoolShutdown) or
    /// [`Broken`](crate::JobError::Broken)).
    fn submit<F, A, R>(&self, f: F, args: A) -> Job<R>
    where
        F: Task<A, Output = R>,
        A: Wire,
        R: Wire,
    {
        self.submit_with(JobOptions::new(), f, args)
    }

    /// [`submit`](Self::submit) with a timeout, a deadline, retries, a name or a priority.
    fn submit_with<F, A, R>(&self, options: JobOptions, f: F, args: A) -> Job<R>
    where
        F: Task<A, Output = R>,
        A: Wire,
        R: Wire;

    /// Applies `f` to every item, on all workers at once; results come in the order of the items.
    /// See [`Map`].
    fn map<F, T, R, I>(&self, f: F, items: I) -> Map<I::IntoIter, R>
    where
        F: Task<(T,), Output = R>,
        I: IntoIterator<Item = T>,
        T: Wire,
        R: Wire;

    /// Takes no more jobs. Those submitted before still run, unless `cancel_pending`: then the
    /// ones no worker has started end as [`Cancelled`](crate::JobError::Cancelled). With `wait` it
    /// returns when all jobs have ended and all workers are gone, else at once.
    fn shutdown(&self, wait: bool, cancel_pending: bool);

    /// How many workers the pool has when all are needed.
    fn workers(&self) -> usize;

    /// Hands the pool to `body` and shuts it down afterwards, waiting for all jobs: Python's `with`
    /// block. If `body` panics, jobs that no worker has started are cancelled.
    ///
    /// ```
    /// use pool::{Executor, ThreadPool};
    ///
    /// let jobs = ThreadPool::new().within(|pool| [1u32, 2].map(|n| pool.spawn(move || n + 1)));
    /// // All have ended.
    /// assert_eq!(jobs.map(|job| job.wait().unwrap()), [2, 3]);
    /// ```
    #[doc(alias = "with")]
    fn within<T>(self, body: impl FnOnce(&Self) -> T) -> T
    where
        Self: Sized,
    {
        struct Leave<'a, E: Executor>(&'a E);
        impl<E: Executor> Drop for Leave<'_, E> {
            fn drop(&mut self) {
                self.0.shutdown(true, std::thread::panicking());
            }
        }
        let _leave = Leave(&self);
        body(&self)
    }
}
