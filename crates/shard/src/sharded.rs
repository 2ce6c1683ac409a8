//! A value on every shard, used where it is.

use std::fmt;
use std::marker::PhantomData;

use crate::error::CallError;
use crate::shard::Shard;
use crate::state::{Missing, Name};

/// An instance of `T` on every shard, which only code on that shard ever touches: so `T` needs no
/// lock and need not be `Send`. The handle is `Send`, and may travel in closures.
///
/// It lives until [`stop`](Self::stop), or with its shards: one that is started again after a panic
/// begins without it, and calls say so as [`CallError::Stopped`].
///
/// # Examples
///
/// ```
/// use shard::{Sharded, Shards, route};
/// use std::collections::HashMap;
///
/// let shards = Shards::builder().cpus([0, 0]).spawn(|shard| async move {
///     if shard.index() > 0 {
///         return Ok(0); // it stays as long as anybody else, and serves
///     }
///     let store = Sharded::start(&shard, |_| HashMap::<String, u32>::new()).await?;
///     for key in ["a", "b", "c"] {
///         let owner = route(key.as_bytes(), shard.count());
///         store.invoke_on(&shard, owner, |store| store.insert(key.into(), 1)).await?;
///     }
///     let count = store.map_reduce(&shard, |store| store.len(), 0, |sum, len| sum + len).await?;
///     store.stop(&shard).await?;
///     Ok(count)
/// })?;
/// assert_eq!(shards.join()?[0].returned(), Some(3));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Sharded<T> {
    name: Name,
    /// It has no `T` itself.
    value: PhantomData<fn(T)>,
}

impl<T: 'static> Sharded<T> {
    /// Makes an instance on every shard.
    ///
    /// # Errors
    ///
    /// [`CallError`] if a shard could not make its own; those that were made are dropped.
    ///
    /// # Cancel safety
    ///
    /// Weak: instances may stay behind until their shards end.
    pub async fn start<C>(shard: &Shard, make: C) -> Result<Self, CallError>
    where
        C: FnOnce(&Shard) -> T + Clone + Send + 'static,
    {
        let name = Name::fresh();
        let sharded = Sharded { name, value: PhantomData };
        let made = shard.invoke_on_all(move || async move {
            let here = Shard::current();
            let value = make(&here);
            here.states().put_as(name, value);
        });
        if let Err(error) = made.await {
            // The error tells more than one of this would.
            let _ = sharded.stop(shard).await;
            return Err(error);
        }
        Ok(sharded)
    }

    /// Lets a closure use the instance of this thread's shard.
    ///
    /// # Panics
    ///
    /// If this is no thread of a shard, if there is no instance here (any more), and within another
    /// closure that uses it.
    #[doc(alias = "local")]
    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        match Shard::current().states().lend(self.name, f) {
            Ok(value) => value,
            Err(Missing::Absent) => panic!("Sharded::with: there is no instance on this shard"),
            Err(Missing::Lent) => panic!(
                "Sharded::with: the instance is in use by a closure further out; use the \
                 reference that this one has"
            ),
        }
    }

    /// Lets a closure use the instance of shard `target`, over there.
    ///
    /// # Errors
    ///
    /// As [`Shard::submit_to`]; [`CallError::Stopped`] also if there is no instance (any more).
    ///
    /// # Panics
    ///
    /// If there is no shard `target`.
    ///
    /// # Cancel safety
    ///
    /// Weak: the closure may run, and its result is lost.
    pub async fn invoke_on<R, C>(&self, shard: &Shard, target: usize, f: C) -> Result<R, CallError>
    where
        R: Send + 'static,
        C: FnOnce(&mut T) -> R + Send + 'static,
    {
        let name = self.name;
        let used = shard.submit_to(target, move || async move { lend(name, f) }).await?;
        used.ok_or(CallError::Stopped { shard: target })
    }

    /// Lets a closure use every instance, each on its shard, and gives the results by index.
    ///
    /// # Errors
    ///
    /// That of the lowest shard that had one, as [`invoke_on`](Self::invoke_on).
    ///
    /// # Cancel safety
    ///
    /// Weak: as [`invoke_on`](Self::invoke_on), on each shard.
    pub async fn invoke_on_all<R, C>(&self, shard: &Shard, f: C) -> Result<Vec<R>, CallError>
    where
        R: Send + 'static,
        C: FnOnce(&mut T) -> R + Clone + Send + 'static,
    {
        let name = self.name;
        let used = shard.invoke_on_all(move || async move { lend(name, f) }).await?;
        let stopped = |(shard, used): (usize, Option<R>)| used.ok_or(CallError::Stopped { shard });
        used.into_iter().enumerate().map(stopped).collect()
    }

    /// Lets a closure use every instance, and folds the results together here.
    ///
    /// # Errors
    ///
    /// As [`invoke_on_all`](Self::invoke_on_all).
    ///
    /// # Cancel safety
    ///
    /// Weak: as [`invoke_on`](Self::invoke_on), on each shard.
    pub async fn map_reduce<R, C, A>(
        &self,
        shard: &Shard,
        map: C,
        initial: A,
        reduce: impl FnMut(A, R) -> A,
    ) -> Result<A, CallError>
    where
        R: Send + 'static,
        C: FnOnce(&mut T) -> R + Clone + Send + 'static,
    {
        Ok(self.invoke_on_all(shard, map).await?.into_iter().fold(initial, reduce))
    }

    /// Drops every instance, each on its shard.
    ///
    /// # Errors
    ///
    /// [`CallError`] of a shard where that panicked, or that has stopped (and with it its
    /// instance).
    ///
    /// # Cancel safety
    ///
    /// Weak: some may be gone.
    pub async fn stop(self, shard: &Shard) -> Result<(), CallError> {
        let name = self.name;
        let gone = shard.invoke_on_all(move || async move {
            drop(Shard::current().states().take(name));
        });
        gone.await.map(drop)
    }
}

/// Over there: `None` if there is no instance, or one further out is using it.
fn lend<T: 'static, R>(name: Name, f: impl FnOnce(&mut T) -> R) -> Option<R> {
    Shard::current().states().lend(name, f).ok()
}

impl<T> Clone for Sharded<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Sharded<T> {}

impl<T> fmt::Debug for Sharded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sharded({:?})", self.name)
    }
}
