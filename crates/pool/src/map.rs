//! `Map`: a function over many items, on all workers, as an iterator of results in order.
//!
//! Holds the window (how far the map reads ahead) and the sizing of chunks; how a chunk is run is
//! the pools' business: they hand in a closure that submits one.

use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;
use std::time::Duration;

use crate::error::JobError;
use crate::job::{Job, Outcome};

/// The results of one chunk, and how long the worker took for them.
#[derive(Debug)]
pub(crate) struct Chunk<R> {
    pub(crate) results: Vec<Outcome<R>>,
    pub(crate) took: Duration,
}

/// How a pool runs one chunk.
type SubmitChunk<T, R> = Box<dyn FnMut(Vec<T>) -> Job<Chunk<R>> + Send>;

/// Results of [`map`](crate::Executor::map), in the order of the items.
///
/// * **Lazy and bounded**: nothing is read before the first `next`, and then only a window ahead of
///   what was taken ([`window`](Map::window)): an endless iterator is fine.
/// * **Per item**: a panic, or whatever else befalls one item, is that item's `Err`; the others
///   are not touched. `collect::<Result<Vec<_>, _>>()` stops at the first error. When a worker
///   process dies, the items of the chunk it ran are lost with it.
/// * **In chunks**: items go to workers in groups, sized while it runs so that a group takes about
///   100 us: cheap items in large groups, dear ones singly ([`chunk`](Map::chunk)).
///
/// Dropping the map cancels what no worker has started.
#[must_use = "a map does nothing until it is iterated"]
pub struct Map<I: Iterator, R> {
    items: I,
    exhausted: bool,
    submit: SubmitChunk<I::Item, R>,
    sizes: Sizes,
    window: usize,
    flying: VecDeque<(Job<Chunk<R>>, usize)>,
    landed: std::vec::IntoIter<Outcome<R>>,
}

impl<I: Iterator, R> Map<I, R> {
    pub(crate) fn new(
        items: I,
        workers: usize,
        submit: impl FnMut(Vec<I::Item>) -> Job<Chunk<R>> + Send + 'static,
    ) -> Map<I, R> {
        Map {
            items,
            exhausted: false,
            submit: Box::new(submit),
            sizes: Sizes::automatic(),
            window: workers.saturating_mul(4),
            flying: VecDeque::new(),
            landed: Vec::new().into_iter(),
        }
    }

    /// Sends items in groups of exactly `size` (the last may be smaller) instead of sizing the
    /// groups by the time they take. 1 for an iterator that may block: a group is filled before it
    /// is sent.
    ///
    /// # Panics
    ///
    /// If `size` is 0.
    #[doc(alias = "chunksize")]
    pub fn chunk(mut self, size: usize) -> Self {
        assert!(size > 0, "a chunk needs at least one item");
        self.sizes = Sizes::fixed(size);
        self
    }

    /// Sets how many chunks may be out at a time; 4 for each worker unless set.
    ///
    /// # Panics
    ///
    /// If `chunks` is 0.
    #[doc(alias = "buffersize")]
    pub fn window(mut self, chunks: usize) -> Self {
        assert!(chunks > 0, "a window needs room for at least one chunk");
        self.window = chunks;
        self
    }

    fn fill_window(&mut self) {
        while !self.exhausted && self.flying.len() < self.window {
            let size = self.sizes.next();
            let mut chunk = Vec::with_capacity(size.min(self.items.size_hint().0.max(16)));
            chunk.extend(self.items.by_ref().take(size));
            self.exhausted = chunk.len() < size;
            if !chunk.is_empty() {
                let count = chunk.len();
                self.flying.push_back(((self.submit)(chunk), count));
            }
        }
    }

    fn land(&mut self, outcome: Outcome<Chunk<R>>, count: usize) {
        let results = match outcome {
            Ok(chunk) => {
                self.sizes.learn(count, chunk.took);
                chunk.results
            }
            Err(error) => (0..count).map(|_| Err(error.clone())).collect(),
        };
        self.landed = results.into_iter();
    }
}

impl<I: Iterator, R> Iterator for Map<I, R> {
    type Item = Result<R, JobError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(result) = self.landed.next() {
                return Some(result);
            }
            self.fill_window();
            let (job, count) = self.flying.pop_front()?;
            let outcome = job.wait();
            self.land(outcome, count);
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let out: usize = self.landed.len() + self.flying.iter().map(|(_, n)| n).sum::<usize>();
        let (low, high) = if self.exhausted { (0, Some(0)) } else { self.items.size_hint() };
        (low.saturating_add(out), high.and_then(|high| high.checked_add(out)))
    }
}

impl<I: Iterator, R> FusedIterator for Map<I, R> {}

impl<I: Iterator, R> Drop for Map<I, R> {
    fn drop(&mut self) {
        // Last first: what goes from the front would only make room for what is cancelled next.
        for (job, _) in self.flying.iter().rev() {
            job.cancel();
        }
    }
}

impl<I: Iterator, R> fmt::Debug for Map<I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("window", &self.window)
            .field("chunks_out", &self.flying.len())
            .field("results_ready", &self.landed.len())
            .field("exhausted", &self.exhausted)
            .finish_non_exhaustive()
    }
}

/// How large the next chunk is: fixed, or steered so that one takes about [`Sizes::TARGET`].
#[derive(Debug)]
struct Sizes {
    size: usize,
    fixed: bool,
}

impl Sizes {
    /// Long against what handing over a chunk costs (some us), short against what a human or a
    /// balanced load notices.
    const TARGET: Duration = Duration::from_micros(100);
    /// A chunk and its results stay in the cache, and below what the allocator maps afresh for
    /// each: by then handing over costs less than a tenth of a nanosecond per item.
    const LARGEST: usize = 4096;

    fn automatic() -> Sizes {
        Sizes { size: 1, fixed: false }
    }

    fn fixed(size: usize) -> Sizes {
        Sizes { size, fixed: true }
    }

    fn next(&self) -> usize {
        self.size
    }

    /// Grows at most fourfold at a time (one fast item says little), shrinks at once.
    fn learn(&mut self, items: usize, took: Duration) {
        if self.fixed || items == 0 {
            return;
        }
        let per_item = (took.as_nanos() / items as u128).max(1);
        let ideal = usize::try_from(Self::TARGET.as_nanos() / per_item).unwrap_or(usize::MAX);
        self.size = ideal.min(self.size.saturating_mul(4)).clamp(1, Self::LARGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(per_item: Duration) -> usize {
        let mut sizes = Sizes::automatic();
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
        let mut sizes = Sizes::automatic();
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
