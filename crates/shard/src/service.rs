//! Classes of calls with limits of their own.

use std::fmt;
use std::future::Future;

use crate::error::CallError;
use crate::shard::Shard;

/// The service of calls that name none.
pub(crate) const CALLS: usize = 0;
/// That of connections which are handed from shard to shard. Its handlers call nobody.
pub(crate) const CONNECTIONS: usize = 1;
/// How many of those may be under way.
pub(crate) const MOST_CONNECTIONS: usize = 32;

/// A class of calls between shards, from [`Shard::service`].
///
/// Each service has permits of its own, so calls of one never wait for calls of another. That
/// is what nested calls need: a handler that waits for a call keeps its caller's permit, and if
/// both were of one service, all permits could be held by handlers that wait for one. Put the
/// services in an order, let handlers of one call only those behind it, and no circle can be.
///
/// # Examples
///
/// ```
/// use shard::{Shard, Shards};
///
/// let shards = Shards::builder().cpus([0, 0]).service("lookup", 16).spawn(|shard| async move {
///     let other = 1 - shard.index();
///     let length = shard.submit_to(other, move || async move {
///         // A call from within a call, back to where it came from.
///         let back = 1 - other;
///         let lookup = Shard::current().service("lookup");
///         lookup.submit_to(back, || async { "found".len() }).await
///     });
///     Ok(length.await??)
/// })?;
/// assert!(shards.join()?.into_iter().all(|end| end.returned() == Some(5)));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Service {
    shard: Shard,
    index: usize,
}

impl Service {
    pub(crate) fn new(shard: Shard, index: usize) -> Self {
        Service { shard, index }
    }

    /// As [`Shard::submit_to`], within the limit of this service.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// If there is no shard `target`.
    ///
    /// # Cancel safety
    ///
    /// Weak: as there.
    #[track_caller]
    pub fn submit_to<C, F>(
        &self,
        target: usize,
        make: C,
    ) -> impl Future<Output = Result<F::Output, CallError>> + use<C, F>
    where
        C: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        self.shard.submit(self.index, target, make)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.shard.group().services[self.index]
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Service({:?} of {:?})", self.name(), self.shard)
    }
}
