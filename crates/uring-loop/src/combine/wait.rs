//! Waiting for some of many tasks, without taking their results.

use std::borrow::BorrowMut;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::task::Task;
use crate::task::collect::{Collector, Member};
use crate::time::{Sleep, sleep};

/// How long [`wait`] waits.
#[doc(alias = "return_when")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitUntil {
    /// Until all tasks are done.
    #[doc(alias = "ALL_COMPLETED")]
    AllCompleted,
    /// Until one is done, in whatever way.
    #[doc(alias = "FIRST_COMPLETED")]
    FirstCompleted,
    /// Until one has failed, or all are done. A task that was cancelled has not failed.
    #[doc(alias = "FIRST_EXCEPTION")]
    FirstError,
}

/// There was nothing to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoTasks;

impl fmt::Display for NoTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a wait for tasks was given none")
    }
}

impl std::error::Error for NoTasks {}

impl From<NoTasks> for io::Error {
    fn from(none: NoTasks) -> Self {
        io::Error::new(io::ErrorKind::InvalidInput, none)
    }
}

/// Waits until some of the tasks are done, and gives them back in two parts: those that are done
/// when the awaiter goes on, and those that are not. Both keep the order they had.
///
/// It takes no results, and cancels nothing: not when the time of [`timeout`](Wait::timeout) is
/// over, and not if the awaiter is cancelled. `tasks` is an array, a vector, or `&mut` one, from
/// which both parts are taken when the wait is over.
///
/// With [`WaitUntil::FirstError`], a task has failed if it panicked; [`try_wait`] looks at results
/// too.
///
/// # Errors
///
/// [`NoTasks`]: there was none.
///
/// # Cancel safety
///
/// Weak: tasks given by value are detached. Give them by reference to lose nothing.
///
/// # Examples
///
/// ```
/// # use std::time::Duration;
/// use uring_loop::time::sleep;
/// use uring_loop::{WaitUntil, cancel_all, spawn_all, wait};
///
/// # uring_loop::testing::run(async {
/// let naps = [30, 10, 20].map(|time| sleep(Duration::from_millis(time)));
/// let (done, pending) = wait(spawn_all(naps), WaitUntil::FirstCompleted).await.unwrap();
/// assert_eq!((done.len(), pending.len()), (1, 2));
/// cancel_all(&pending);
/// # })
/// ```
#[doc(alias = "asyncio.wait")]
pub fn wait<T, V: WaitTasks<T>>(tasks: V, until: WaitUntil) -> Wait<T, V::Tasks> {
    Wait::new(
        tasks.into_tasks(),
        until,
        |task| matches!(task.peek(), Err(error) if error.is_panic()),
    )
}

/// [`wait`] for tasks whose outputs are results: with [`WaitUntil::FirstError`], a task that gave
/// an `Err` has failed, as one that panicked has.
///
/// # Errors
///
/// [`NoTasks`]: there was none.
///
/// # Cancel safety
///
/// Weak: tasks given by value are detached. Give them by reference to lose nothing.
pub fn try_wait<T, E, V>(tasks: V, until: WaitUntil) -> Wait<Result<T, E>, V::Tasks>
where
    V: WaitTasks<Result<T, E>>,
{
    Wait::new(tasks.into_tasks(), until, |task| match task.peek() {
        Ok(result) => result.is_err(),
        Err(error) => error.is_panic(),
    })
}

/// Tasks as [`wait`] takes them: a `Vec`, `&mut` one, or an array.
///
/// Sealed: it is implemented for these alone.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Vec<Task<_>>`, a `&mut Vec<Task<_>>` or an array of tasks",
    label = "not tasks",
    note = "make tasks of futures: `wait(spawn_all(futures), …)`",
    note = "to have what is not waited for back, give it as `&mut tasks`"
)]
pub trait WaitTasks<T>: sealed::Sealed {
    /// Where they are while they are waited for.
    type Tasks: BorrowMut<Vec<Task<T>>>;

    #[doc(hidden)]
    fn into_tasks(self) -> Self::Tasks;
}

mod sealed {
    use crate::task::Task;

    pub trait Sealed {}

    impl<T> Sealed for Vec<Task<T>> {}
    impl<T> Sealed for &mut Vec<Task<T>> {}
    impl<T, const N: usize> Sealed for [Task<T>; N] {}
}

impl<T> WaitTasks<T> for Vec<Task<T>> {
    type Tasks = Self;

    fn into_tasks(self) -> Self {
        self
    }
}

impl<T> WaitTasks<T> for &mut Vec<Task<T>> {
    type Tasks = Self;

    fn into_tasks(self) -> Self {
        self
    }
}

impl<T, const N: usize> WaitTasks<T> for [Task<T>; N] {
    type Tasks = Vec<Task<T>>;

    fn into_tasks(self) -> Vec<Task<T>> {
        self.into()
    }
}

/// Asks each of the tasks to end ([`Task::cancel`]); tells how many had not ended already.
///
/// What a [`wait`] leaves pending must be cancelled or awaited by somebody: it runs on.
pub fn cancel_all<'a, T: 'a>(tasks: impl IntoIterator<Item = &'a Task<T>>) -> usize {
    tasks.into_iter().filter(|task| task.cancel()).count()
}

pin_project! {
    /// Future of [`wait`] and [`try_wait`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct Wait<T, V>
    where
        V: BorrowMut<Vec<Task<T>>>,
    {
        tasks: V,
        until: WaitUntil,
        has_failed: fn(&Task<T>) -> bool,
        #[pin]
        limit: Option<Sleep>,
        state: State,
    }

    impl<T, V> PinnedDrop for Wait<T, V>
    where
        V: BorrowMut<Vec<Task<T>>>,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if matches!(this.state, State::Waiting { .. }) {
                // The tasks may live on, without us.
                leave(this.tasks.borrow_mut());
            }
        }
    }
}

enum State {
    New,
    Waiting { collector: Collector, left: usize },
    Over,
}

impl<T, V: BorrowMut<Vec<Task<T>>>> Wait<T, V> {
    fn new(tasks: V, until: WaitUntil, has_failed: fn(&Task<T>) -> bool) -> Self {
        Wait { tasks, until, has_failed, limit: None, state: State::New }
    }

    /// Waits at most for `limit` from now. Reaching it is no error, and cancels nothing: the tasks
    /// that are not done by then are among the pending.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = Some(sleep(limit));
        self
    }
}

fn leave<T>(tasks: &[Task<T>]) {
    for task in tasks {
        task.leave();
    }
}

impl State {
    /// Every task learns whom to wake.
    fn begin<T>(&mut self, tasks: &[Task<T>]) {
        let collector = Collector::new(tasks.len());
        for (index, task) in tasks.iter().enumerate() {
            task.begin(None);
            if task.is_ready() {
                collector.push(index);
            } else {
                task.tell(collector.waker(index));
            }
        }
        *self = State::Waiting { collector, left: tasks.len() };
    }

    /// Sees to the tasks that were woken. `true`: the wait is over.
    fn collect<T>(
        &mut self,
        tasks: &[Task<T>],
        until: WaitUntil,
        has_failed: fn(&Task<T>) -> bool,
    ) -> bool {
        let State::Waiting { collector, left } = self else { return true };
        let mut over = false;
        while let Some(index) = collector.pop() {
            let task = &tasks[index];
            if !task.is_ready() {
                task.tell(collector.waker(index));
                continue;
            }
            collector.close(index);
            *left -= 1;
            over |= match until {
                WaitUntil::AllCompleted => false,
                WaitUntil::FirstCompleted => true,
                WaitUntil::FirstError => has_failed(task),
            };
        }
        over || *left == 0
    }
}

impl<T, V: BorrowMut<Vec<Task<T>>>> Future for Wait<T, V> {
    type Output = Result<(Vec<Task<T>>, Vec<Task<T>>), NoTasks>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let tasks = this.tasks.borrow_mut();
        assert!(!matches!(this.state, State::Over), "a Wait is not polled after it was ready");
        if matches!(this.state, State::New) {
            if tasks.is_empty() {
                *this.state = State::Over;
                return Poll::Ready(Err(NoTasks));
            }
            this.state.begin(tasks);
        }
        let over = this.state.collect(tasks, *this.until, *this.has_failed);
        let mut limit = this.limit;
        let elapsed = match limit.as_mut().as_pin_mut() {
            Some(limit) if !over => limit.poll(cx).is_ready(),
            _ => false,
        };
        if over || elapsed {
            *this.state = State::Over;
            leave(tasks);
            limit.set(None);
            return Poll::Ready(Ok(std::mem::take(tasks).into_iter().partition(Task::is_done)));
        }
        if let State::Waiting { collector, .. } = this.state {
            collector.set_waker(cx.waker());
        }
        Poll::Pending
    }
}

impl<T, V: BorrowMut<Vec<Task<T>>>> fmt::Debug for Wait<T, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wait({} tasks until {:?})", self.tasks.borrow().len(), self.until)
    }
}
