//! A completion-based event loop on io_uring: asyncio's words, safe to drop, cancel and shut down
//! at any point.
//!
//! ```
//! use std::time::Duration;
//!
//! uring_loop::run(async {
//!     uring_loop::time::sleep(Duration::from_millis(10)).await;
//!     println!("hello");
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! These carry the crate:
//!
//! * [`EventLoop`] (and [`run`], which makes one): a single-threaded loop. It submits operations to
//!   the kernel, sleeps in one system call until some are complete, and runs the tasks that waited.
//! * [`Task`], made by [`spawn`]: a future that the loop drives on its own.
//!   Many at once: [`gather()`], [`wait`], [`as_completed()`], [`TaskGroup`].
//! * [`Promise`], [`sync`] and [`queue`]: results set by hand, locks and queues between tasks;
//!   [`channel`] between threads.
//! * [`time`]: sleeping, limits; [`signal`]: Ctrl+C and its like; [`net`]: sockets; [`process`] and
//!   [`pipe`]: children, and the ways to talk with them.
//!
//! Who comes from Python finds its names in `docs/ASYNCIO.md`.
//!
//! # What happens when a future is dropped
//!
//! The kernel keeps using a buffer until an operation completes, whether somebody waits or not.
//! Here an operation, its buffers and everything the kernel may write to live in a slot of the
//! loop from the moment of submission until the kernel has let go; a future is only a handle. So
//! dropping, moving and forgetting futures is sound at every point, and what a dropped operation
//! yields late, a descriptor say, is given back. Every `async fn` has a section *Cancel safety*
//! that says in one word what a drop loses: **Strict** (nothing), **Weak** (what it says), **None**
//! (use something else).
//!
//! # What it needs
//!
//! Linux 6.1 or later with io_uring allowed (5.19 may do). Where io_uring is refused, as in many
//! containers, loops run on a ring in user space instead ([`RingChoice`]), at a system call per
//! operation; a notice in the log says what is missing. `URING_LOOP_RING=kernel` makes it an error.

// So that docs and examples of this crate can be read as a user writes them.
extern crate self as uring_loop;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Whether the planted fault of this name is on: only in a build with `--cfg mutants`, and there
/// only for the name in the variable `MUTANT` (docs/HACKING.md).
macro_rules! mutant {
    ($name:literal) => {{
        static ON: std::sync::LazyLock<bool> =
            std::sync::LazyLock::new(|| std::env::var_os("MUTANT").is_some_and(|on| on == $name));
        cfg!(mutants) && *ON
    }};
}

mod blocking;
mod builder;
mod callback;
mod cancel;
pub mod channel;
mod combine;
mod context;
mod debug;
mod driver;
mod dump;
mod event_loop;
pub mod fs;
#[cfg(any(test, fuzz))]
#[doc(hidden)]
pub mod fuzzing;
mod handle;
mod hold;
mod interrupt;
pub mod io;
mod locals;
mod loop_thread;
mod metrics;
pub mod net;
mod ops;
pub mod pipe;
pub mod process;
mod promise;
pub mod protocol;
pub mod queue;
mod remote_callback;
mod remote_task;
mod report;
mod ring_choice;
mod run_error;
mod runner;
pub mod signal;
mod spin;
mod statistics;
pub mod stream;
pub mod sync;
mod sys;
mod task;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod time;
mod trace;
mod turn;
mod wake;

pub use blocking::unblock;
pub use builder::Builder;
pub use callback::{Callback, call_at, call_later, call_soon, stop};
pub use cancel::{Cancelled, CatchCancel, Reason, catch_cancel};
pub use combine::{
    AsCompleted, AsCompletedWithin, Completed, Gather, GatherError, GatherSettled, GroupTask,
    IntoBranches, IntoTask, NoTasks, Shield, TaskErrors, TaskGroup, TryGather, Wait, WaitTasks,
    WaitUntil, as_completed, cancel_all, gather, gather_settled, join, race, shield, try_gather,
    try_join, try_wait, wait,
};
pub use driver::ring::RingKind;
pub use driver::{InFlight, InFlightKind};
pub use dump::Dump;
pub use event_loop::EventLoop;
pub use handle::{Handle, LoopClosed};
pub use hold::{Hold, hold};
pub use locals::{LocalKey, Scoped};
pub use loop_thread::LoopThread;
pub use metrics::{Metric, MetricKind};
pub use promise::{InvalidState, Promise, PromiseError, PromiseSetter, RemotePromise, Settled};
pub use remote_callback::RemoteCallback;
pub use remote_task::{RemoteError, RemoteTask};
pub use report::{Report, ReportKind};
pub use ring_choice::RingChoice;
pub use run_error::RunError;
pub use runner::{Runner, run};
pub use statistics::Statistics;
pub use sys::probe::Refused;
pub use sys::uring::{Examination, Rung, Setup, examine};
pub use task::callbacks::DoneCallback;
pub use task::{
    JoinError, Task, TaskInfo, TaskRef, all_tasks, current_task, spawn, spawn_all, spawn_eager,
    yield_now,
};

/// What the macros expand to. Not for use by hand: it may change in any version.
#[doc(hidden)]
pub mod __private {
    pub use crate::combine::select_support as select;
    pub use crate::combine::{
        Argument, Gathered, Items, SpawnArgument, SpawnItems, TryTuple, Tuple,
    };
}

/// Buffers that operations take and give back, and those that the loop lends.
pub mod buf {
    pub use crate::driver::aligned::AlignedBuf;
    pub use crate::driver::buf::{IoBuf, IoBufMut};
    pub use crate::driver::fixed::{FixedBuf, FixedBuffers};
    pub use crate::driver::recvbuf::RecvBuf;
}

/// The low level: any operation of io_uring, as an owned value.
pub mod op {
    pub use crate::driver::ring::{
        Cqe, Sqe, cancel_flags, cqe_flags, opcode, socket_flags, sqe_flags,
    };
    pub use crate::driver::{Chain, Chained, Driver, Hard, Op, Submit};
    pub use crate::ops::ring::{LinkTimeout, Nop};
}
