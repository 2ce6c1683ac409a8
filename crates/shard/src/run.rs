//! The thread of a shard, from its pinning to its end.

use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use uring_loop::time::{Sleep, now, sleep_until};
use uring_loop::{Cancelled, EventLoop, JoinError, Task};

use crate::builder::Tune;
use crate::cpus;
use crate::error::{Cause, Ended, panic_message};
use crate::group::Group;
use crate::mesh::{Mesh, Seat};
use crate::shard::Shard;

/// What a thread needs to become a shard.
pub(crate) struct Place {
    pub(crate) index: usize,
    pub(crate) group: Arc<Group>,
    pub(crate) seat: Seat,
    pub(crate) calls: usize,
    pub(crate) tune: Arc<Tune>,
}

/// The body of the thread. `None`: the group did not start, or this shard failed.
pub(crate) fn shard<S, F, T>(place: Place, service: S) -> Option<Ended<T>>
where
    S: FnOnce(Shard) -> F + 'static,
    F: Future<Output = io::Result<T>> + 'static,
    T: 'static,
{
    let Place { index, group, seat, calls, tune } = place;
    let made = catch_unwind(AssertUnwindSafe(|| start(group.cpus[index], &*tune)));
    let made = made.unwrap_or_else(|panic| {
        Err(io::Error::other(format!("setting up its loop panicked: {}", panic_message(&*panic))))
    });
    let (event_loop, started) = match made {
        Ok(event_loop) => (Some(event_loop), Ok(())),
        Err(error) => (None, Err(error)),
    };
    group.report(index, started);
    if !group.await_start() {
        return None;
    }
    let (mesh, mesh_task) = Mesh::take(seat, calls);
    let shard = Shard::new(index, group.clone(), mesh.clone());
    Shard::set_current(Some(shard.clone()));
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let mut event_loop = event_loop.expect("the start went well");
        let main = async {
            drop(uring_loop::spawn(mesh_task).named("mesh"));
            serve(shard, service).await
        };
        event_loop.run_until_complete(main).ok().flatten()
        // Here the loop is dropped, and with it every task that still runs.
    }));
    mesh.close();
    Shard::set_current(None);
    let ended = match ran {
        Ok(ended) => ended,
        Err(panic) => {
            group.service_ended(index, Some(Cause::Panicked(panic_message(&*panic))));
            None
        }
    };
    group.thread_gone(index);
    ended
}

fn start(cpu: usize, tune: &Tune) -> io::Result<EventLoop> {
    // Pinned first: the loop's memory then lies near its CPU, and its kernel threads stay there.
    cpus::pin(cpu)?;
    tune(EventLoop::builder()).build()
}

/// The main task: starts the service, hands it requests to end, and lingers after it.
async fn serve<S, F, T>(shard: Shard, service: S) -> Option<Ended<T>>
where
    S: FnOnce(Shard) -> F + 'static,
    F: Future<Output = io::Result<T>> + 'static,
    T: 'static,
{
    let index = shard.index();
    let group = shard.group().clone();
    // The closure runs in the task too: its panic is then the service's.
    let task = uring_loop::spawn(async move { service(shard).await }).named("service");
    let mut watch = Watch { task: Box::pin(task), asked: None, aborted: false };
    let result = poll_fn(|cx| watch.poll(&group, index, cx)).await;
    let ended = judge(result, watch.aborted, group.is_stopping());
    let (ended, cause) = match ended {
        Ok(ended) => (Some(ended), None),
        Err(cause) => (None, Some(cause)),
    };
    group.service_ended(index, cause);
    if group.linger {
        poll_fn(|cx| {
            group.listen(index, cx.waker());
            if group.is_over() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
    ended
}

/// A service, and what it was asked.
struct Watch<T> {
    task: Pin<Box<Task<T>>>,
    /// Until when it was asked to end.
    asked: Option<(Instant, Pin<Box<Sleep>>)>,
    aborted: bool,
}

impl<T> Watch<T> {
    fn poll(
        &mut self,
        group: &Group,
        index: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, JoinError>> {
        if let Some(deadline) = group.listen(index, cx.waker()) {
            self.ask(deadline);
        }
        if let Some((_, sleep)) = &mut self.asked
            && !self.aborted
            && sleep.as_mut().poll(cx).is_ready()
        {
            // Ready wins: one that has ended in time keeps its value.
            self.aborted = !self.task.is_done();
            self.task.abort();
        }
        self.task.as_mut().poll(cx)
    }

    /// Cancels the service the first time, and keeps the nearest deadline.
    fn ask(&mut self, deadline: Instant) {
        match &self.asked {
            Some((earlier, _)) if *earlier <= deadline => return,
            Some(_) => {}
            None => {
                self.task.cancel();
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        self.asked = Some((deadline, Box::pin(sleep_until(now() + left))));
    }
}

/// What an end of a service means.
fn judge<T>(
    result: Result<io::Result<T>, JoinError>,
    aborted: bool,
    stopping: bool,
) -> Result<Ended<T>, Cause> {
    match result {
        Ok(Ok(value)) => Ok(Ended::Returned(value)),
        // `catch_cancel(..).await?` ends so.
        Ok(Err(error)) if stopping && is_cancelled(&error) => Ok(Ended::Cancelled),
        Ok(Err(error)) => Err(Cause::Error(error)),
        Err(JoinError::Cancelled(_)) if aborted => Ok(Ended::Aborted),
        Err(JoinError::Cancelled(_)) => Ok(Ended::Cancelled),
        Err(JoinError::Panicked(panic)) => Err(Cause::Panicked(panic_message(&*panic))),
    }
}

fn is_cancelled(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Cancelled>())
}
