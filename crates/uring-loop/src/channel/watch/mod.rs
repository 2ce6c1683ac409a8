//! The latest value, for all who look: a setting, a state, the word to stop.
//!
//! A receiver sees each version at most once and may miss some; the last one it sees always. Values
//! are lent as [`Arc`]s: who looks at one keeps nobody from sending the next, and may hold it over
//! an await.

#[cfg(all(test, loom))]
mod loom_tests;
mod receiver;
mod sender;
mod state;

use std::sync::Arc;

pub use receiver::Receiver;
pub use sender::Sender;

use self::state::Shared;

/// A channel whose first value is `value`. Receivers have seen it already; more of them come from
/// [`Sender::subscribe`] and by cloning.
///
/// # Examples
///
/// ```
/// use uring_loop::channel::watch;
///
/// let (sender, mut receiver) = watch::channel("starting");
/// let thread = std::thread::spawn(move || sender.send("ready"));
/// uring_loop::run(async move {
///     receiver.changed().await.expect("a value came before the sender went");
///     assert_eq!(*receiver.borrow(), "ready");
///     assert!(receiver.changed().await.is_err());
/// })?;
/// # thread.join().expect("no panic");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared::new(value));
    (Sender::new(shared.clone()), Receiver::new(shared, 0))
}
