//! How loaded each shard is: one word per shard, which all may read.
//!
//! # The word
//!
//! The upper half counts connections; whoever hands one over counts it before it is there, so that
//! a burst of accepts spreads. The lower half is the delay of the run queue in microseconds: how
//! long a task that is ready waits for its turn, smoothed; its shard alone writes it. Everything is
//! `Relaxed`: the words are hints for a choice, and no other memory is read by what they say. The
//! counts themselves are exact, since they only change by adding and subtracting.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const ONE: u64 = 1 << 32;
const DELAY: u64 = ONE - 1;

/// This much delay weighs as much as one connection more.
const WEIGHT: u64 = 50;

/// One word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load(pub(crate) u64);

impl Load {
    /// That of several words which are one shard's: its connections, and the longest delay.
    pub(crate) fn sum(words: impl Iterator<Item = Load>) -> Load {
        let add = |sum: Load, word: Load| {
            Load(
                (sum.0 & !DELAY).wrapping_add(word.0 & !DELAY)
                    | (sum.0 & DELAY).max(word.0 & DELAY),
            )
        };
        words.fold(Load(0), add)
    }

    /// With so many connections that are on their way.
    pub(crate) fn and(self, connections: u64) -> Load {
        Load(self.0.saturating_add(connections.saturating_mul(ONE)))
    }

    fn connections(self) -> usize {
        (self.0 / ONE) as usize
    }

    /// What is compared: connections, and the delay as if it were such.
    fn score(self) -> u64 {
        self.0 / ONE + (self.0 & DELAY) / WEIGHT
    }
}

/// The least loaded with fewer than `limit` connections; of equals, the first.
pub(super) fn least<T>(loads: impl Iterator<Item = (T, Load)>, limit: usize) -> Option<(T, Load)> {
    loads.filter(|(_, load)| load.connections() < limit).min_by_key(|(_, load)| load.score())
}

/// Who should have the next connection of the one with that load, if that is so much worse off than
/// the best that moving one is worth its cost: by a quarter and by four connections.
pub(super) fn relief<T>(
    own: Load,
    loads: impl Iterator<Item = (T, Load)>,
    limit: usize,
) -> Option<T> {
    let (best, load) = least(loads, limit)?;
    let (mine, theirs) = (own.score(), load.score());
    (mine >= theirs + theirs / 4 + 4 || own.connections() >= limit).then_some(best)
}

/// The words of a server's shards.
#[derive(Debug)]
pub(super) struct Loads(Box<[Line]>);

/// On a line of its own: each is written by its shard all the time.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Line {
    word: AtomicU64,
    /// Connections that the shard has accepted.
    accepted: AtomicU64,
}

impl Loads {
    pub(super) fn new(shards: usize) -> Self {
        Loads((0..shards).map(|_| Line::default()).collect())
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn connections(&self, shard: usize) -> usize {
        self.load(shard).connections()
    }

    pub(super) fn add(&self, shard: usize) {
        self.0[shard].word.fetch_add(ONE, Ordering::Relaxed);
    }

    pub(super) fn remove(&self, shard: usize) {
        self.0[shard].word.fetch_sub(ONE, Ordering::Relaxed);
    }

    pub(super) fn note_accepted(&self, shard: usize) {
        self.0[shard].accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn accepted(&self, shard: usize) -> u64 {
        self.0[shard].accepted.load(Ordering::Relaxed)
    }

    /// The shard's own measure: an eighth of it counts, the rest is what was.
    pub(super) fn note_delay(&self, shard: usize, delay: Duration) {
        let now = u64::try_from(delay.as_micros()).unwrap_or(DELAY).min(DELAY / 8);
        let word = &self.0[shard].word;
        let change = |word: u64| {
            let old = word & DELAY;
            Some((word & !DELAY) | (old - old / 8 + now / 8))
        };
        let changed = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
        debug_assert!(changed.is_ok());
    }

    pub(super) fn delay(&self, shard: usize) -> Duration {
        Duration::from_micros(self.load(shard).0 & DELAY)
    }

    pub(super) fn load(&self, shard: usize) -> Load {
        Load(self.0[shard].word.load(Ordering::Relaxed))
    }

    /// All shards from `near` on, and around.
    pub(super) fn from(&self, near: usize) -> impl Iterator<Item = (usize, Load)> {
        let count = self.0.len();
        (0..count).map(move |step| (near + step) % count).map(|shard| (shard, self.load(shard)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Loads {
        fn least(&self, near: usize, limit: usize) -> Option<usize> {
            least(self.from(near), limit).map(|(shard, _)| shard)
        }

        fn relief(&self, own: usize, limit: usize) -> Option<usize> {
            relief(self.load(own), self.from(own), limit)
        }
    }

    fn loads(connections: &[usize]) -> Loads {
        let loads = Loads::new(connections.len());
        for (shard, count) in connections.iter().enumerate() {
            (0..*count).for_each(|_| loads.add(shard));
        }
        loads
    }

    #[test]
    fn the_least_loaded_is_chosen_and_of_equals_the_nearest() {
        assert_eq!(loads(&[3, 1, 2]).least(0, 9), Some(1));
        assert_eq!(loads(&[1, 1, 1]).least(2, 9), Some(2));
        assert_eq!(loads(&[5, 4, 4]).least(0, 9), Some(1));
    }

    #[test]
    fn a_shard_that_is_full_gets_nothing() {
        assert_eq!(loads(&[2, 5]).least(0, 2), None);
        let loads = loads(&[2, 1]);
        assert_eq!(loads.least(0, 2), Some(1));
        loads.remove(0);
        assert_eq!((loads.connections(0), loads.least(0, 2)), (1, Some(0)));
    }

    #[test]
    fn a_long_queue_weighs_as_connections_do_and_is_forgotten() {
        let loads = loads(&[0, 3]);
        for _ in 0..100 {
            loads.note_delay(0, Duration::from_micros(1000));
        }
        assert!(loads.delay(0) > Duration::from_micros(900), "{:?}", loads.delay(0));
        assert_eq!(loads.least(0, 9), Some(1));
        for _ in 0..100 {
            loads.note_delay(0, Duration::ZERO);
        }
        assert_eq!(loads.least(0, 9), Some(0));
        assert_eq!(loads.connections(0), 0);
    }

    #[test]
    fn a_delay_beyond_the_word_does_not_touch_the_count() {
        let loads = loads(&[1]);
        for _ in 0..200 {
            loads.note_delay(0, Duration::from_secs(100_000));
        }
        assert_eq!(loads.connections(0), 1);
    }

    #[test]
    fn several_words_of_one_shard_count_together() {
        let words = [Load(2 * ONE + 70), Load(3 * ONE + 20)];
        assert_eq!(Load::sum(words.into_iter()), Load(5 * ONE + 70));
        assert_eq!(Load(5 * ONE + 70).and(2), Load(7 * ONE + 70));
        // Whatever somebody writes there.
        assert_eq!(Load(u64::MAX).and(u64::MAX), Load(u64::MAX));
        assert_eq!(
            Load::sum([Load(u64::MAX); 3].into_iter()).score(),
            Load(u64::MAX - 2 * ONE).score()
        );
    }

    #[test]
    fn a_small_difference_is_left_as_it_is() {
        assert_eq!(loads(&[10, 7]).relief(0, 99), None);
        assert_eq!(loads(&[13, 7]).relief(0, 99), Some(1));
        assert_eq!(loads(&[4, 0]).relief(0, 99), Some(1));
        assert_eq!(loads(&[2, 0]).relief(0, 2), Some(1), "full");
        assert_eq!(loads(&[2, 2]).relief(0, 2), None, "all are full");
    }
}
