//! `Unordered`: results of a map as they come.

use std::collections::HashMap;
use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::feed::Feed;
use super::{Chunk, results_of};
use crate::error::JobError;
use crate::job::{Job, Outcome};
use crate::sets::watch_one;
use crate::stream::{ResultStream, Source};
use crate::watch::Arrivals;

/// Results of a map as they come, each with the number of its item (from 0); made by
/// [`Map::unordered`](crate::Map::unordered). All else is as with [`Map`](crate::Map).
///
/// # Examples
///
/// ```
/// use pool::ThreadPool;
///
/// let pool = ThreadPool::new();
/// let words = ["one", "three", "eleven"];
/// let mut longest = (0, 0);
/// for (item, length) in pool.map(|word: &str| word.len(), words).unordered() {
///     longest = longest.max((length?, item));
/// }
/// assert_eq!(words[longest.1], "eleven");
/// # Ok::<(), pool::JobError>(())
/// ```
#[must_use = "a map does nothing until it is iterated"]
pub struct Unordered<I: Iterator, R> {
    feed: Feed<I, R>,
    /// Chunks out, by the number of their first item.
    flying: HashMap<usize, (Job<Chunk<R>>, usize)>,
    /// How many items have been sent.
    sent: usize,
    arrivals: Arc<Arrivals>,
    landed: std::iter::Enumerate<std::vec::IntoIter<Outcome<R>>>,
    /// The number of the first item of what has landed.
    first: usize,
}

impl<I: Iterator, R> Unordered<I, R> {
    pub(super) fn new(feed: Feed<I, R>) -> Unordered<I, R> {
        Unordered {
            feed,
            flying: HashMap::new(),
            sent: 0,
            arrivals: Arc::default(),
            landed: Vec::new().into_iter().enumerate(),
            first: 0,
        }
    }

    /// The same for async code.
    pub fn stream(self) -> ResultStream<Self> {
        ResultStream(self)
    }

    fn fill_window(&mut self) {
        while self.flying.len() < self.feed.window {
            let Some((job, count)) = self.feed.send() else { return };
            watch_one(&job, &self.arrivals, self.sent);
            self.flying.insert(self.sent, (job, count));
            self.sent += count;
        }
    }

    fn land(&mut self, first: usize) {
        let (job, count) = self.flying.remove(&first).expect("each chunk arrives once");
        let results = results_of(&mut self.feed, job.wait(), count);
        self.landed = results.enumerate();
        self.first = first;
    }

    fn give(&mut self) -> Option<(usize, Outcome<R>)> {
        self.landed.next().map(|(n, result)| (self.first + n, result))
    }

    /// On a worker of the pool the map runs on: it does some of the work itself.
    fn help(&self) {
        for (job, _) in self.flying.values() {
            if job.backing().help() {
                return;
            }
        }
    }
}

impl<I: Iterator, R> Iterator for Unordered<I, R> {
    type Item = (usize, Result<R, JobError>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(result) = self.give() {
                return Some(result);
            }
            self.fill_window();
            if self.flying.is_empty() {
                return None;
            }
            let first = self.arrivals.try_take().or_else(|| {
                self.help();
                self.arrivals.take(None)
            });
            self.land(first.expect("a wait without deadline ends with a chunk"));
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let flying: usize = self.flying.values().map(|(_, n)| n).sum();
        self.feed.size_hint(self.landed.len() + flying)
    }
}

impl<I: Iterator, R> FusedIterator for Unordered<I, R> {}

impl<I: Iterator, R> Source for Unordered<I, R> {
    type Yield = (usize, Result<R, JobError>);

    fn poll_result(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::Yield>> {
        loop {
            if let Some(result) = self.give() {
                return Poll::Ready(Some(result));
            }
            self.fill_window();
            if self.flying.is_empty() {
                return Poll::Ready(None);
            }
            let first = match self.arrivals.try_take() {
                Some(first) => first,
                None => {
                    self.help();
                    std::task::ready!(self.arrivals.poll_take(cx))
                }
            };
            self.land(first);
        }
    }

    fn bounds(&self) -> (usize, Option<usize>) {
        Iterator::size_hint(self)
    }
}

impl<I: Iterator, R> Drop for Unordered<I, R> {
    fn drop(&mut self) {
        for (job, _) in self.flying.values() {
            job.cancel();
        }
    }
}

impl<I: Iterator, R> fmt::Debug for Unordered<I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unordered")
            .field("window", &self.feed.window)
            .field("chunks_out", &self.flying.len())
            .field("results_ready", &self.landed.len())
            .field("exhausted", &self.feed.exhausted)
            .finish_non_exhaustive()
    }
}
