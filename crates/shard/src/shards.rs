//! A group of shards as its owner sees it.

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::builder::Builder;
use crate::entry::Entry;
use crate::error::{Cause, Ended, Failure};
use crate::group::Group;
use crate::watch::Watch;

/// A running group: a pinned thread with an event loop per shard. `T` is what a service returns.
///
/// *Ends* when every service has ended: by itself, because one of them failed (then the others
/// are asked to end), or because somebody asked ([`shutdown`](Self::shutdown), [`Stopper::stop`],
/// [`Shard::stop`](crate::Shard::stop)). To be asked means: the service's task is cancelled, which
/// it can see and take ([`uring_loop::catch_cancel`]) to clean up; at the deadline it is dropped.
///
/// *Dropping* it asks for the end with the group's patience and waits for it.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use shard::Shards;
/// use uring_loop::{catch_cancel, time::sleep};
///
/// let shards = Shards::builder().spawn(|shard| async move {
///     let hour = Duration::from_secs(3600);
///     match catch_cancel(sleep(hour)).await {
///         Ok(()) => Ok("slept"),
///         Err(_cancelled) => Ok("cleaned up"),
///     }
/// })?;
/// for end in shards.shutdown(Duration::from_secs(5))? {
///     // A service that was not polled yet is not begun for this.
///     assert!(matches!(end.returned(), None | Some("cleaned up")));
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "dropping the group ends it; `join` waits for it"]
pub struct Shards<T> {
    threads: Vec<JoinHandle<Option<Ended<T>>>>,
    group: Arc<Group>,
    /// Reports shards that are stuck. Ends when it is dropped.
    _watch: Option<Watch>,
}

impl Shards<()> {
    /// Options for a group.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl<T> Shards<T> {
    pub(crate) fn new(
        threads: Vec<JoinHandle<Option<Ended<T>>>>,
        group: Arc<Group>,
        watch: Option<Watch>,
    ) -> Self {
        Shards { threads, group, _watch: watch }
    }

    /// How many shards there are.
    pub fn count(&self) -> usize {
        self.group.cpus.len()
    }

    /// The CPU of each shard.
    pub fn cpus(&self) -> &[usize] {
        &self.group.cpus
    }

    /// Something to ask for the end with, from any thread.
    pub fn stopper(&self) -> Stopper {
        Stopper { group: self.group.clone() }
    }

    /// The way in for threads that are no shards: at most `limit` of its calls to each shard are
    /// under way.
    ///
    /// # Panics
    ///
    /// If `limit` is 0.
    pub fn entry(&self, limit: usize) -> Entry {
        Entry::new(self.group.clone(), limit)
    }

    /// Blocks until every shard has ended, and gives how, by index. Not to be used on a shard.
    ///
    /// # Errors
    ///
    /// The first [`Failure`]: the error or panic of a service; or a thread that is stuck, 15 s
    /// after the deadline of a stop.
    pub fn join(mut self) -> Result<Vec<Ended<T>>, Failure> {
        self.wait()
    }

    /// Asks every service to end within `patience`, aborts those that have not by then, and waits
    /// for all.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join). A service that was cancelled or aborted is no failure.
    pub fn shutdown(mut self, patience: Duration) -> Result<Vec<Ended<T>>, Failure> {
        self.group.stop(patience);
        self.wait()
    }

    fn wait(&mut self) -> Result<Vec<Ended<T>>, Failure> {
        let waited = self.group.await_threads();
        let threads = std::mem::take(&mut self.threads);
        waited?;
        let ends: Vec<_> = threads.into_iter().map(JoinHandle::join).collect();
        if let Some(failure) = self.group.take_failure() {
            return Err(failure);
        }
        let ended = |(shard, end): (usize, std::thread::Result<Option<Ended<T>>>)| {
            let cause = || Cause::Panicked("its thread ended without saying why".into());
            let cpu = self.group.cpus[shard];
            end.ok().flatten().ok_or_else(|| Failure { shard, cpu, cause: cause() })
        };
        ends.into_iter().enumerate().map(ended).collect()
    }
}

impl<T> Drop for Shards<T> {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.group.stop(self.group.rules.patience);
            // Nobody is left to hear of a failure.
            drop(self.wait());
        }
    }
}

impl<T> fmt::Debug for Shards<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shards").field("cpus", &self.group.cpus).finish_non_exhaustive()
    }
}

/// Asks a group of shards to end; from [`Shards::stopper`]. Cheap to clone.
///
/// # Examples
///
/// ```
/// use shard::Shards;
/// use std::time::Duration;
///
/// let shards = Shards::builder().cpus([0, 0]).spawn(|_shard| async {
///     std::future::pending::<()>().await; // a service
///     Ok(())
/// })?;
/// let stopper = shards.stopper();
/// let control = std::thread::spawn(move || stopper.stop(Duration::from_secs(5)));
/// let ends = shards.join()?; // returns when all have ended
/// assert_eq!(ends.len(), 2);
/// control.join().unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Stopper {
    group: Arc<Group>,
}

impl Stopper {
    /// Asks every service to end within `patience`; those that have not by then are aborted.
    /// Returns at once. Asked again, the nearest deadline counts.
    pub fn stop(&self, patience: Duration) {
        self.group.stop(patience);
    }
}

impl fmt::Debug for Stopper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stopper(CPUs {:?})", self.group.cpus)
    }
}
