//! A gate: what is inside is let out before it closes for good.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::rc::Rc;

use uring_loop::sync::Event;

/// Counts what goes on, so that somebody can wait for its end and let nothing new begin.
///
/// Work enters; the owner [closes](Self::close) the gate and waits until all who entered have left.
/// One shard's own: it stays on its thread. Cheap to clone.
///
/// # Examples
///
/// ```
/// use shard::Gate;
/// use std::time::Duration;
/// use uring_loop::{spawn, time::sleep, yield_now};
///
/// uring_loop::run(async {
///     let gate = Gate::new();
///     let inside = gate.clone();
///     let request = spawn(async move {
///         inside.hold(async { sleep(Duration::from_millis(1)).await }).await
///     });
///     yield_now().await;
///     gate.close().await; // the request is done now
///     assert!(request.is_done());
///     assert!(gate.enter().is_err());
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Gate(Rc<State>);

#[derive(Default)]
struct State {
    inside: Cell<usize>,
    closed: Cell<bool>,
    /// Set when it is closed and empty.
    empty: Event,
}

impl State {
    fn look(&self) {
        if self.closed.get() && self.inside.get() == 0 {
            self.empty.set();
        }
    }
}

impl Gate {
    /// An open gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Enters; leave by dropping the pass.
    ///
    /// # Errors
    ///
    /// [`GateClosed`] once somebody has closed it.
    pub fn enter(&self) -> Result<Pass, GateClosed> {
        if self.0.closed.get() {
            return Err(GateClosed);
        }
        self.0.inside.set(self.0.inside.get() + 1);
        Ok(Pass(self.0.clone()))
    }

    /// Runs a future inside.
    ///
    /// # Errors
    ///
    /// [`GateClosed`] once somebody has closed it; the future did not run then.
    ///
    /// # Cancel safety
    ///
    /// Weak: what the future itself loses, if anything. Dropped, it has left.
    #[doc(alias = "with_gate")]
    pub async fn hold<F: Future>(&self, future: F) -> Result<F::Output, GateClosed> {
        let _pass = self.enter()?;
        Ok(future.await)
    }

    /// Closes for those who come, and waits until all have left. Others may wait for the same.
    ///
    /// # Cancel safety
    ///
    /// Strict: it is closed by the first poll, and stays so.
    pub async fn close(&self) {
        self.0.closed.set(true);
        self.0.look();
        self.0.empty.wait().await;
    }

    /// Whether somebody has closed it.
    pub fn is_closed(&self) -> bool {
        self.0.closed.get()
    }

    /// How many are inside.
    pub fn count(&self) -> usize {
        self.0.inside.get()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_closed() { "closed" } else { "open" };
        write!(f, "Gate({state}, {} inside)", self.count())
    }
}

/// Somebody is inside a [`Gate`].
#[must_use = "dropping it leaves the gate at once"]
pub struct Pass(Rc<State>);

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.inside.set(self.0.inside.get() - 1);
        self.0.look();
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pass")
    }
}

/// The [`Gate`] is closed: what it guards is about to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateClosed;

impl fmt::Display for GateClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("entering a gate that is closed")
    }
}

impl std::error::Error for GateClosed {}

impl From<GateClosed> for io::Error {
    fn from(closed: GateClosed) -> Self {
        io::Error::new(io::ErrorKind::NotConnected, closed)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn closing_waits_for_the_last_to_leave_and_lets_nobody_in() {
        let gate = Gate::new();
        let (one, other) = (gate.enter().expect("open"), gate.enter().expect("open"));
        let mut closing = pin!(gate.close());
        assert!(poll(closing.as_mut()).is_pending());
        assert_eq!(gate.enter().map(drop), Err(GateClosed));
        drop(one);
        assert!(poll(closing.as_mut()).is_pending());
        drop(other);
        assert!(poll(closing.as_mut()).is_ready());
        assert!(poll(pin!(gate.close())).is_ready());
    }

    #[test]
    fn a_future_that_is_dropped_inside_has_left() {
        let gate = Gate::new();
        let mut held = Box::pin(gate.hold(std::future::pending::<()>()));
        assert!(poll(held.as_mut()).is_pending());
        assert_eq!(gate.count(), 1);
        drop(held);
        assert_eq!(gate.count(), 0);
    }

    #[test]
    fn an_empty_gate_closes_at_once() {
        let gate = Gate::new();
        assert!(poll(pin!(gate.close())).is_ready());
        assert_eq!(poll(pin!(gate.hold(async { 1 }))), Poll::Ready(Err(GateClosed)));
    }
}
