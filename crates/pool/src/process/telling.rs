//! Which pools this thread is telling of a job's end: it runs a callback or a waker of the user's.
//!
//! Who collects the results of a pool also tells of them. If what is told waits for another job of
//! that pool, nobody may be left to collect its result or, on the supervisor's thread, to start a
//! worker for it. Which thread tells is a matter of luck, so such a wait is refused everywhere.

use std::cell::RefCell;

thread_local! {
    /// Their ids, the innermost last.
    static POOLS: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Runs the user's code, which does not unwind: it is caught where it is called.
pub(super) fn tell(pool: u64, code: impl FnOnce()) {
    POOLS.with_borrow_mut(|pools| pools.push(pool));
    code();
    POOLS.with_borrow_mut(Vec::pop);
}

/// Whether the caller was called by [`tell`].
pub(super) fn is_telling(pool: u64) -> bool {
    POOLS.with_borrow(|pools| pools.contains(&pool)) && !mutant!("told-ones-may-wait")
}

/// Whether the caller was called by [`tell`], for whatever pool.
pub(crate) fn is_telling_some() -> bool {
    POOLS.with_borrow(|pools| !pools.is_empty())
}

/// Before a wait for a job of that pool.
///
/// # Panics
///
/// If the caller was called by [`tell`].
pub(super) fn refuse_to_wait(pool: u64) {
    assert!(
        !is_telling(pool),
        "what is called at the end of a job (Job::on_done, a waker) waits for a job of the same \
         process pool: the thread it keeps may be the one that would bring its result; wait on \
         another thread, or give that job an on_done of its own"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telling_nests_and_ends() {
        tell(1, || {
            tell(2, || assert!(is_telling(1) && is_telling(2) && !is_telling(3)));
            assert!(is_telling(1) && !is_telling(2));
            assert!(is_telling_some());
        });
        assert!(!is_telling(1) && !is_telling_some());
        refuse_to_wait(1);
    }
}
