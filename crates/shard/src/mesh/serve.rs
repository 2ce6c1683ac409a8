//! The task that serves a shard's side of the mesh.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::reply::Reply;
use super::{Mesh, Message, What};
use crate::calls::Calls;

/// How many messages are taken from one ring before the next has its turn.
const BATCH: usize = 128;

/// Serves a shard's side of the mesh for as long as its loop runs.
pub(crate) struct MeshTask {
    mesh: Rc<Mesh>,
    taken: Vec<Message>,
}

impl MeshTask {
    pub(crate) fn new(mesh: Rc<Mesh>) -> Self {
        MeshTask { mesh, taken: Vec::with_capacity(BATCH) }
    }

    /// Takes a batch from one ring and handles it. `true`: there was something.
    fn serve(&mut self, from: usize) -> bool {
        let taken = &mut self.taken;
        let (count, ended) = {
            let mut incoming = self.mesh.incoming.borrow_mut();
            let Some(incoming) = incoming.as_mut() else { return false };
            let Some(consumer) = &mut incoming.rings[from] else { return false };
            let count = consumer.drain(BATCH, |message| taken.push(message));
            let ended = count == 0 && consumer.is_ended();
            if ended {
                incoming.rings[from] = None;
            }
            (count, ended)
        };
        for message in self.taken.drain(..) {
            // What is called here may run a stranger's `drop`; its panic (reported by the hook)
            // must not deafen the shard.
            let handled = catch_unwind(AssertUnwindSafe(|| handle(&self.mesh, from, message)));
            handled.unwrap_or_else(discard);
        }
        if ended {
            self.mesh.peers[from].calls.iter().for_each(Calls::stop);
        }
        count > 0
    }

    /// Leaves the waker, and looks once more. `false`: there is something after all.
    fn sleep(&self, cx: &mut Context<'_>) -> bool {
        let mut incoming = self.mesh.incoming.borrow_mut();
        let Some(incoming) = incoming.as_mut() else { return true };
        if !incoming.sleeper.arm(cx.waker()) {
            return true;
        }
        let mut rings = incoming.rings.iter_mut().flatten();
        let anything = rings.any(|ring| !ring.is_empty() || ring.is_ended());
        if anything {
            incoming.sleeper.disarm();
        }
        !anything
    }
}

impl Future for MeshTask {
    type Output = std::convert::Infallible;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.mesh.task.borrow_mut().get_or_insert_with(|| cx.waker().clone());
        let mut busy = false;
        for from in 0..this.mesh.peers.len() {
            busy |= this.serve(from);
        }
        this.mesh.ring_marked();
        if busy || !this.sleep(cx) {
            // What was started has its turn first; then there may be more.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// Drops what a panic carried; if that panics again, what that carried is leaked.
pub(super) fn discard(panic: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
}

fn handle(mesh: &Rc<Mesh>, from: usize, Message { id, what }: Message) {
    let peer = &mesh.peers[from];
    match what {
        What::Call(run) => {
            if let Some(task) = run(Reply::new(mesh.clone(), from, id)) {
                peer.runs(id, task);
            }
        }
        // One that was answered meanwhile is not found.
        What::Cancel => {
            if let Some(task) = peer.ran(id) {
                task.cancel();
            }
        }
        What::Answer(outcome) => {
            peer.calls[usize::from(id.service)].finish(id.number, outcome);
        }
    }
}
