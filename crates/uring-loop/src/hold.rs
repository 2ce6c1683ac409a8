//! Holding a virtual clock still while work goes on that the loop can't see.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use crate::context;

/// Keeps a virtual clock from jumping while it lives; made by [`hold`].
#[must_use = "the clock is held as long as this lives"]
pub struct Hold(Rc<Cell<u32>>);

/// Tells the loop of this thread that work is going on where it can't see it (in another thread or
/// process), so that a virtual clock must not jump meanwhile. On a real clock it does nothing.
///
/// # Panics
///
/// If no loop runs on this thread; the message names `what` was tried.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use uring_loop::channel::oneshot;
/// use uring_loop::time::timeout;
///
/// uring_loop::testing::run(async {
///     let (sender, receiver) = oneshot::channel();
///     let hold = uring_loop::hold("waiting for a thread of our own");
///     std::thread::spawn(move || {
///         std::thread::sleep(Duration::from_millis(5));
///         let _ = sender.send(42);
///     });
///     // Without the hold the clock would jump to the limit at once.
///     assert_eq!(timeout(Duration::from_secs(60), receiver).await, Ok(Ok(42)));
///     drop(hold);
/// });
/// ```
#[track_caller]
pub fn hold(what: &str) -> Hold {
    let holds = context::core(what, |core| core.holds.clone());
    holds.set(holds.get() + 1);
    Hold(holds)
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hold")
    }
}
