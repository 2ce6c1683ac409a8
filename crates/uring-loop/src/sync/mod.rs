//! L3: asyncio's locks, for tasks of one loop.
//!
//! | | |
//! |---|---|
//! | [`Lock`] | one task at a time at a value, over an `await` |
//! | [`RwLock`] | one writer or many readers |
//! | [`Semaphore`], [`BoundedSemaphore`] | at most so many at a time |
//! | [`Event`] | a flag to wait for |
//! | [`Condition`] | waiting, the lock given up meanwhile, for a change of what it guards |
//! | [`Barrier`] | going on together |
//! | [`OnceCell`], [`Once`] | a value made once; something done once |
//!
//! Queues are in [`queue`](crate::queue).
//!
//! They are for one thread: none is `Send` or `Sync`, and none uses an atomic. Share them by
//! reference, or in an `Rc`. They can be made and used, without waiting, where no loop runs, and
//! waited for on any executor. A task of the loop allocates nothing to wait.
//!
//! # What they have in common
//!
//! * **In order.** Who waits longest is served first, and what is free goes to those in line before
//!   a newcomer.
//! * **Nothing is lost.** A future that is dropped while it waits leaves the line. If it was served
//!   already, what it was given goes to the next.
//! * **No cancel error.** A request to cancel drops the future that waits, or whoever
//!   [catches](crate::catch_cancel) it; guards are dropped with it, and so unlocked.
//! * **Fair to others.** What is free at once is had without waiting, but counts against the budget
//!   of the task: one that loops over a free lock is made to yield now and then.
//! * **Forgetting is sound.** A waiting future that is leaked (`mem::forget`) keeps its place in
//!   line, and then what it is given; the docs of each say what that means.

mod barrier;
mod bounded;
mod condition;
mod event;
mod lock;
mod once;
mod rwlock;
mod semaphore;
pub(crate) mod wait;
pub(crate) mod waitlist;

pub use barrier::{Barrier, BarrierState, BarrierStatistics, BrokenBarrier};
pub use bounded::{BoundedSemaphore, OverRelease};
pub use condition::{Condition, ConditionStatistics};
pub use event::{Event, EventStatistics};
pub use lock::{Lock, LockGuard, LockStatistics, OwnedLockGuard};
pub use once::{Once, OnceCell, OnceCellStatistics};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockStatistics, RwLockWriteGuard};
pub use semaphore::{OwnedPermit, Permit, Semaphore, SemaphoreStatistics};
