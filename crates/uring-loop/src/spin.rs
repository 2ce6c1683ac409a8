//! Looking before sleeping: a bounded, adaptive spin.
//!
//! Waking a parked core costs tens of microseconds (a halted virtual CPU), a look at shared memory
//! nanoseconds. Where messages come close after each other it pays to look for a while before
//! parking; where they don't, it only burns. So a spin that brought nothing makes the loop skip the
//! next ones, twice as many each time up to a bound; one that brought something undoes that.

use std::cell::Cell;
use std::time::{Duration, Instant};

const MOST_SKIPPED: u32 = 64;
/// Looks between two readings of the clock.
const LOOKS: u32 = 32;

/// How long a loop looks before it parks.
#[derive(Debug)]
pub(crate) struct Spin {
    limit: Duration,
    /// Parks to skip before the next spin.
    skip: Cell<u32>,
    /// How many to skip after the next failure.
    penalty: Cell<u32>,
}

impl Spin {
    pub(crate) fn new(limit: Duration) -> Self {
        Spin { limit, skip: Cell::new(0), penalty: Cell::new(1) }
    }

    /// Whether the next [`until`](Self::until) looks at all.
    pub(crate) fn is_next(&self) -> bool {
        !self.limit.is_zero() && self.skip.get() == 0
    }

    /// Looks until `found` or the limit is reached. `true`: found.
    pub(crate) fn until(&self, mut found: impl FnMut() -> bool) -> bool {
        if self.limit.is_zero() {
            return false;
        }
        if self.skip.get() > 0 {
            self.skip.set(self.skip.get() - 1);
            return false;
        }
        let start = Instant::now();
        loop {
            for _ in 0..LOOKS {
                if found() {
                    self.penalty.set(1);
                    return true;
                }
                std::hint::spin_loop();
            }
            if start.elapsed() >= self.limit {
                break;
            }
        }
        self.skip.set(self.penalty.get());
        self.penalty.set((self.penalty.get() * 2).min(MOST_SKIPPED));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spin_that_fails_makes_the_next_ones_rarer() {
        let spin = Spin::new(Duration::from_micros(1));
        let spun = |spin: &Spin| {
            let mut looked = false;
            spin.until(|| {
                looked = true;
                false
            });
            looked
        };
        let pattern: Vec<bool> = (0..8).map(|_| spun(&spin)).collect();
        assert_eq!(pattern, [true, false, true, false, false, true, false, false]);
    }

    #[test]
    fn a_spin_that_finds_something_is_repeated() {
        let spin = Spin::new(Duration::from_secs(1));
        assert!((0..100).all(|_| spin.until(|| true)));
    }

    #[test]
    fn no_limit_means_no_look() {
        assert!(!Spin::new(Duration::ZERO).until(|| panic!("looked")));
    }
}
