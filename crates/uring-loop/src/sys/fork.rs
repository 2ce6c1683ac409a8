//! Noticing that this process is a forked child.
//!
//! A ring belongs to the process that made it: its memory is not mapped in a child
//! (`MADV_DONTFORK`), and an enter from the child would be refused. A counter that a
//! `pthread_atfork` handler raises in every child costs one load to compare, which `getpid` would
//! not.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

static GENERATION: AtomicU32 = AtomicU32::new(0);
static REGISTER: Once = Once::new();

extern "C" fn in_child() {
    // An atomic add is safe in a signal-like context.
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// A number that differs in every forked descendant.
pub(crate) fn generation() -> u32 {
    if mutant!("fork-not-noticed") { 0 } else { GENERATION.load(Ordering::Relaxed) }
}

/// Ends a use of the parent's loop, in words that name the cause and the fix.
pub(crate) fn refuse() -> ! {
    panic!(
        "this event loop belongs to the process that made it: after fork(2) the child must make \
         its own (EventLoop::new), and may not run or poll the parent's"
    )
}

/// Installs the handler, once per process. Called before the first ring is made.
pub(crate) fn watch() {
    REGISTER.call_once(|| {
        // SAFETY: the handler is a plain function that lives as long as the program and only
        // touches an atomic (pthread_atfork(3)).
        let result = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        if result != 0 {
            // ENOMEM. Without the handler a use after fork ends in a clean SIGSEGV, since the
            // ring's memory is not mapped in the child: no corruption either way.
            tracing::warn!("pthread_atfork failed: a loop used after fork will not be noticed");
        }
    });
}
