//! `Map`: a function over many items, on all workers, as an iterator or a stream of results.
//!
//! Holds the window (how far the map reads ahead) and what is out; `feed` sends, `sizes` sizes the
//! chunks, `unordered` is the other order, `progress` counts. How a chunk is run is the pools'
//! business: they hand in a closure that submits one.

mod feed;
mod progress;
mod sizes;
mod unordered;

use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use self::feed::Feed;
pub use self::progress::Progress;
use self::sizes::Sizes;
pub use self::unordered::Unordered;
use crate::error::JobError;
use crate::job::{Job, Outcome};
use crate::options::JobOptions;
use crate::stream::{ResultStream, Source};

/// The results of one chunk, and how long the worker took for them.
#[derive(Debug)]
pub struct Chunk<R> {
    pub(crate) results: Vec<Outcome<R>>,
    pub(crate) took: Duration,
}

/// What limits and deaths do to the items of a chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Chunking {
    /// They hit the one item that ran.
    ItemsAreApart,
    /// They hit the chunk, so items with limits must go alone.
    ItemsShareLimits,
}

/// Results of [`map`](crate::Executor::map), in the order of the items. An iterator that blocks;
/// [`stream`](Map::stream) is for async code.
///
/// * **Lazy and bounded**: nothing is read before the first `next`, and then only a window ahead of
///   what was taken ([`window`](Map::window)): an endless iterator is fine.
/// * **Per item**: a panic, the death of a worker process, or whatever else befalls one item, is
///   that item's `Err`; the others are not touched. `collect::<Result<Vec<_>, _>>()` stops at the
///   first error.
/// * **In chunks**: items go to workers in groups, sized while it runs so that a group takes about
///   100 us: cheap items in large groups, dear ones singly ([`chunk`](Map::chunk)).
///
/// Dropping the map cancels what no worker has started.
///
/// # Examples
///
/// ```
/// use pool::ThreadPool;
///
/// let pool = ThreadPool::new();
/// // An endless iterator: only a window of it is read ahead.
/// let squares = pool.map(|n: u64| n * n, 1..);
/// let small: Vec<u64> = squares.map(|square| square.unwrap()).take_while(|n| *n < 50).collect();
/// assert_eq!(small, [1, 4, 9, 16, 25, 36, 49]);
///
/// // What befalls one item is that item's error.
/// let halves = pool.map(|n: u32| 100 / n, [1, 0, 2]);
/// let halves: Vec<_> = halves.map(|half| half.ok()).collect();
/// assert_eq!(halves, [Some(100), None, Some(50)]);
/// ```
#[must_use = "a map does nothing until it is iterated"]
pub struct Map<I: Iterator, R> {
    feed: Feed<I, R>,
    flying: Flying<R>,
    landed: std::vec::IntoIter<Outcome<R>>,
}

/// The chunks out, and how many items each has. Dropping it cancels them.
struct Flying<R>(VecDeque<(Job<Chunk<R>>, usize)>);

impl<R> Drop for Flying<R> {
    fn drop(&mut self) {
        // Last first: what goes from the front would only make room for what is cancelled next.
        for (job, _) in self.0.iter().rev() {
            job.cancel();
        }
    }
}

impl<I: Iterator, R> Map<I, R> {
    pub(crate) fn new(
        items: I,
        workers: usize,
        chunking: Chunking,
        submit: impl FnMut(JobOptions, Vec<I::Item>) -> (Job<Chunk<R>>, usize) + Send + 'static,
    ) -> Map<I, R> {
        Map {
            feed: Feed::new(items, workers, chunking, Box::new(submit)),
            flying: Flying(VecDeque::new()),
            landed: Vec::new().into_iter(),
        }
    }

    /// Groups are sized to take about that long.
    pub(crate) fn towards(mut self, target: Duration) -> Self {
        self.feed.sizes = Sizes::automatic(target);
        self
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
        self.feed.sizes = Sizes::fixed(size);
        self
    }

    /// Sets how many chunks may be out at a time; 4 for each worker unless set. `usize::MAX` reads
    /// and sends all there is at the first `next`.
    ///
    /// # Panics
    ///
    /// If `chunks` is 0.
    #[doc(alias = "buffersize")]
    pub fn window(mut self, chunks: usize) -> Self {
        assert!(chunks > 0, "a window needs room for at least one chunk");
        self.feed.window = chunks;
        self
    }

    /// How long each item may run; see [`JobOptions::timeout`]. An item that runs longer ends as
    /// [`TimedOut`](JobError::TimedOut), and costs no other item anything. (On a thread pool items
    /// with a timeout are sent singly.)
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.feed.options.timeout = Some(limit);
        self
    }

    /// How long the whole map may take, counted from this call: items that are not done by then end
    /// as [`TimedOut`](JobError::TimedOut). Those that run are ended as by
    /// [`timeout`](Self::timeout).
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.feed.over_at = Instant::now().checked_add(limit);
        self
    }

    /// How many times an item is tried again if a worker process dies under it; see
    /// [`JobOptions::retries`].
    pub fn retries(mut self, times: u32) -> Self {
        self.feed.options.retries = times;
        self
    }

    /// What errors and statistics call the items' jobs, in place of the function's name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.feed.options.name = Some(name.into());
        self
    }

    /// The priority of the items' jobs; see [`JobOptions::priority`].
    pub fn priority(mut self, priority: i32) -> Self {
        self.feed.options.priority = priority;
        self
    }

    /// Has `report` called whenever items are done, on the thread that learns of it: in items, not
    /// chunks, and also for items whose results have not been taken. Calls may overlap and overtake
    /// each other; `done` is exact once the last has come.
    ///
    /// # Panics
    ///
    /// If it was called before.
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::ThreadPool;
    ///
    /// let pool = ThreadPool::new();
    /// let squares = pool.map(|n: u64| n * n, 0..1000).on_progress(|progress| {
    ///     eprint!("\r{} of {:?}", progress.done, progress.total);
    /// });
    /// assert_eq!(squares.map(Result::unwrap).sum::<u64>(), 332_833_500);
    /// ```
    pub fn on_progress(self, report: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        let first = self.feed.counter.set_report(Box::new(report)).is_ok();
        assert!(first, "a map reports its progress to one function");
        self
    }

    /// Shows the progress in a bar of `indicatif`: sets its length (if that is known) and position.
    ///
    /// # Panics
    ///
    /// As [`on_progress`](Self::on_progress).
    #[cfg(feature = "indicatif")]
    pub fn progress_bar(self, bar: &indicatif::ProgressBar) -> Self {
        let bar = bar.clone();
        self.on_progress(move |progress| {
            if let Some(total) = progress.total {
                bar.set_length(total);
            }
            // Reports may overtake each other; a bar does not go back.
            bar.update(|state| state.set_pos(state.pos().max(progress.done)));
        })
    }

    /// Gives results as they come, each with the number of its item: a slow item holds up none of
    /// those behind it.
    ///
    /// # Panics
    ///
    /// If results have been taken already.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = pool::ThreadPool::new();
    /// let mut squares: Vec<_> = pool.map(|n: u64| n * n, 1..=3).unordered().collect();
    /// squares.sort_by_key(|(item, _)| *item);
    /// assert_eq!(squares, [(0, Ok(1)), (1, Ok(4)), (2, Ok(9))]);
    /// ```
    pub fn unordered(self) -> Unordered<I, R> {
        let untouched = self.flying.0.is_empty() && self.landed.len() == 0;
        assert!(untouched, "the order of a map is chosen before its first result is taken");
        Unordered::new(self.feed)
    }

    /// The same for async code.
    pub fn stream(self) -> ResultStream<Self> {
        ResultStream(self)
    }

    fn fill_window(&mut self) {
        while self.flying.0.len() < self.feed.window {
            let Some(chunk) = self.feed.send() else { return };
            self.flying.0.push_back(chunk);
        }
    }
}

/// The results of a chunk that has ended in some way.
fn results_of<I: Iterator, R>(
    feed: &mut Feed<I, R>,
    outcome: Outcome<Chunk<R>>,
    count: usize,
) -> std::vec::IntoIter<Outcome<R>> {
    let results = match outcome {
        Ok(chunk) => {
            feed.learn(count, chunk.took);
            chunk.results
        }
        Err(error) => (0..count).map(|_| Err(error.clone())).collect(),
    };
    results.into_iter()
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
            let (job, count) = self.flying.0.pop_front()?;
            self.landed = results_of(&mut self.feed, job.wait(), count);
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let flying: usize = self.flying.0.iter().map(|(_, n)| n).sum();
        self.feed.size_hint(self.landed.len() + flying)
    }
}

impl<I: Iterator, R> FusedIterator for Map<I, R> {}

impl<I: Iterator, R> Source for Map<I, R> {
    type Yield = Result<R, JobError>;

    fn poll_result(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::Yield>> {
        loop {
            if let Some(result) = self.landed.next() {
                return Poll::Ready(Some(result));
            }
            self.fill_window();
            let Some((job, count)) = self.flying.0.front_mut() else { return Poll::Ready(None) };
            let outcome = std::task::ready!(Pin::new(job).poll(cx));
            let count = *count;
            self.flying.0.pop_front();
            self.landed = results_of(&mut self.feed, outcome, count);
        }
    }

    fn bounds(&self) -> (usize, Option<usize>) {
        Iterator::size_hint(self)
    }
}

impl<I: Iterator, R> fmt::Debug for Map<I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("window", &self.feed.window)
            .field("chunks_out", &self.flying.0.len())
            .field("results_ready", &self.landed.len())
            .field("exhausted", &self.feed.exhausted)
            .finish_non_exhaustive()
    }
}
