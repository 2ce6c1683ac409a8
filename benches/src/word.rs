//! A word that two threads share, to spin on or to sleep on: what floors by hand are made of.

use std::sync::atomic::{AtomicU32, Ordering};

/// A counter the other side waits on. Alone on its cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Word(AtomicU32);

impl Word {
    /// What it is now. Together with [`set`](Self::set) one order for all: who sets a word and then
    /// looks at another, and who does it the other way round, do not both miss it.
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    /// Makes it another value; whoever sleeps on it sleeps on.
    pub fn set(&self, value: u32) {
        self.0.store(value, Ordering::SeqCst);
    }

    /// Makes it another value and wakes who sleeps on it, with a system call either way.
    pub fn publish(&self, value: u32) {
        self.0.store(value, Ordering::Release);
        self.wake();
    }

    /// Wakes who sleeps on it.
    pub fn wake(&self) {
        self.futex(libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1);
    }

    /// Sleeps until the word is no longer `before`. The kernel compares and parks in one step, so a
    /// publication in between is not lost.
    pub fn wait_while(&self, before: u32) {
        while self.get() == before {
            self.futex(libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG, before);
        }
    }

    fn futex(&self, operation: libc::c_int, value: u32) {
        let no_timeout = std::ptr::null::<libc::timespec>();
        // SAFETY: the word is alive during the call, and a null timeout means none.
        unsafe { libc::syscall(libc::SYS_futex, self.0.as_ptr(), operation, value, no_timeout) };
    }
}
