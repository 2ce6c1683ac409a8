//! Every item to every receiver, from its subscription on.
//!
//! A receiver that is slower than the others keeps nobody waiting: the channel keeps so many items
//! as it has room for, and who falls behind further is told how many it missed
//! ([`RecvError::Lagged`]) and goes on with the oldest that was kept.
//!
//! Items are kept once, however many receivers there are, and given up when the last of them has
//! received them. Each gets a clone, the last one the item itself. Ends travel between threads if
//! items are `Send` and `Sync`, since several threads may clone one at a time.

mod error;
#[cfg(all(test, loom))]
mod loom_tests;
mod receiver;
mod sender;
mod state;

use std::sync::Arc;

pub use error::{RecvError, TryRecvError};
pub use receiver::Receiver;
pub use sender::Sender;

use self::state::State;
use super::lock::Mutex;

/// A channel that keeps up to `capacity` items (at least 1) for its slowest receiver. More
/// receivers come from [`Sender::subscribe`].
///
/// # Panics
///
/// If `capacity` is 0.
///
/// # Examples
///
/// ```
/// use uring_loop::channel::broadcast::{self, RecvError};
///
/// uring_loop::run(async {
///     let (sender, mut receiver) = broadcast::channel(2);
///     let mut late = sender.subscribe();
///     sender.send("one");
///     assert_eq!(receiver.recv().await, Ok("one"));
///     sender.send("two");
///     sender.send("three");
///     assert_eq!(receiver.recv().await, Ok("two"));
///     assert_eq!(late.recv().await, Err(RecvError::Lagged(1)));
///     assert_eq!(late.recv().await, Ok("two"));
/// })
/// # .unwrap();
/// ```
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel for 0 items: give it a capacity of at least 1");
    let state = Arc::new(Mutex::new(State::new(capacity)));
    (Sender::new(state.clone()), Receiver::new(state, 0))
}
