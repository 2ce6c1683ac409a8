//! A word that two threads share, or two processes, to spin on or to sleep on: what floors by hand
//! are made of.

use std::io;
use std::ops::Deref;
use std::ptr::NonNull;
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

    /// [`publish`](Self::publish), for processes that share the memory.
    pub fn publish_shared(&self, value: u32) {
        self.0.store(value, Ordering::Release);
        self.futex(libc::FUTEX_WAKE, 1);
    }

    /// [`wait_while`](Self::wait_while), for processes that share the memory.
    pub fn wait_while_shared(&self, before: u32) {
        while self.get() == before {
            self.futex(libc::FUTEX_WAIT, before);
        }
    }

    fn futex(&self, operation: libc::c_int, value: u32) {
        let no_timeout = std::ptr::null::<libc::timespec>();
        // SAFETY: the word is alive during the call, and a null timeout means none.
        unsafe { libc::syscall(libc::SYS_futex, self.0.as_ptr(), operation, value, no_timeout) };
    }
}

/// A value in memory that stays one and the same over fork(2).
#[derive(Debug)]
pub struct Shared<T>(NonNull<T>);

impl<T: Sync> Shared<T> {
    /// Maps memory and puts it there. A process that is forked off has it too.
    ///
    /// # Errors
    ///
    /// Those of mmap(2).
    pub fn new(value: T) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let nowhere = std::ptr::null_mut();
        // SAFETY: a new mapping, which overlaps nothing.
        let memory = unsafe { libc::mmap(nowhere, size_of::<T>(), access, kind, -1, 0) };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast::<T>()).expect("a mapping isn't at address 0");
        // SAFETY: it is large enough, begins at a page and is nobody else's.
        unsafe { memory.write(value) };
        Ok(Self(memory))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `new` has put a value there, which is only ever shared.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length; who borrowed from it is gone. The value is not
        // dropped: another process may use it.
        unsafe { libc::munmap(self.0.as_ptr().cast(), size_of::<T>()) };
    }
}
