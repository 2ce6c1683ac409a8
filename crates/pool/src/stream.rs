//! `ResultStream`: what `Map`, `Unordered` and `AsCompleted` are for async code.
//!
//! A type of its own, for one that is an iterator and a stream at once leaves its users with two
//! methods of each name (`next`, `map`, `collect`) as soon as both traits are in scope.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

/// What a stream can be made of. Its methods are not public.
pub trait Source {
    /// What it yields.
    #[doc(hidden)]
    type Yield;

    /// As [`Stream::poll_next`].
    #[doc(hidden)]
    fn poll_result(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::Yield>>;

    /// As [`Stream::size_hint`].
    #[doc(hidden)]
    fn bounds(&self) -> (usize, Option<usize>);
}

/// Results as a [`Stream`], for any executor; made by the `stream` methods of
/// [`Map`](crate::Map), [`Unordered`](crate::Unordered) and [`AsCompleted`](crate::AsCompleted).
///
/// # Cancel safety
///
/// Awaiting the next result is Strict: dropping the wait loses nothing.
///
/// # Examples
///
/// ```
/// use futures_util::StreamExt;
///
/// # uring_loop::run(async {
/// let pool = pool::ThreadPool::new();
/// let mut cubes = pool.map(|n: u64| n.pow(3), 1..=3).stream();
/// let mut sum = 0;
/// while let Some(cube) = cubes.next().await {
///     sum += cube.unwrap();
/// }
/// assert_eq!(sum, 36);
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a stream does nothing until it is polled"]
pub struct ResultStream<S>(pub(crate) S);

// Nothing in it is pinned: results are moved out.
impl<S> Unpin for ResultStream<S> {}

impl<S: Source> Stream for ResultStream<S> {
    type Item = S::Yield;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Yield>> {
        self.get_mut().0.poll_result(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.bounds()
    }
}
