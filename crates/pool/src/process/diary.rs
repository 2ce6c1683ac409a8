//! The marks of a diary: what a worker notes, in shared memory, about the call it runs.
//!
//! # Protocol
//!
//! One writer, the thread of the worker that runs calls (a panic hook on another thread writes
//! `words` only, under a lock of its own); any number of readers in the parent. The bytes that
//! `shelved` and `words` count lie elsewhere on the page (`page.rs`).
//!
//! * `begin` comes before the claim of the call, and the claim is a release. So a parent that has
//!   seen the claim (an acquire) sees the marks of this call, or of a later one: never what was
//!   left by an earlier one, which could have run far longer than this one's limit.
//! * The bytes are written before their count, which is a release: whoever counts them, by an
//!   acquire, finds them. A worker that dies between the two has one result less, and its item runs
//!   again.
//! * `clear_shelf` empties the shelf before it says that the results were sent. A worker that dies
//!   between the two leaves an empty shelf, and the results are those that were sent; the other way
//!   round they would count twice.
//! * All but `started` is read only when the worker is gone: its marks are then what it last wrote.

use std::time::Duration;

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering};

use super::claim::Claim;

/// The marks. All-zero memory is valid: nothing was ever begun.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Marks {
    /// When the call, or in a chunk the item, was started: nanoseconds of the monotonic clock.
    started: AtomicU64,
    /// In a chunk: how many items were begun.
    begun: AtomicU64,
    /// In a chunk: how many items' results were sent off before those on the shelf.
    sent_off: AtomicU64,
    /// Bytes on the shelf.
    shelved: AtomicU64,
    /// Bytes of last words.
    words: AtomicU64,
}

/// How far a worker had come with a chunk, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) begun: u64,
    pub(super) sent_off: u64,
    /// Bytes.
    pub(super) shelved: u64,
}

impl Marks {
    #[cfg(all(test, loom))]
    fn new() -> Marks {
        let zero = || AtomicU64::new(0);
        let (started, begun, sent_off) = (zero(), zero(), zero());
        Marks { started, begun, sent_off, shelved: zero(), words: zero() }
    }

    /// Worker: takes the call, unless it was taken back, and begins its marks.
    pub(super) fn begin(&self, claim: &Claim, ticket: u64, now: u64) -> bool {
        for mark in [&self.begun, &self.sent_off, &self.shelved, &self.words] {
            if !mutant!("diary-of-another-call") {
                mark.store(0, Ordering::Relaxed);
            }
        }
        if mutant!("marks-after-the-claim") {
            let claimed = claim.claim(ticket);
            self.note_start(now);
            return claimed;
        }
        self.note_start(now);
        claim.claim(ticket)
    }

    /// Worker: a call, or in a chunk an item whose time counts, starts now.
    pub(super) fn note_start(&self, now: u64) {
        self.started.store(now, Ordering::Release);
    }

    /// Worker: so many items of the chunk have been begun.
    pub(super) fn note_begun(&self, items: u64) {
        self.begun.store(items, Ordering::Release);
    }

    /// Worker: puts so many bytes on the shelf, by `write`, which gets the place of the first one.
    /// `false`: there is no room for them on a shelf of this `size`.
    pub(super) fn shelve(&self, bytes: usize, size: usize, write: impl FnOnce(usize)) -> bool {
        // Relaxed: nobody else writes it.
        let from = self.shelved.load(Ordering::Relaxed) as usize;
        if bytes > size.saturating_sub(from) {
            return false;
        }
        let shelved = (from + bytes) as u64;
        if mutant!("counted-before-written") {
            self.shelved.store(shelved, Ordering::Release);
        }
        write(from);
        self.shelved.store(shelved, Ordering::Release);
        true
    }

    /// Worker: all results so far, those of `items` items, have been sent.
    pub(super) fn clear_shelf(&self, items: u64) {
        self.shelved.store(0, Ordering::Release);
        self.sent_off.store(items, Ordering::Release);
    }

    /// Worker: so many bytes of last words are written; 0: it has survived them.
    pub(super) fn keep_words(&self, bytes: u64) {
        self.words.store(bytes, Ordering::Release);
    }

    /// Parent: for how long the call that was claimed has been running.
    pub(super) fn running_for(&self, now: u64) -> Duration {
        Duration::from_nanos(now.saturating_sub(self.started.load(Ordering::Acquire)))
    }

    /// Parent: how far the worker has come.
    pub(super) fn progress(&self) -> Progress {
        // The count of the bytes first: they are then at least as old as the rest.
        let shelved = self.shelved.load(Ordering::Acquire);
        let begun = self.begun.load(Ordering::Acquire);
        Progress { begun, sent_off: self.sent_off.load(Ordering::Acquire), shelved }
    }

    /// Parent: bytes of last words.
    pub(super) fn words(&self) -> u64 {
        self.words.load(Ordering::Acquire)
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    /// The second call starts at 20: a limit of 15 counted from the first one's start is over.
    #[test]
    fn loom_a_call_that_is_seen_claimed_has_its_own_start() {
        loom::model(|| {
            let shared = Arc::new((Marks::new(), [Claim::new(), Claim::new()]));
            let (marks, claims) = &*shared;
            claims[0].offer(0);
            claims[1].offer(1);
            let worker = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let (marks, claims) = &*shared;
                    assert!(marks.begin(&claims[0], 0, 10));
                    assert!(marks.begin(&claims[1], 1, 20));
                })
            };
            for (ticket, start) in [(1, 20), (0, 10)] {
                if claims[ticket as usize].is_claimed(ticket) {
                    assert!(marks.running_for(30) <= Duration::from_nanos(30 - start));
                }
            }
            worker.join().unwrap();
        });
    }

    #[test]
    fn loom_results_that_are_counted_are_on_the_shelf() {
        loom::model(|| {
            let shelf = [UnsafeCell::new(0u8), UnsafeCell::new(0)];
            let shared = Arc::new((Marks::new(), shelf));
            // The reader is the one that is spawned: loom looks back from each access to the last
            // one before it only, and the worker's own looks would hide the reader's from it.
            let parent = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let (marks, shelf) = &*shared;
                    for at in 0..marks.progress().shelved as usize {
                        // SAFETY: loom checks that nobody writes meanwhile.
                        assert_eq!(shelf[at].with(|place| unsafe { *place }), [7, 9][at]);
                    }
                })
            };
            let (marks, shelf) = &*shared;
            for result in [7, 9] {
                let write = |at: usize| {
                    // SAFETY: loom checks that nobody reads meanwhile.
                    shelf[at].with_mut(|place| unsafe { *place = result });
                };
                assert!(marks.shelve(1, 2, write));
            }
            assert!(!marks.shelve(1, 2, |_| ()), "it is full");
            parent.join().unwrap();
        });
    }

    /// A reader at any moment, as if the worker had died there: no result counts twice.
    #[test]
    fn loom_what_was_sent_is_not_on_the_shelf() {
        loom::model(|| {
            let marks = Arc::new(Marks::new());
            marks.shelve(8, 16, |_| ());
            let worker = {
                let marks = Arc::clone(&marks);
                thread::spawn(move || marks.clear_shelf(1))
            };
            let sent_off = marks.sent_off.load(Ordering::Acquire);
            let shelved = marks.shelved.load(Ordering::Acquire);
            assert!(sent_off == 0 || shelved == 0, "{sent_off} sent and {shelved} bytes left");
            worker.join().unwrap();
        });
    }
}
