//! The way in for threads that are no shards.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use uring_loop::{RemoteError, RemoteTask};

use crate::error::{CallError, panic_message};
use crate::group::Group;

/// Calls shards from any thread, under any executor or none; from [`Shards::entry`]. Cheap to
/// clone; clones share the limit. Shards among themselves use [`Shard::submit_to`], which costs
/// less.
///
/// [`Shards::entry`]: crate::Shards::entry
/// [`Shard::submit_to`]: crate::Shard::submit_to
///
/// # Examples
///
/// ```
/// use shard::{Shard, Shards};
/// use std::time::Duration;
///
/// let shards = Shards::builder().cpus([0, 0]).spawn(|_| std::future::pending())?;
/// let entry = shards.entry(16);
/// let index = entry.call(1, || async { Shard::current().index() })?;
/// assert_eq!(index, 1);
/// # let _: Vec<shard::Ended<()>> =
/// shards.shutdown(Duration::from_secs(1))?;
/// assert!(entry.call(1, || async {}).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Entry {
    group: Arc<Group>,
    lines: Arc<[Line]>,
}

impl Entry {
    pub(crate) fn new(group: Arc<Group>, limit: usize) -> Self {
        assert!(limit > 0, "an entry for 0 calls: give it a limit of at least 1");
        let lines = group.cpus.iter().map(|_| Line::new(limit)).collect();
        Entry { group, lines }
    }

    /// How many shards there are.
    pub fn count(&self) -> usize {
        self.lines.len()
    }

    /// Runs a future on shard `target` and gives its result, as
    /// [`Shard::submit_to`](crate::Shard::submit_to) does.
    ///
    /// # Errors
    ///
    /// [`CallError::Panicked`] if the closure or its future panics, [`CallError::Stopped`] if the
    /// target has stopped, stops before the call is done, or makes a pause after a panic.
    ///
    /// # Panics
    ///
    /// If there is no shard `target`.
    ///
    /// # Cancel safety
    ///
    /// Weak: dropped before its turn, nothing was sent; dropped later, the call's task is asked to
    /// end.
    #[track_caller]
    pub fn submit_to<C, F>(
        &self,
        target: usize,
        make: C,
    ) -> impl Future<Output = Result<F::Output, CallError>> + Send + use<C, F>
    where
        C: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let count = self.count();
        assert!(target < count, "submit_to({target}): this group has only {count} shards");
        let (group, lines) = (self.group.clone(), self.lines.clone());
        async move {
            let permit = Permit::wait(lines, target).await;
            let handle = group.handle(target).ok_or(CallError::Stopped { shard: target })?;
            let task = handle.spawn(move || async move {
                // It is free when the call has ended, not when nobody waits for it any more.
                let _permit = permit;
                make().await
            });
            CancelOnDrop(task).await.map_err(|error| explain(target, error))
        }
    }

    /// Runs a future on shard `target` and blocks this thread until it has its result.
    ///
    /// # Errors
    ///
    /// As [`submit_to`](Self::submit_to).
    ///
    /// # Panics
    ///
    /// As [`submit_to`](Self::submit_to); and on a thread of a shard, which would stand still.
    #[track_caller]
    pub fn call<C, F>(&self, target: usize, make: C) -> Result<F::Output, CallError>
    where
        C: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        assert!(
            crate::Shard::try_current().is_none(),
            "Entry::call on a thread of a shard would block it: await Shard::submit_to there"
        );
        block_on(self.submit_to(target, make))
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({} shards)", self.count())
    }
}

fn explain(shard: usize, error: RemoteError) -> CallError {
    match error {
        RemoteError::Task(uring_loop::JoinError::Panicked(panic)) => {
            CallError::Panicked { shard, message: panic_message(&*panic) }
        }
        RemoteError::Task(_) | RemoteError::Closed => CallError::Stopped { shard },
    }
}

/// A call whose task is asked to end when nobody waits for it.
struct CancelOnDrop<T: Send + 'static>(RemoteTask<T>);

impl<T: Send + 'static> Future for CancelOnDrop<T> {
    type Output = Result<T, RemoteError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T: Send + 'static> Drop for CancelOnDrop<T> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Who waits for a permit of one shard, first come first served.
///
/// A permit is *free*, *handed* to the first that waits (which is then out of the line), or
/// *used*. Wakers are woken and dropped outside the lock.
struct Line(Mutex<State>);

struct State {
    free: usize,
    next: u64,
    waiting: BTreeMap<u64, Waker>,
}

impl Line {
    fn new(limit: usize) -> Self {
        Line(Mutex::new(State { free: limit, next: 0, waiting: BTreeMap::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn release(&self) {
        let first = {
            let mut state = self.lock();
            let first = state.waiting.pop_first();
            state.free += usize::from(first.is_none());
            first
        };
        if let Some((_, waker)) = first {
            waker.wake();
        }
    }
}

/// One call under way; given back when dropped.
struct Permit {
    lines: Arc<[Line]>,
    target: usize,
}

impl Permit {
    async fn wait(lines: Arc<[Line]>, target: usize) -> Permit {
        let mut ticket = Ticket { line: &lines[target], number: None };
        poll_fn(|cx| ticket.poll(cx)).await;
        drop(ticket);
        Permit { lines, target }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.lines[self.target].release();
    }
}

/// A place in a line.
struct Ticket<'a> {
    line: &'a Line,
    /// `None`: it never waited, or has its permit.
    number: Option<u64>,
}

impl Ticket<'_> {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        let fresh = cx.waker().clone();
        let mut state = self.line.lock();
        let Some(number) = self.number else {
            // Nobody is overtaken: a permit is free only while nobody waits.
            if state.free > 0 {
                state.free -= 1;
                drop(state);
                return Poll::Ready(());
            }
            let number = state.next;
            state.next += 1;
            state.waiting.insert(number, fresh);
            self.number = Some(number);
            return Poll::Pending;
        };
        let stale = match state.waiting.get_mut(&number) {
            Some(waker) => std::mem::replace(waker, fresh),
            None => {
                drop(state);
                self.number = None;
                return Poll::Ready(());
            }
        };
        drop(state);
        drop(stale);
        Poll::Pending
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let waiting = self.line.lock().waiting.remove(&number);
        if waiting.is_none() {
            // It was handed a permit and did not come for it.
            self.line.release();
        }
    }
}

/// Polls a future on this thread, which sleeps meanwhile.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut future, mut cx) = (pin!(future), Context::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_permit_handed_to_one_who_has_left_goes_to_the_next() {
        let lines: Arc<[Line]> = Arc::new([Line::new(1)]);
        let wait = || Box::pin(Permit::wait(lines.clone(), 0));
        let Poll::Ready(first) = poll(wait().as_mut()) else { panic!("it is free") };
        let (mut leaves, mut stays) = (wait(), wait());
        assert!(poll(leaves.as_mut()).is_pending());
        assert!(poll(stays.as_mut()).is_pending());
        drop(first);
        assert!(poll(wait().as_mut()).is_pending(), "nobody is overtaken");
        drop(leaves);
        let Poll::Ready(second) = poll(stays.as_mut()) else { panic!("it is its turn") };
        drop(second);
        assert_eq!(lines[0].lock().free, 1);
    }
}
