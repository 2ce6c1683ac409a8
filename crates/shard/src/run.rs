//! The thread of a shard, from its pinning to its end.

use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use uring_loop::time::{Sleep, now, sleep_until};
use uring_loop::{Cancelled, EventLoop, JoinError, Task};

use crate::builder::Tune;
use crate::cpus;
use crate::error::{Cause, Ended, panic_message};
use crate::event::Event;
use crate::group::Group;
use crate::mesh::{Mesh, MeshTask, Seat};
use crate::restart::Backoff;
use crate::shard::Shard;

/// What a thread needs to become a shard.
pub(crate) struct Place {
    pub(crate) index: usize,
    pub(crate) group: Arc<Group>,
    pub(crate) seat: Seat,
    pub(crate) limits: Vec<usize>,
    pub(crate) tune: Arc<Tune>,
}

/// How a loop of a shard ended.
enum Life<T> {
    /// Its service did; `None` if it failed, which was reported.
    Ended(Option<Ended<T>>),
    /// It panicked, and may begin anew after a pause.
    Again(Duration),
}

/// The body of the thread. `None`: the group did not start, or this shard failed.
pub(crate) fn shard<S, F, T>(place: Place, service: S) -> Option<Ended<T>>
where
    S: FnOnce(Shard) -> F + Clone + 'static,
    F: Future<Output = io::Result<T>> + 'static,
    T: 'static,
{
    let Place { index, group, seat, limits, tune } = place;
    let (mut event_loop, started) = match start(group.cpus[index], &*tune) {
        Ok(event_loop) => (Some(event_loop), Ok(())),
        Err(error) => (None, Err(error)),
    };
    // Before anybody may believe that the group runs: it can be called from then on.
    group.set_handle(index, event_loop.as_ref().map(EventLoop::handle));
    group.report(index, started);
    if !group.await_start() {
        return None;
    }
    let mesh = Mesh::take(seat, &limits);
    let mut keeper =
        Keeper { index, group: &group, backoff: group.rules.restart.clone().map(Backoff::new) };
    let mut incarnation = 0;
    let ended = loop {
        let shard = Shard::new(index, incarnation, group.clone(), mesh.clone());
        let life = match event_loop.take() {
            Some(event_loop) => live(event_loop, shard, &mut keeper, service.clone()),
            None => unreachable!("a loop was made before each life"),
        };
        mesh.pause();
        let Life::Again(pause) = life else {
            let Life::Ended(ended) = life else { break None };
            break ended;
        };
        if !group.pause(pause) {
            group.service_ended(index, None);
            break Some(Ended::Cancelled);
        }
        match start(group.cpus[index], &*tune) {
            Ok(made) => {
                group.set_handle(index, Some(made.handle()));
                event_loop = Some(made);
            }
            Err(error) => {
                let text = format!("starting again: {error}");
                let error = io::Error::new(error.kind(), text);
                group.service_ended(index, Some(Cause::Error(error)));
                break None;
            }
        }
        incarnation += 1;
    };
    mesh.close();
    group.thread_gone(index);
    ended
}

/// Pins the thread and makes its loop.
fn start(cpu: usize, tune: &Tune) -> io::Result<EventLoop> {
    let make = || {
        // Pinned first: the loop's memory then lies near its CPU, and its kernel threads stay
        // there.
        cpus::pin(cpu)?;
        tune(EventLoop::builder()).build()
    };
    catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|panic| {
        Err(io::Error::other(format!("setting up its loop panicked: {}", panic_message(&*panic))))
    })
}

/// Runs a loop of a shard to its end, with everything on it.
fn live<S, F, T>(
    mut event_loop: EventLoop,
    shard: Shard,
    keeper: &mut Keeper<'_>,
    service: S,
) -> Life<T>
where
    S: FnOnce(Shard) -> F + 'static,
    F: Future<Output = io::Result<T>> + 'static,
    T: 'static,
{
    let (index, group) = (keeper.index, keeper.group);
    let mesh_task = MeshTask::new(shard.mesh().clone());
    Shard::set_current(Some(shard.clone()));
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let main = async {
            drop(uring_loop::spawn(mesh_task).named("mesh"));
            serve(shard.clone(), keeper, service).await
        };
        let life = event_loop.run_until_complete(main);
        group.set_handle(index, None);
        shard.states().clear();
        drop(event_loop); // and with it every task that still runs
        life.unwrap_or(Life::Ended(None))
    }));
    group.set_handle(index, None);
    let life = ran.unwrap_or_else(|panic| {
        let message = panic_message(&*panic);
        match keeper.panicked(&message) {
            Some(pause) => Life::Again(pause),
            None => {
                group.service_ended(index, Some(Cause::Panicked(message)));
                Life::Ended(None)
            }
        }
    });
    Shard::set_current(None);
    life
}

/// Decides whether a shard that panicked begins anew.
struct Keeper<'a> {
    index: usize,
    group: &'a Group,
    backoff: Option<Backoff>,
}

impl Keeper<'_> {
    /// After which pause. `None`: it does not.
    fn panicked(&mut self, message: &str) -> Option<Duration> {
        if self.group.is_stopping() {
            return None;
        }
        let pause = self.backoff.as_mut()?.died(Instant::now())?;
        let (shard, message) = (self.index, message.to_string());
        self.group.rules.observer.tell(&Event::Restarting { shard, message, pause });
        Some(pause)
    }
}

/// The main task: starts the service, hands it requests to end, and lingers after it.
async fn serve<S, F, T>(shard: Shard, keeper: &mut Keeper<'_>, service: S) -> Life<T>
where
    S: FnOnce(Shard) -> F + 'static,
    F: Future<Output = io::Result<T>> + 'static,
    T: 'static,
{
    let (index, group) = (keeper.index, keeper.group);
    // The closure runs in the task too: its panic is then the service's.
    let task = uring_loop::spawn(async move { service(shard).await }).named("service");
    let mut watch = Watch { task: Box::pin(task), asked: None, aborted: false };
    let result = poll_fn(|cx| watch.poll(group, index, cx)).await;
    let ended = judge(result, watch.aborted, group.is_stopping());
    if let Err(Cause::Panicked(message)) = &ended
        && let Some(pause) = keeper.panicked(message)
    {
        return Life::Again(pause);
    }
    let (ended, cause) = match ended {
        Ok(ended) => (Some(ended), None),
        Err(cause) => (None, Some(cause)),
    };
    group.service_ended(index, cause);
    if group.rules.linger {
        poll_fn(|cx| {
            group.listen(index, cx.waker());
            if group.is_over() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
    Life::Ended(ended)
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
