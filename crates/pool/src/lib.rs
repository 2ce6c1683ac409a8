//! Executors for CPU-bound work, in the shape of Python's `concurrent.futures`: [`ThreadPool`] and
//! [`ProcessPool`], both with [`submit`](Executor::submit), [`map`](Executor::map) and
//! [`shutdown`](Executor::shutdown).
//!
//! ```
//! use pool::ProcessPool;
//!
//! fn is_prime(n: u64) -> bool {
//!     n > 1 && (2..=n.isqrt()).all(|divisor| n % divisor != 0)
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     pool::init(); // first in main: the workers are this program, and turn aside here
//!     let pool = ProcessPool::new()?;
//!     let numbers = [109999999, 108376355, 97];
//!     for (number, prime) in numbers.iter().zip(pool.map(is_prime, numbers)) {
//!         println!("{number} is prime: {}", prime?);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Threads or processes?
//!
//! **Threads**, nearly always. Rust has no lock around its interpreter, so [`ThreadPool`] uses all
//! cores; it takes any closure, copies nothing, and hands over a job for a fraction of a
//! microsecond. It needs no `init`.
//!
//! **Processes** when a job may bring its process down or spoil it: libraries that crash or leak,
//! or that cannot bear threads. In a [`ProcessPool`] a segmentation fault, an `abort` or the
//! kernel's out-of-memory killer costs the one job that ran; the pool goes on with a new worker.
//! The price: functions capture nothing, arguments and results are encoded with serde, and handing
//! over a job takes microseconds (tens of them if it has to wake a worker), so jobs should take
//! longer than that, or go in chunks, as [`map`](ProcessPool::map) sends them.
//!
//! Code written against [`Executor`] runs on either.
//!
//! # Jobs
//!
//! A [`Job`] is a future that needs no particular executor: `.await` it under any, or block the
//! thread with [`Job::wait`]. Its result is a `Result`: a job can panic, be cancelled before it
//! starts, killed, too slow, or lose its worker ([`JobError`]). Dropping a job does not cancel it.
//! [`JobOptions`] set limits of time, retries, a name and a priority; [`wait()`] and
//! [`as_completed`] wait for many jobs.
//!
//! Results of a process pool have to be collected. Threads in [`Job::wait`] do that themselves; for
//! jobs that are awaited the pool starts one thread, unless an event loop does it in its place, see
//! [`Doorbell`].
//!
//! # How functions travel
//!
//! A `fn` item and a closure without captures are values of no bytes: all there is to send is which
//! one it is. The pool sends where its code lies in the program, and the worker, which is the same
//! program (the handshake compares the linker's build ids), calls that place. Nothing is
//! registered, and nothing runs before `main`. Functions in shared libraries are refused by name.
//!
//! This crate is for Linux (5.3 or later), on 64-bit machines.

/// Whether the planted fault of this name is on: only in a build with `--cfg mutants`, and there
/// only for the name in the variable `MUTANT` (docs/HACKING.md).
macro_rules! mutant {
    ($name:literal) => {{
        static ON: std::sync::LazyLock<bool> =
            std::sync::LazyLock::new(|| std::env::var_os("MUTANT").is_some_and(|on| on == $name));
        cfg!(mutants) && *ON
    }};
}

mod cores;
mod deadlines;
mod error;
mod executor;
pub mod foreign;
mod job;
mod map;
mod options;
mod panics;
mod pause;
mod process;
mod sets;
mod stream;
mod thread;
mod watch;

pub use error::{
    Broken, CodecFailure, Exit, JobError, Limit, Lost, Panic, Poisoned, Refused, TimedOut,
    WorkerDeath,
};
pub use executor::{CallOnce, Executor, Task, Wire};
pub use job::{Job, JobState};
pub use map::{Map, Progress, Unordered};
pub use options::{JobOptions, Settings};
#[cfg(any(test, fuzz))]
#[doc(hidden)]
pub use process::fuzzing;
pub use process::{
    Doorbell, PoolState, ProcessPool, ProcessPoolBuilder, SharedBuf, SharedBufMut, Statistics,
    WorkerState, WorkerStatistics, init,
};
pub use sets::{AsCompleted, Unfinished, WaitUntil, Waited, as_completed, wait};
pub use stream::{ResultStream, Source};
pub use thread::{Scope, ScopedJob, ThreadPool, ThreadPoolBuilder};

/// A `main` that calls [`init`] first.
///
/// One that is `async` keeps the attribute of its runtime: `init` is called before that starts.
///
/// # Examples
///
/// ```
/// pool::main! {
///     fn main() -> std::io::Result<()> {
///         let pool = pool::ProcessPool::new()?;
///         assert_eq!(pool.submit(|n: u32| n + 1, (1,)).wait(), Ok(2));
///         Ok(())
///     }
/// }
/// ```
///
/// ```
/// pool::main! {
///     #[tokio::main(flavor = "current_thread")]
///     async fn main() -> std::io::Result<()> {
///         let pool = pool::ProcessPool::new()?;
///         assert_eq!(pool.submit(|n: u32| n + 1, (1,)).await, Ok(2));
///         Ok(())
///     }
/// }
/// ```
#[macro_export]
macro_rules! main {
    ($(#[$attribute:meta])* async fn main() $(-> $output:ty)? $body:block) => {
        fn main() $(-> $output)? {
            $crate::init();
            $(#[$attribute])*
            async fn __main_after_init() $(-> $output)? $body
            __main_after_init()
        }
    };
    ($(#[$attribute:meta])* fn main() $(-> $output:ty)? $body:block) => {
        $(#[$attribute])*
        fn main() $(-> $output)? {
            $crate::init();
            $body
        }
    };
}
