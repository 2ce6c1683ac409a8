//! What is left to chance in a scenario, all of it from one seed.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// A generator of random numbers; clones draw from the same sequence.
#[derive(Clone, Debug)]
pub(crate) struct Chance(Rc<Cell<u64>>);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Chance(Rc::new(Cell::new(seed ^ 0x5bd1_e995_9d1c_a1f7)))
    }

    /// The next 64 bits (splitmix64: Steele, Lea and Flood, 2014).
    pub(crate) fn draw(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&self, end: usize) -> usize {
        (self.draw() % end as u64) as usize
    }

    /// A number from `first` to `last`.
    pub(crate) fn between(&self, first: usize, last: usize) -> usize {
        first + self.below(last - first + 1)
    }

    /// True once in so many times.
    pub(crate) fn one_in(&self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn bytes(&self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.draw().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    /// A short time: often nothing at all, and never more than 20 ms.
    pub(crate) fn moment(&self) -> Duration {
        match self.below(4) {
            0 => Duration::ZERO,
            1 => Duration::from_micros(self.between(1, 200) as u64),
            2 => Duration::from_millis(self.between(1, 3) as u64),
            _ => Duration::from_millis(self.between(1, 20) as u64),
        }
    }
}
