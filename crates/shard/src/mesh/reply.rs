//! The duty to answer a call, and what keeps it: the run of a call where it was sent to.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use uring_loop::{Task, TaskRef};

use super::serve::discard;
use super::{Id, Mesh, Message, What};
use crate::calls::{Answer, Outcome, Pending};
use crate::error::panic_message;

/// The duty to answer a call. Dropped without an answer, as when the task is cancelled or the loop
/// is closed, it answers that the call has stopped.
pub(super) struct Reply {
    to: Option<(Rc<Mesh>, usize)>,
    id: Id,
}

impl Reply {
    pub(super) fn new(mesh: Rc<Mesh>, to: usize, id: Id) -> Self {
        Reply { to: Some((mesh, to)), id }
    }

    fn answer(mut self, outcome: Outcome) {
        self.send(outcome);
    }

    fn send(&mut self, outcome: Outcome) {
        if let Some((mesh, to)) = self.to.take() {
            // Before the answer: once that is there, the number may stand for another call.
            drop(mesh.peers[to].ran(self.id));
            // A caller that is gone needs no answer.
            let _ = mesh.push(to, Message { id: self.id, what: What::Answer(outcome) });
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.send(Outcome::Stopped);
    }
}

/// On the shard that is called: makes the future and runs it as a task that answers.
pub(super) fn run<C, F>(make: C, reply: Reply) -> Option<TaskRef>
where
    C: FnOnce() -> F,
    F: Future + 'static,
    F::Output: Send + 'static,
{
    match catch_unwind(AssertUnwindSafe(make)) {
        Ok(future) => {
            let task = uring_loop::spawn(async move { reply.answer(told(future).await) });
            // A loop that starts tasks at once may have run it to its end.
            (!task.is_done()).then(|| task.task_ref())
        }
        Err(panic) => {
            reply.answer(Outcome::Panicked(panic_message(&*panic).into()));
            discard(panic);
            None
        }
    }
}

/// Runs a future to its outcome, a panic included.
async fn told<F>(future: F) -> Outcome
where
    F: Future + 'static,
    F::Output: Send + 'static,
{
    match outcome(future).await {
        Ok(value) => Outcome::Value(Box::new(value)),
        Err(message) => Outcome::Panicked(message.into()),
    }
}

/// Runs a future to its end, or to its panic and what that said.
pub(crate) async fn outcome<F: Future>(future: F) -> Result<F::Output, String> {
    let mut future = pin!(future);
    let caught = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(panic) => Poll::Ready(Err(panic)),
    });
    match caught.await {
        Ok(value) => Ok(value),
        Err(panic) => {
            let message = panic_message(&*panic);
            discard(panic);
            Err(message)
        }
    }
}

/// A call of one's own shard: the same, without the rings and without a limit.
pub(crate) async fn call_here<C, F>(make: C) -> Outcome
where
    C: FnOnce() -> F + 'static,
    F: Future + 'static,
    F::Output: Send + 'static,
{
    let pending = Rc::new(Pending::default());
    let local = LocalReply(Some(pending.clone()));
    let task = uring_loop::spawn(async move {
        // The closure runs in the task as well, so that its panic is the call's.
        local.answer(told(async move { make().await }).await);
    });
    let _cancel = AbandonedHere { task, pending: pending.clone() };
    Answer(pending).await
}

/// As [`super::Abandoned`], on the caller's own shard.
struct AbandonedHere {
    task: Task<()>,
    pending: Rc<Pending>,
}

impl Drop for AbandonedHere {
    fn drop(&mut self) {
        if !self.pending.is_finished() {
            self.task.cancel();
        }
    }
}

/// As [`Reply`], on the caller's own shard.
struct LocalReply(Option<Rc<Pending>>);

impl LocalReply {
    fn answer(mut self, outcome: Outcome) {
        if let Some(pending) = self.0.take() {
            pending.finish(outcome);
        }
    }
}

impl Drop for LocalReply {
    fn drop(&mut self) {
        if let Some(pending) = self.0.take() {
            pending.finish(Outcome::Stopped);
        }
    }
}
