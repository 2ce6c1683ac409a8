//! Blocking a thread on a future of a channel: the waker is one that ends the sleep of the thread.
//!
//! So there is one kind of waiter, and a wait whose time is over is a future that is dropped.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::lock::{Condvar, Mutex, lock};
use crate::context;
use crate::time::Elapsed;

/// Blocks this thread until `future` is ready.
///
/// # Panics
///
/// On a thread whose own loop is running; the message names `what` was tried.
#[track_caller]
pub(super) fn block_on<F: Future>(what: &str, future: F) -> F::Output {
    refuse_on_a_loop(what);
    let ready = drive(future, None);
    ready.unwrap_or_else(|Elapsed| unreachable!("without a limit it ends when it is ready"))
}

/// The same for at most `limit`. What is ready in the first poll is ready under any limit.
#[track_caller]
pub(super) fn block_on_for<F: Future>(
    what: &str,
    limit: Duration,
    future: F,
) -> Result<F::Output, Elapsed> {
    refuse_on_a_loop(what);
    // A limit beyond the end of time is none.
    drive(future, Instant::now().checked_add(limit))
}

#[track_caller]
fn refuse_on_a_loop(what: &str) {
    assert!(
        context::loop_id() == 0,
        "{what} would stop the loop that runs on this thread: await the method without \
         `blocking_` in its name"
    );
}

fn drive<F: Future>(future: F, deadline: Option<Instant>) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    // The first look needs no waker that works, for another look follows; mostly it is enough.
    if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return Ok(output);
    }
    let parker = Arc::new(Parker { woken: Mutex::new(false), changed: Condvar::new() });
    let waker = Waker::from(parker.clone());
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Ok(output);
        }
        parker.park(deadline)?;
    }
}

/// The sleep of one thread in one call. `woken` stays set until that thread has seen it.
struct Parker {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Parker {
    fn park(&self, deadline: Option<Instant>) -> Result<(), Elapsed> {
        let mut woken = lock(&self.woken);
        if mutant!("parked-although-woken") {
            *woken = false;
        }
        while !*woken {
            woken = match deadline {
                None => self.changed.wait(woken).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(Elapsed);
                    }
                    let waited = self.changed.wait_timeout(woken, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        *woken = false;
        Ok(())
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        *lock(&self.woken) = true;
        self.changed.notify_one();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[test]
    fn a_blocked_thread_looks_once_for_each_wake() {
        let mut looks = 0;
        let never = poll_fn(|cx| {
            looks += 1;
            // In the second look, the first with a waker that works.
            if looks == 2 {
                cx.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        });
        assert_eq!(block_on_for("this test", Duration::from_millis(20), never), Err(Elapsed));
        assert_eq!(looks, 3);
    }
}
