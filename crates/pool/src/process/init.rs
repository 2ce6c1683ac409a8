//! `init()`: the place in `main` where a worker turns aside.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::sys;
use super::worker;

/// How a worker's `argv[0]` begins.
pub(super) const MARK: &str = "pool-worker ";

static DONE: AtomicBool = AtomicBool::new(false);
static DEPTH: AtomicU32 = AtomicU32::new(0);

/// Lets this program serve as its own worker processes. Call it first in `main`, before anything
/// that prints, reads arguments or starts threads: a [`ProcessPool`](crate::ProcessPool) starts the
/// program again, and in a worker this call does not return. Otherwise it does nothing and costs
/// nothing.
///
/// A process pool refuses to be built in a program that has not called it. (Tests of the standard
/// harness have no `main` of their own; put tests of process pools into a test target with
/// `harness = false`.)
///
/// # Examples
///
/// ```
/// fn main() -> std::io::Result<()> {
///     pool::init();
///     let pool = pool::ProcessPool::new()?;
///     println!("{:?}", pool.submit(|n: u64| n + 1, (1,)).wait());
///     Ok(())
/// }
/// ```
pub fn init() {
    DONE.store(true, Ordering::Release);
    // Both must be so: a name alone can be given by anybody, and a program may well have a socket
    // as its input.
    let named = std::env::args_os()
        .next()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(MARK.as_bytes()));
    if named && sys::stdin_is_a_socket() {
        worker::run();
    }
}

/// Whether `init` was called.
pub(super) fn is_done() -> bool {
    DONE.load(Ordering::Acquire)
}

/// How many pools this process is inside of: 0 in the program itself, 1 in its workers.
pub(super) fn depth() -> u32 {
    // Relaxed: set once, before the first job runs.
    DEPTH.load(Ordering::Relaxed)
}

pub(super) fn set_depth(depth: u32) {
    DEPTH.store(depth, Ordering::Relaxed);
}
