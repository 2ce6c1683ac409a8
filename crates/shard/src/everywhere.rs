//! What is done on all shards of a group.

use std::future::Future;

use crate::channel::{Receiver, Sender, channel};
use crate::error::CallError;
use crate::shard::Shard;

impl Shard {
    /// Runs a future on every shard at once, this one too, and gives the results by index.
    ///
    /// # Errors
    ///
    /// The [`CallError`] of the lowest shard that had one, when all are over.
    ///
    /// # Cancel safety
    ///
    /// Weak: as [`submit_to`](Self::submit_to), on each shard.
    ///
    /// # Examples
    ///
    /// ```
    /// use shard::{Shard, Shards};
    ///
    /// let shards = Shards::builder().cpus([0, 0, 0]).spawn(|shard| async move {
    ///     Ok(shard.invoke_on_all(|| async { Shard::current().index() }).await?)
    /// })?;
    /// assert!(shards.join()?.into_iter().all(|end| end.returned() == Some(vec![0, 1, 2])));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn invoke_on_all<C, F>(&self, make: C) -> Result<Vec<F::Output>, CallError>
    where
        C: FnOnce() -> F + Clone + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let calls: Vec<_> =
            (0..self.count()).map(|shard| self.submit_to(shard, make.clone())).collect();
        uring_loop::join(calls).await.into_iter().collect()
    }

    /// Runs a future on every shard at once and folds the results together here, in the order of
    /// the shards.
    ///
    /// # Errors
    ///
    /// As [`invoke_on_all`](Self::invoke_on_all).
    ///
    /// # Cancel safety
    ///
    /// Weak: as [`submit_to`](Self::submit_to), on each shard.
    ///
    /// # Examples
    ///
    /// ```
    /// use shard::{Shard, Shards};
    ///
    /// let shards = Shards::builder().cpus([0, 0, 0]).spawn(|shard| async move {
    ///     let index = || async { Shard::current().index() };
    ///     Ok(shard.map_reduce(index, 0, |sum, index| sum + index).await?)
    /// })?;
    /// assert!(shards.join()?.into_iter().all(|end| end.returned() == Some(3)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn map_reduce<C, F, A>(
        &self,
        map: C,
        initial: A,
        reduce: impl FnMut(A, F::Output) -> A,
    ) -> Result<A, CallError>
    where
        C: FnOnce() -> F + Clone + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        Ok(self.invoke_on_all(map).await?.into_iter().fold(initial, reduce))
    }

    /// Gives every shard a copy of a value, this one too: `take` is called there with it.
    ///
    /// # Errors
    ///
    /// As [`invoke_on_all`](Self::invoke_on_all).
    ///
    /// # Cancel safety
    ///
    /// Weak: some shards may have got it.
    ///
    /// # Examples
    ///
    /// ```
    /// use shard::{Shard, Shards};
    ///
    /// let shards = Shards::builder().cpus([0, 0]).spawn(|shard| async move {
    ///     let names = vec!["a".to_string()];
    ///     shard.broadcast(names, |names| drop(Shard::current().put(names))).await?;
    ///     Ok(shard.with(|names: &mut Vec<String>| names.len()))
    /// })?;
    /// # shards.join()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn broadcast<T, C>(&self, value: T, take: C) -> Result<(), CallError>
    where
        T: Clone + Send + 'static,
        C: FnOnce(T) + Clone + Send + 'static,
    {
        self.invoke_on_all(move || async move { take(value) }).await.map(drop)
    }

    /// A [channel](crate::channel) to another shard: `serve` runs there as a task with its
    /// receiving end.
    ///
    /// # Errors
    ///
    /// [`CallError`] if the receiving end could not be brought there.
    ///
    /// # Panics
    ///
    /// If there is no shard `target`, or `capacity` is 0.
    ///
    /// # Cancel safety
    ///
    /// Weak: dropped, the task may have begun; it finds the channel at its end.
    ///
    /// # Examples
    ///
    /// ```
    /// use shard::Shards;
    ///
    /// let shards = Shards::builder().cpus([0, 0]).spawn(|shard| async move {
    ///     let mut sender = shard.channel_to(1 - shard.index(), 16, |mut receiver| async move {
    ///         while let Some(number) = receiver.recv().await {
    ///             println!("got {}", number + 1);
    ///         }
    ///     }).await?;
    ///     sender.send(41).await.map_err(std::io::Error::other)
    /// })?;
    /// # shards.join()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn channel_to<T, C, F>(
        &self,
        target: usize,
        capacity: usize,
        serve: C,
    ) -> Result<Sender<T>, CallError>
    where
        T: Send + 'static,
        C: FnOnce(Receiver<T>) -> F + Send + 'static,
        F: Future<Output = ()> + 'static,
    {
        let (sender, receiver) = channel(capacity);
        let start = move || async move { drop(uring_loop::spawn(serve(receiver))) };
        self.submit_to(target, start).await?;
        Ok(sender)
    }
}
