//! Channels between threads: loops, plain threads, tasks of any executor.
//!
//! | module | carries | for |
//! |---|---|---|
//! | [`mpsc`] | every item to the one receiver | work, events, results of many |
//! | [`oneshot`] | one value | an answer |
//! | [`watch`] | the latest value, to all receivers | configuration, progress, "stop" |
//! | [`broadcast`] | every item, to all receivers | news that each subscriber acts on |
//!
//! All ends are `Send` where the items are, and each can be used in three ways: awaited, under
//! any executor; blocking, with a method whose name begins with `blocking_`, on a thread that runs
//! no loop; and trying, which never waits. A wait that is dropped or whose time is over loses
//! nothing that was to be received.
//!
//! Between tasks of one loop they work as well, but pay for being ready for other threads.
//!
//! On a [virtual clock](crate::testing), which jumps when its own loop has nothing to do, take a
//! [`hold`](crate::hold()) while you wait for another thread.

mod block;
pub mod broadcast;
mod error;
mod lock;
#[cfg(all(test, loom))]
mod model;
pub mod mpsc;
pub mod oneshot;
mod wait;
mod waiters;
pub mod watch;

pub use error::{Closed, SendTimeoutError, TryRecvError, TrySendError};
