//! How many items the next chunk of a map takes. Pure.

use std::time::Duration;

/// How large the next chunk is: fixed, or steered so that one takes about as long as it should.
#[derive(Debug)]
pub(super) struct Sizes {
    size: usize,
    /// What a chunk should take; `None` for a fixed size.
    target: Option<Duration>,
}

impl Sizes {
    /// Long against what handing over a chunk costs (some us), short against what a human or a
    /// balanced load notices.
    pub(super) const TARGET: Duration = Duration::from_micros(100);
    /// A chunk and its results stay in the cache, and below what the allocator maps afresh for
    /// each: by then handing over costs less than a tenth of a nanosecond per item.
    const LARGEST: usize = 4096;

    pub(super) fn automatic(target: Duration) -> Sizes {
        Sizes { size: 1, target: Some(target) }
    }

    pub(super) fn fixed(size: usize) -> Sizes {
        Sizes { size, target: None }
    }

    pub(super) fn next(&self) -> usize {
        self.size
    }

    /// Grows at most fourfold at a time (one fast item says little), shrinks at once.
    pub(super) fn learn(&mut self, items: usize, took: Duration) {
        let Some(target) = self.target.filter(|_| items > 0) else { return };
        let per_item = (took.as_nanos() / items as u128).max(1);
        let ideal = usize::try_from(target.as_nanos() / per_item).unwrap_or(usize::MAX);
        self.size = ideal.min(self.size.saturating_mul(4)).clamp(1, Self::LARGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(per_item: Duration) -> usize {
        let mut sizes = Sizes::automatic(Sizes::TARGET);
        for _ in 0..20 {
            let size = sizes.next();
            sizes.learn(size, per_item * size as u32);
        }
        sizes.next()
    }

    #[test]
    fn cheap_items_go_in_large_chunks_and_dear_ones_singly() {
        assert_eq!(settle(Duration::from_micros(1)), 100);
        assert_eq!(settle(Duration::from_nanos(1)), Sizes::LARGEST);
        assert_eq!(settle(Duration::ZERO), Sizes::LARGEST);
        assert_eq!(settle(Duration::from_millis(5)), 1);
    }

    #[test]
    fn growth_is_gradual_and_shrinking_is_at_once() {
        let mut sizes = Sizes::automatic(Sizes::TARGET);
        sizes.learn(1, Duration::ZERO);
        assert_eq!(sizes.next(), 4);
        sizes.learn(4, Duration::ZERO);
        assert_eq!(sizes.next(), 16);
        sizes.learn(16, Duration::from_secs(1));
        assert_eq!(sizes.next(), 1);
    }

    #[test]
    fn a_fixed_size_learns_nothing() {
        let mut sizes = Sizes::fixed(7);
        sizes.learn(7, Duration::ZERO);
        assert_eq!(sizes.next(), 7);
    }
}
