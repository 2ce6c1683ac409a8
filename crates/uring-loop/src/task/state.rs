//! The words of a task's state: what they mean, and every transition.
//!
//! A task has two words. [`Flags`] belong to the loop's thread and are a plain cell. [`Shared`] is
//! the only thing other threads touch: it counts references and says whether the task stands at
//! the door.
//!
//! # Protocol of `Shared`
//!
//! | bit | meaning |
//! |---|---|
//! | `QUEUED` | some thread has pushed the task through the door, or is about to; the door holds a reference for it |
//! | `CLOSED` | the task is complete: wakes do nothing any more |
//! | `REF`… | references: one for everything on the loop's thread together, one per `Waker` (clone), one for the door while `QUEUED` |
//!
//! *Another thread wakes* by setting `QUEUED`; who finds it set, or finds `CLOSED`, does nothing;
//! who sets it takes a reference for the door, pushes, and rings. *The loop* clears `QUEUED` when
//! it takes the task from the door, **before** it schedules it. So a wake either finds `QUEUED`
//! set, and then the clearing and the poll are still to come (the clearing is an RMW on the same
//! word, so it acquires what the waker released); or it finds it clear and pushes again. No wake is
//! lost.
//!
//! *Freeing*: whoever takes the last reference frees the memory. The future and the output are
//! never in it by then: they are dropped by the loop's thread, which holds the local reference
//! until they are gone.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, Ordering};

const QUEUED: u32 = 1;
const CLOSED: u32 = 2;
const REF: u32 = 4;

/// The word shared between threads. See the module's protocol.
#[derive(Debug)]
pub(crate) struct Shared(AtomicU32);

impl Shared {
    /// One reference: the loop thread's.
    pub(crate) fn new() -> Self {
        Shared(AtomicU32::new(REF))
    }

    /// One reference more, for a caller who has one.
    pub(crate) fn retain(&self) {
        // Relaxed as in Arc::clone: the new reference comes from an old one.
        let old = self.0.fetch_add(REF, Ordering::Relaxed);
        if old > u32::MAX / 2 {
            // A billion leaked wakers: the count must not wrap into a use after free.
            std::process::abort();
        }
    }

    /// One reference less. `true`: it was the last, free the memory.
    #[must_use]
    pub(crate) fn release(&self) -> bool {
        // Alone, nobody can take another reference: the RMW is saved.
        // Release: our uses come before the freeing. Acquire: the freeing comes after theirs.
        self.unique() || self.0.fetch_sub(REF, Ordering::AcqRel) < 2 * REF
    }

    /// Whether only one reference is left. If it is the caller's own, nobody can make another.
    pub(crate) fn unique(&self) -> bool {
        self.0.load(Ordering::Acquire) < 2 * REF
    }

    /// A wake from anywhere. `true`: push the task through the door, which now has a reference.
    #[must_use]
    pub(crate) fn wake(&self) -> bool {
        let old = self.0.fetch_or(QUEUED, Ordering::AcqRel);
        if old & (QUEUED | CLOSED) != 0 {
            return false;
        }
        self.retain();
        true
    }

    /// The loop took the task from the door; a later wake shall push it again.
    pub(crate) fn unqueue(&self) {
        self.0.fetch_and(!QUEUED, Ordering::AcqRel);
    }

    /// The task is complete.
    pub(crate) fn close(&self) {
        self.0.fetch_or(CLOSED, Ordering::AcqRel);
    }
}

/// The loop thread's flags.
pub(crate) mod flags {
    /// In the run queue. The queue needs no reference: the loop's is kept until it is popped.
    pub(crate) const SCHEDULED: u16 = 1 << 0;
    /// Being polled.
    pub(crate) const RUNNING: u16 = 1 << 1;
    /// The future is gone; the output is there unless `TAKEN`.
    pub(crate) const COMPLETE: u16 = 1 << 2;
    /// The output is gone too.
    pub(crate) const TAKEN: u16 = 1 << 3;
    /// A `Task` handle exists.
    pub(crate) const HANDLE: u16 = 1 << 4;
    /// Polled at least once.
    pub(crate) const STARTED: u16 = 1 << 5;
    /// A cancel waits for the next park.
    pub(crate) const CANCEL: u16 = 1 << 6;
    /// Drop the future as soon as the poll in progress returns.
    pub(crate) const ABORT: u16 = 1 << 7;
    /// The loop's reference is to be released when the run queue lets go of the task.
    pub(crate) const RELEASE_ON_POP: u16 = 1 << 8;
    /// Catchers in the task were asked; look at the next park whether they have heard it.
    pub(crate) const ASKED: u16 = 1 << 9;
    /// The loop's table has extras of this task.
    pub(crate) const EXTRAS: u16 = 1 << 10;
    /// A callback: it is not counted among the tasks.
    pub(crate) const CALLBACK: u16 = 1 << 11;
    /// The output is a failure that was neither taken nor reported.
    pub(crate) const FAILED: u16 = 1 << 12;
    /// The number of the reader that finds an error in the output (`failure.rs`); 0: there is none.
    pub(crate) const READER: u16 = 0b111 << READER_SHIFT;
    pub(crate) const READER_SHIFT: u32 = 13;
    /// The reader's number is 1: it is the one of `io::Result<()>`.
    pub(crate) const FALLIBLE: u16 = 1 << READER_SHIFT;

    /// Names, for Debug.
    pub(crate) const NAMES: [&str; 13] = [
        "scheduled",
        "running",
        "complete",
        "taken",
        "handle",
        "started",
        "cancel",
        "abort",
        "release-on-pop",
        "asked",
        "extras",
        "callback",
        "failed",
    ];
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicBool;
    use loom::thread;

    /// Two threads wake, the loop drains: whatever was written before a wake is seen by a poll
    /// that comes after the last unqueue, and the door is asked at least once.
    #[test]
    fn loom_no_wake_is_lost() {
        loom::model(|| {
            let state = Arc::new(Shared::new());
            let data = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
            let pushed = Arc::new(loom::sync::atomic::AtomicUsize::new(0));
            let wakers: Vec<_> = (0..2)
                .map(|index| {
                    let (state, data, pushed) = (state.clone(), data.clone(), pushed.clone());
                    thread::spawn(move || {
                        data[index].store(true, Ordering::Relaxed);
                        if state.wake() {
                            pushed.fetch_add(1, Ordering::Release);
                        }
                    })
                })
                .collect();
            let mut polls = 0;
            let mut seen = [false; 2];
            let mut drain = |seen: &mut [bool; 2]| {
                while pushed.load(Ordering::Acquire) > polls {
                    polls += 1;
                    state.unqueue();
                    for (seen, data) in seen.iter_mut().zip(data.iter()) {
                        *seen |= data.load(Ordering::Relaxed);
                    }
                }
            };
            drain(&mut seen);
            for waker in wakers {
                waker.join().expect("no panic");
            }
            drain(&mut seen);
            assert_eq!(seen, [true, true]);
        });
    }

    /// The last of three references frees, exactly once, after every use.
    #[test]
    fn loom_the_last_reference_frees_once() {
        struct Cell(Shared, UnsafeCell<u32>, AtomicBool);
        // SAFETY: for the model only: `UnsafeCell` is loom's and checks every access.
        unsafe impl Sync for Cell {}
        // SAFETY: as above.
        unsafe impl Send for Cell {}
        loom::model(|| {
            let cell = Arc::new(Cell(Shared::new(), UnsafeCell::new(0), AtomicBool::new(false)));
            let free = |cell: &Cell| {
                assert!(!cell.2.swap(true, Ordering::Relaxed), "freed twice");
                cell.1.with_mut(|value| {
                    // SAFETY: loom verifies that no other access is concurrent.
                    unsafe { *value += 1 }
                });
            };
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    cell.0.retain();
                    let cell = cell.clone();
                    thread::spawn(move || {
                        cell.1.with(|value| {
                            // SAFETY: a reference is held.
                            unsafe { *value }
                        });
                        if cell.0.release() {
                            free(&cell);
                        }
                    })
                })
                .collect();
            if cell.0.release() {
                free(&cell);
            }
            for thread in threads {
                thread.join().expect("no panic");
            }
            assert!(cell.2.load(Ordering::Relaxed), "never freed");
        });
    }

    /// A wake that races with completion either pushes (and the door's reference keeps the memory)
    /// or does nothing.
    #[test]
    fn loom_a_wake_after_close_does_nothing() {
        loom::model(|| {
            let state = Arc::new(Shared::new());
            state.retain();
            let waker = {
                let state = state.clone();
                thread::spawn(move || {
                    let pushed = state.wake();
                    (pushed, state.release())
                })
            };
            state.close();
            let (pushed, last) = waker.join().expect("no panic");
            assert!(!last);
            assert!(!state.wake());
            assert_eq!(state.release(), !pushed);
            if pushed {
                state.unqueue();
                assert!(state.release());
            }
        });
    }
}
