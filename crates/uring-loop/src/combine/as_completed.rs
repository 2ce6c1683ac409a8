//! The results of many tasks, each as it comes.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;

use super::in_task::IntoTask;
use crate::task::collect::{Collector, Member};
use crate::task::{JoinError, Task};
use crate::time::{Elapsed, Sleep, sleep};

/// What [`as_completed`] gives for a task: its place among the arguments, and its result.
pub type Completed<T> = (usize, Result<T, JoinError>);

/// Gives the results of the tasks in the order in which these end, each with the place of its task
/// among the arguments.
///
/// It takes handles of tasks. Futures are given to [`spawn_all`](crate::spawn_all) first, or to the
/// macro: `as_completed!(..futures)`.
///
/// Ask it for the [`next`](AsCompleted::next), or use it as a `Stream`. It can be left and taken up
/// again. A cancel of who asks is not handed on to the tasks. *Dropping* it detaches those that are
/// left; [`into_pending`](AsCompleted::into_pending) gives them back.
///
/// # Cancel safety
///
/// Strict: a result that was not given out is given out next.
///
/// # Examples
///
/// ```
/// # use std::time::Duration;
/// use uring_loop::time::sleep;
/// use uring_loop::{as_completed, spawn_all};
///
/// # uring_loop::testing::run(async {
/// let naps = [30, 10, 20].map(|time| async move {
///     sleep(Duration::from_millis(time)).await;
///     time
/// });
/// let mut naps = as_completed(spawn_all(naps));
/// let mut order = Vec::new();
/// while let Some((index, time)) = naps.next().await {
///     order.push((index, time.unwrap()));
/// }
/// assert_eq!(order, [(1, 10), (2, 20), (0, 30)]);
/// # })
/// ```
#[doc(alias = "FuturesUnordered")]
#[doc(alias = "JoinSet")]
pub fn as_completed<T>(tasks: impl IntoIterator<Item: IntoTask<Output = T>>) -> AsCompleted<T> {
    let tasks: Vec<_> = tasks.into_iter().map(|task| Some(task.into_task())).collect();
    let collector = Collector::new(tasks.len());
    for (index, task) in tasks.iter().flatten().enumerate() {
        task.begin(None);
        if task.is_ready() {
            collector.push(index);
        } else {
            task.tell(collector.waker(index));
        }
    }
    AsCompleted { left: tasks.len(), tasks, collector }
}

/// Results in the order in which they come. Made by [`as_completed`].
#[must_use = "it gives nothing unless asked for the next"]
pub struct AsCompleted<T> {
    /// `None`: given out.
    tasks: Vec<Option<Task<T>>>,
    collector: Collector,
    left: usize,
}

impl<T> AsCompleted<T> {
    /// Waits for the next task to end, and gives its result. `None`: there is none left.
    ///
    /// # Cancel safety
    ///
    /// Strict: a result that was not given out is given out by the next call.
    pub async fn next(&mut self) -> Option<Completed<T>> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<Completed<T>>> {
        while let Some(index) = self.collector.pop() {
            let Some(task) = &self.tasks[index] else { continue };
            if !task.is_ready() {
                task.tell(self.collector.waker(index));
                continue;
            }
            self.collector.close(index);
            self.left -= 1;
            task.leave();
            let result = task.take_output();
            self.tasks[index] = None;
            return Poll::Ready(Some((index, result)));
        }
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.collector.set_waker(cx.waker());
        Poll::Pending
    }

    /// How many results have not been given out.
    pub fn len(&self) -> usize {
        self.left
    }

    /// Whether all results were given out.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Gives the tasks back whose results were not given out, done or not, in the order of the
    /// arguments.
    pub fn into_pending(self) -> Vec<Task<T>> {
        let pending: Vec<_> = self.tasks.into_iter().flatten().collect();
        for task in &pending {
            task.leave();
        }
        pending
    }

    /// Limits the time for all of them together, from now. When it is over, [`Elapsed`] is given,
    /// once, and nothing more. The tasks run on.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub fn timeout(self, limit: Duration) -> AsCompletedWithin<T> {
        let limit = Limit::Running(Box::pin(sleep(limit)));
        AsCompletedWithin { completed: self, limit }
    }
}

impl<T> Stream for AsCompleted<T> {
    type Item = Completed<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Completed<T>>> {
        self.get_mut().poll(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> Unpin for AsCompleted<T> {}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsCompleted({} left of {})", self.left, self.tasks.len())
    }
}

/// [`AsCompleted`] with a limit of time. Made by [`AsCompleted::timeout`].
#[must_use = "it gives nothing unless asked for the next"]
pub struct AsCompletedWithin<T> {
    completed: AsCompleted<T>,
    limit: Limit,
}

enum Limit {
    Running(Pin<Box<Sleep>>),
    /// All came in time.
    Unused,
    /// It was reached.
    Over,
}

impl<T> AsCompletedWithin<T> {
    /// Waits for the next task to end, and gives its result. `None`: there is none left, or the
    /// time was over.
    ///
    /// # Errors
    ///
    /// [`Elapsed`]: the time is over. What has ended by then comes first.
    ///
    /// # Cancel safety
    ///
    /// Strict: a result that was not given out is given out by the next call.
    pub async fn next(&mut self) -> Option<Result<Completed<T>, Elapsed>> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Completed<T>, Elapsed>>> {
        if matches!(self.limit, Limit::Over) {
            return Poll::Ready(None);
        }
        if let Poll::Ready(next) = self.completed.poll(cx) {
            if self.completed.is_empty() {
                self.limit = Limit::Unused;
            }
            return Poll::Ready(next.map(Ok));
        }
        if let Limit::Running(limit) = &mut self.limit
            && limit.as_mut().poll(cx).is_ready()
        {
            self.limit = Limit::Over;
            return Poll::Ready(Some(Err(Elapsed)));
        }
        Poll::Pending
    }

    /// As [`AsCompleted::into_pending`].
    pub fn into_pending(self) -> Vec<Task<T>> {
        self.completed.into_pending()
    }
}

impl<T> Stream for AsCompletedWithin<T> {
    type Item = Result<Completed<T>, Elapsed>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll(cx)
    }
}

impl<T> fmt::Debug for AsCompletedWithin<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let over = matches!(self.limit, Limit::Over);
        f.debug_struct("AsCompletedWithin")
            .field("completed", &self.completed)
            .field("over", &over)
            .finish()
    }
}
