//! `Kick`: makes the thread look up that leads, wherever it sleeps.
//!
//! # Protocol
//!
//! The leader sleeps in poll(2), with the event among its descriptors, or on words, with `count`
//! among them (`lead.rs`). It reads `count` **first**, then looks whether there is a reason not to
//! sleep, then sleeps while `count` is what it read. Who kicks makes the reason **first**, then
//! counts, then wakes. So either the look finds the reason, or the sleep finds another count, or
//! the wake finds the sleeper. The event stays readable until the leader has heard it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, Ordering};

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, Ordering};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::futex;

#[derive(Debug)]
pub(super) struct Kick {
    event: EventFd,
    /// How often, so far.
    count: AtomicU32,
}

impl Kick {
    pub(super) fn new() -> io::Result<Kick> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Kick { event: EventFd::from_flags(flags)?, count: AtomicU32::new(0) })
    }

    /// The leader looks up, and looks for what there is to do.
    pub(super) fn kick(&self) {
        // EAGAIN: the counter is full, so it is readable, which is all that is asked for.
        let _ = self.event.write(1);
        self.kick_from_words();
    }

    /// The same, for a leader that is known to sleep on words.
    pub(super) fn kick_from_words(&self) {
        // Release, and Acquire in `count`: what was done before is seen by who has seen the count.
        self.count.fetch_add(1, Ordering::Release);
        futex::wake(&self.count);
    }

    pub(super) fn count(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    /// To sleep on.
    pub(super) fn word(&self) -> &AtomicU32 {
        &self.count
    }

    /// Leader: it has heard the event.
    pub(super) fn hear(&self) {
        let _ = self.event.read();
    }
}

impl AsFd for Kick {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::atomic::AtomicBool;
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    /// The kernel, which puts to sleep under the lock that a wake takes.
    #[derive(Default)]
    struct Kernel {
        lock: Mutex<()>,
        change: Condvar,
    }

    #[test]
    fn loom_no_kick_is_slept_through() {
        loom::model(|| {
            let shared =
                Arc::new((Kick::new().unwrap(), AtomicBool::new(false), Kernel::default()));
            let kicker = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let (kick, reason, kernel) = &*shared;
                    reason.store(true, Ordering::Relaxed);
                    kick.kick_from_words();
                    drop(kernel.lock.lock().unwrap());
                    kernel.change.notify_one();
                })
            };
            let (kick, reason, kernel) = &*shared;
            loop {
                let kicks = kick.count();
                if reason.load(Ordering::Relaxed) {
                    break;
                }
                let lock = kernel.lock.lock().unwrap();
                if kick.count() == kicks {
                    drop(kernel.change.wait(lock).unwrap());
                }
            }
            kicker.join().unwrap();
        });
    }
}
