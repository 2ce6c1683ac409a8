//! One word per call under way that decides, once, who has it: the worker or the parent.
//!
//! # Protocol
//!
//! The word lies in memory shared by parent and worker. It holds the call's ticket (counted per
//! worker, never reused) and a state in its two lowest bits:
//!
//! ```text
//!             offer                 claim (worker: about to run it)
//!   (any) ------------> OFFERED ------------------------------------> CLAIMED
//!                          |
//!                          |        recall (parent: cancelled, or given to an idle worker)
//!                          +----------------------------------------> RECALLED
//! ```
//!
//! `claim` and `recall` are one compare-exchange from the same value, so exactly one of them
//! succeeds. `offer` is plain: the slot's previous call has been answered (the parent reuses a slot
//! only then), so neither side looks at the old word any more; and the worker looks at the new one
//! only after it has received the frame with the ticket, which the parent sent after the store:
//! the ring, or the socket, orders the two. A ticket that does not match is never changed, so a
//! confused worker can spoil only its own calls. A worker that dies leaves the word as it is:
//! CLAIMED names the one call it was running.
//!
//! Orderings: the arguments travel with the frame and nothing else is published by these words, so
//! the compare-exchange needs no more than to be atomic. It is AcqRel all the same: what the parent
//! does after a failed recall (read the death of the worker, say) must not be seen before the
//! claim.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering};

const OFFERED: u64 = 1;
const CLAIMED: u64 = 2;
const RECALLED: u64 = 3;

/// The word. All-zero memory is a valid one: no call was ever offered.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Claim(AtomicU64);

impl Claim {
    #[cfg(any(test, loom))]
    pub(crate) fn new() -> Claim {
        Claim(AtomicU64::new(0))
    }

    /// Parent: the slot is now that of call `ticket`, which either side may take.
    pub(crate) fn offer(&self, ticket: u64) {
        self.0.store(ticket << 2 | OFFERED, Ordering::Release);
    }

    /// Worker: takes the call to run it. `false`: the parent took it back.
    pub(crate) fn claim(&self, ticket: u64) -> bool {
        self.take(ticket, CLAIMED)
    }

    /// Parent: takes the call back. `false`: the worker has started it.
    pub(crate) fn recall(&self, ticket: u64) -> bool {
        self.take(ticket, RECALLED)
    }

    /// Whether the worker has taken the call.
    pub(crate) fn is_claimed(&self, ticket: u64) -> bool {
        self.0.load(Ordering::Acquire) == ticket << 2 | CLAIMED
    }

    fn take(&self, ticket: u64, state: u64) -> bool {
        let offered = ticket << 2 | OFFERED;
        let taken = ticket << 2 | state;
        self.0.compare_exchange(offered, taken, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_taker_gets_a_call() {
        let word = Claim::new();
        word.offer(1);
        assert!(!word.is_claimed(1));
        assert!(word.claim(1));
        assert!(word.is_claimed(1));
        assert!(!word.recall(1) && !word.claim(1));
        word.offer(17);
        assert!(word.recall(17));
        assert!(!word.claim(17) && !word.is_claimed(17));
    }

    #[test]
    fn another_calls_ticket_takes_nothing() {
        let word = Claim::new();
        assert!(!word.claim(0) && !word.recall(0));
        word.offer(5);
        assert!(!word.claim(4) && !word.recall(6));
        assert!(word.claim(5));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    #[test]
    fn loom_claim_and_recall_have_one_winner() {
        loom::model(|| {
            let word = Arc::new(Claim::new());
            word.offer(1);
            let worker = {
                let word = Arc::clone(&word);
                thread::spawn(move || word.claim(1))
            };
            let recalled = word.recall(1);
            let claimed = worker.join().unwrap();
            assert!(claimed != recalled);
            assert_eq!(word.is_claimed(1), claimed);
        });
    }

    #[test]
    fn loom_two_recalls_and_a_claim_have_one_winner() {
        loom::model(|| {
            let word = Arc::new(Claim::new());
            word.offer(1);
            let takers: Vec<_> = [Claim::claim, Claim::recall]
                .into_iter()
                .map(|take| {
                    let word = Arc::clone(&word);
                    thread::spawn(move || take(&word, 1))
                })
                .collect();
            let mut winners = usize::from(word.recall(1));
            for taker in takers {
                winners += usize::from(taker.join().unwrap());
            }
            assert_eq!(winners, 1);
        });
    }

    #[test]
    fn loom_a_reused_slot_is_not_taken_by_the_old_ticket() {
        loom::model(|| {
            let word = Arc::new(Claim::new());
            word.offer(1);
            assert!(word.recall(1));
            let worker = {
                let word = Arc::clone(&word);
                thread::spawn(move || word.claim(1))
            };
            word.offer(17);
            assert!(!worker.join().unwrap());
            assert!(word.recall(17));
        });
    }
}
