//! How far a map has come, in items.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::watch::Watcher;

/// How far a map has come; given to the function of [`Map::on_progress`](crate::Map::on_progress).
///
/// # Examples
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use pool::ThreadPool;
///
/// let (pool, last) = (ThreadPool::new(), Arc::new(Mutex::new(0.0)));
/// let seen = Arc::clone(&last);
/// let map = pool.map(|n: u64| n + 1, 0..1000).on_progress(move |progress| {
///     let share = progress.done as f64 / progress.total.unwrap_or(progress.done) as f64;
///     let mut seen = seen.lock().unwrap();
///     *seen = share.max(*seen); // reports may overtake each other
/// });
/// assert_eq!(map.filter(|result| result.is_ok()).count(), 1000);
/// drop(pool); // the last report may come after the last result, but before the pool has ended
/// assert_eq!(*last.lock().unwrap(), 1.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Items that are done, also those whose results have not been taken yet.
    pub done: u64,
    /// Items in all, if the iterator of items knows.
    pub total: Option<u64>,
}

type Report = dyn Fn(Progress) + Send + Sync;

/// Counts done items, for whoever looks and for the function that wants to be told.
#[derive(Default)]
pub(super) struct Counter {
    done: Mutex<u64>,
    total: OnceLock<u64>,
    report: OnceLock<Box<Report>>,
}

impl Counter {
    pub(super) fn set_report(&self, report: Box<Report>) -> Result<(), Box<Report>> {
        self.report.set(report)
    }

    /// Notes how many items there are, if that is certain.
    pub(super) fn set_total(&self, hint: (usize, Option<usize>)) {
        if let (low, Some(high)) = hint
            && low == high
        {
            let _ = self.total.set(low as u64);
        }
    }

    /// What counts a chunk of so many items, once done; `None` if nobody wants to know.
    pub(super) fn watcher(self: &Arc<Self>, items: usize) -> Option<Watcher> {
        self.report.get()?;
        let counter = Arc::clone(self);
        Some(Box::new(move |_| counter.add(items)))
    }

    fn add(&self, items: usize) {
        let done = {
            let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
            *done += items as u64;
            *done
        };
        if let Some(report) = self.report.get() {
            report(Progress { done, total: self.total.get().copied() });
        }
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counter").field("done", &self.done).field("total", &self.total).finish()
    }
}
