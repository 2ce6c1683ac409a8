//! Many senders, one receiver, every item once: a queue between threads.
//!
//! [`bounded`] holds senders back when the receiver is slow, [`unbounded`] does not. Items of one
//! sender arrive in the order in which they were sent. Senders that wait for room get it in the
//! order in which they came.
//!
//! What costs between two cores is waking a thread that sleeps. A receiver is woken when it waits
//! and the first item comes, not for those behind it; [`Receiver::recv_many`] takes what has come
//! under one lock.

#[cfg(all(test, loom))]
mod loom_tests;
mod permit;
mod receiver;
mod sender;
mod state;

use std::sync::Arc;

pub use permit::Permit;
pub use receiver::Receiver;
pub use sender::Sender;

use self::state::State;
use super::lock::Mutex;

/// A channel for at most `capacity` items (at least 1) that were sent and not yet received.
///
/// # Panics
///
/// If `capacity` is 0.
///
/// # Examples
///
/// ```
/// use uring_loop::channel::mpsc;
///
/// let (sender, mut receiver) = mpsc::bounded(16);
/// // A plain thread blocks where the loop awaits.
/// let thread = std::thread::spawn(move || {
///     for number in 0..1000 {
///         sender.blocking_send(number).expect("somebody receives");
///     }
/// });
/// let sum = uring_loop::run(async move {
///     let mut sum = 0;
///     while let Some(number) = receiver.recv().await {
///         sum += number;
///     }
///     sum
/// })?;
/// assert_eq!(sum, 499_500);
/// # thread.join().expect("no panic");
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "Queue")]
#[doc(alias = "channel")]
#[doc(alias = "sync_channel")]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel for 0 items: give it a capacity of at least 1");
    ends(capacity)
}

/// A channel without a bound: sending never waits, and memory is the limit.
///
/// Where the sender can outrun the receiver for long, take [`bounded`].
///
/// # Examples
///
/// ```
/// let (sender, mut receiver) = uring_loop::channel::mpsc::unbounded();
/// sender.try_send("never full")?;
/// assert_eq!(receiver.try_recv(), Ok("never full"));
/// # Ok::<(), uring_loop::channel::TrySendError<&str>>(())
/// ```
#[doc(alias = "SimpleQueue")]
#[doc(alias = "unbounded_channel")]
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    ends(usize::MAX)
}

fn ends<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Mutex::new(State::new(capacity)));
    (Sender::new(shared.clone()), Receiver::new(shared))
}
