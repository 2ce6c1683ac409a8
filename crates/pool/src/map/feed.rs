//! The side of a map that sends: items in, jobs of chunks out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::progress::Counter;
use super::sizes::Sizes;
use super::{Chunk, Chunking};
use crate::job::Job;
use crate::options::JobOptions;
use crate::watch;

/// How a pool runs one chunk; also says how many items may be in the next one.
type SubmitChunk<T, R> = Box<dyn FnMut(JobOptions, Vec<T>) -> (Job<Chunk<R>>, usize) + Send>;

pub(super) struct Feed<I: Iterator, R> {
    items: I,
    pub(super) exhausted: bool,
    submit: SubmitChunk<I::Item, R>,
    pub(super) options: JobOptions,
    /// When the map is to be over.
    pub(super) over_at: Option<Instant>,
    chunking: Chunking,
    /// Most items the pool can take together.
    most: usize,
    pub(super) sizes: Sizes,
    /// How many chunks may be out.
    pub(super) window: usize,
    pub(super) counter: Arc<Counter>,
}

impl<I: Iterator, R> Feed<I, R> {
    pub(super) fn new(
        items: I,
        workers: usize,
        chunking: Chunking,
        submit: SubmitChunk<I::Item, R>,
    ) -> Feed<I, R> {
        Feed {
            items,
            exhausted: false,
            submit,
            options: JobOptions::new(),
            over_at: None,
            chunking,
            most: usize::MAX,
            sizes: Sizes::automatic(Sizes::TARGET),
            window: workers.saturating_mul(4),
            counter: Arc::default(),
        }
    }

    /// How many items go together.
    fn chunk_size(&self) -> usize {
        let alone = match self.chunking {
            Chunking::ItemsAreApart => false,
            Chunking::ItemsShareLimits => self.options.timeout.is_some(),
        };
        if alone { 1 } else { self.sizes.next().min(self.most) }
    }

    /// Sends the next chunk, with how many items it has; `None` after the last.
    pub(super) fn send(&mut self) -> Option<(Job<Chunk<R>>, usize)> {
        if self.exhausted {
            return None;
        }
        let size = self.chunk_size();
        let hint = self.items.size_hint();
        self.counter.set_total(hint);
        let mut chunk = Vec::with_capacity(size.min(hint.0.max(16)));
        chunk.extend(self.items.by_ref().take(size));
        self.exhausted = chunk.len() < size;
        if chunk.is_empty() {
            return None;
        }
        let count = chunk.len();
        let mut options = self.options.clone();
        options.deadline = self.over_at.map(|at| at.saturating_duration_since(Instant::now()));
        let (job, most) = (self.submit)(options, chunk);
        self.most = most;
        if let Some(watcher) = self.counter.watcher(count)
            && let Some(ended) = job.backing().watch(watcher)
        {
            watch::call(ended, job.state());
        }
        Some((job, count))
    }

    pub(super) fn learn(&mut self, items: usize, took: Duration) {
        self.sizes.learn(items, took);
    }

    /// Bounds for what is left, when so many are out or landed.
    pub(super) fn size_hint(&self, out: usize) -> (usize, Option<usize>) {
        let (low, high) = if self.exhausted { (0, Some(0)) } else { self.items.size_hint() };
        (low.saturating_add(out), high.and_then(|high| high.checked_add(out)))
    }
}
