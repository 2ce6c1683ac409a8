//! Helper threads for calls that io_uring has no opcode for and that may block: getaddrinfo, above
//! all.
//!
//! One set of threads per process. They start on demand, at most [`MOST`], and end after ten idle
//! seconds. For work that is long or heavy on the CPU use the crate `pool` instead: it has bounds,
//! names, cancellation and processes.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::channel::oneshot;
use crate::context;
use crate::sys::fork;

/// At most so many helper threads at a time; further calls wait for a free one.
const MOST: usize = 64;
const IDLE: Duration = Duration::from_secs(10);

type Call = Box<dyn FnOnce() + Send>;

struct Helpers {
    calls: VecDeque<Call>,
    idle: usize,
    alive: usize,
    /// Of which process: a forked child has none of its parent's threads.
    generation: u32,
}

static HELPERS: Mutex<Helpers> =
    Mutex::new(Helpers { calls: VecDeque::new(), idle: 0, alive: 0, generation: 0 });
static ARRIVED: Condvar = Condvar::new();

fn helpers() -> MutexGuard<'static, Helpers> {
    let mut helpers = HELPERS.lock().unwrap_or_else(PoisonError::into_inner);
    let generation = fork::generation();
    if helpers.generation != generation {
        let theirs = Helpers { calls: VecDeque::new(), idle: 0, alive: 0, generation };
        // The parent's calls are the parent's to run and to drop.
        std::mem::forget(std::mem::replace(&mut *helpers, theirs));
    }
    helpers
}

/// Runs a blocking closure on a helper thread and waits for its result. A panic in it goes on
/// here.
///
/// # Errors
///
/// If no helper thread could be started and none runs (EAGAIN: see `ulimit -u`).
///
/// # Panics
///
/// With the panic of `f`; or if no loop runs on this thread.
///
/// # Cancel safety
///
/// Weak: a closure that has started runs to its end, its result is dropped.
///
/// # Examples
///
/// ```
/// uring_loop::run(async {
///     let name = uring_loop::unblock(|| std::fs::read_to_string("/proc/sys/kernel/ostype")).await;
///     assert_eq!(name.unwrap().unwrap().trim(), "Linux");
/// })
/// # .unwrap();
/// ```
#[doc(alias = "to_thread")]
#[doc(alias = "run_in_executor")]
#[doc(alias = "spawn_blocking")]
pub async fn unblock<T, F>(f: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    // Nobody may want the result any more.
    enqueue(Box::new(move || drop(sender.send(catch_unwind(AssertUnwindSafe(f))))))?;
    let _hold = crate::hold::hold("unblock");
    match receiver.await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(_) => Err(io::Error::other("a helper thread went away without an answer")),
    }
}

fn enqueue(call: Call) -> io::Result<()> {
    context::core("unblock", |_| ());
    let mut helpers = helpers();
    helpers.calls.push_back(call);
    if helpers.calls.len() > helpers.idle && helpers.alive < MOST {
        helpers.alive += 1;
        let started = std::thread::Builder::new().name("uring-helper".into()).spawn(help);
        if let Err(error) = started {
            helpers.alive -= 1;
            if helpers.alive == 0 {
                helpers.calls.pop_back();
                let message = format!("starting a helper thread: {error}");
                return Err(io::Error::new(error.kind(), message));
            }
        }
    }
    drop(helpers);
    ARRIVED.notify_one();
    Ok(())
}

fn help() {
    let mut guard = helpers();
    loop {
        if let Some(call) = guard.calls.pop_front() {
            drop(guard);
            // A result that nobody waits for is dropped in there; that may panic, and must not cost
            // us the thread, which would be counted as alive for ever.
            if catch_unwind(AssertUnwindSafe(call)).is_err() {
                tracing::error!("what a helper thread computed panicked in drop");
            }
            guard = helpers();
            continue;
        }
        guard.idle += 1;
        let (woken, timeout) =
            ARRIVED.wait_timeout(guard, IDLE).unwrap_or_else(PoisonError::into_inner);
        guard = woken;
        guard.idle -= 1;
        if timeout.timed_out() && guard.calls.is_empty() {
            guard.alive -= 1;
            return;
        }
    }
}
