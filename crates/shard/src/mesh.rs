//! The mesh: a ring from every shard to every other, and the task that serves them on each shard.
//!
//! # How a call travels
//!
//! The caller takes one of its permits for that shard, notes where the answer is to arrive, puts
//! the closure into the ring to the other shard and marks the ring. Marked rings are rung once,
//! when the mesh task has its turn, after the tasks that were ready: one wake for everything that
//! was sent meanwhile. The mesh task of the other shard drains its rings, starts a task per call,
//! and the answers come back the same way.
//!
//! # Why nothing here can wait in a circle
//!
//! A ring from A to B holds calls of A that B has not taken yet, and answers of A to calls of B. Of
//! the first there are at most as many as A has permits for B, for a permit is free again only when
//! its answer has arrived; of the second at most as many as B has permits for A. A ring has room
//! for both, so **a push never finds it full**: neither an answer nor a call with a permit ever
//! waits, and the mesh task never does. Waiting for a permit happens in the caller alone, and what
//! it waits for, answers, depends on handlers only. If every shard floods every other, each has
//! its limit of calls under way, and all of them end.
//!
//! What is left is a circle made by handlers: if A's handlers call B and B's call A, and each
//! waits, then all permits of both can be held by calls whose handlers wait for a permit. Calls
//! from within handlers are safe in one direction (say from lower to higher indices).
//!
//! The room is really there when it is counted free: a receiver gives it back (stores `head`)
//! before it handles what it took, hence before the answer is sent, and each hop is a
//! Release/Acquire pair.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::calls::{Answer, Calls, Outcome, Pending, Stopped};
use crate::error::panic_message;
use crate::spsc::{Consumer, Producer, Refusal, Ringer, Sleeper, ring, wake_slot};

/// How many messages are taken from one ring before the next has its turn.
const BATCH: usize = 128;

/// Runs a call on the shard it was sent to.
type Run = Box<dyn FnOnce(Reply) + Send>;

enum Message {
    Call { id: u32, run: Run },
    Answer { id: u32, outcome: Outcome },
}

// The docs of `Builder::calls` say so.
const _: () = assert!(size_of::<Message>() <= 48);

/// What one shard gets of the mesh before its thread starts.
pub(crate) struct Seat {
    outgoing: Vec<Option<Link>>,
    incoming: Vec<Option<Consumer<Message>>>,
    sleeper: Sleeper,
}

struct Link {
    producer: Producer<Message>,
    ringer: Ringer,
}

/// Seats for `count` shards that may each have `limit` calls in flight to each other.
pub(crate) fn seats(count: usize, limit: usize) -> Vec<Seat> {
    let (sleepers, ringers): (Vec<_>, Vec<_>) = (0..count).map(|_| wake_slot()).unzip();
    let empty = |sleeper| Seat {
        outgoing: (0..count).map(|_| None).collect(),
        incoming: (0..count).map(|_| None).collect(),
        sleeper,
    };
    let mut seats: Vec<Seat> = sleepers.into_iter().map(empty).collect();
    for from in 0..count {
        for to in (0..count).filter(|to| *to != from) {
            // Twice: calls there, and answers to calls from there.
            let (producer, consumer) = ring(limit * 2);
            seats[from].outgoing[to] = Some(Link { producer, ringer: ringers[to].clone() });
            seats[to].incoming[from] = Some(consumer);
        }
    }
    seats
}

/// A shard's side of the mesh: what is sent from here, and what is waited for here.
pub(crate) struct Mesh {
    peers: Vec<Peer>,
    /// The mesh task, to be woken when a ring was marked.
    task: RefCell<Option<Waker>>,
    /// Rings that got something since they were rung.
    marked: RefCell<Vec<usize>>,
}

struct Peer {
    /// `None` for this shard itself.
    link: RefCell<Option<Link>>,
    marked: Cell<bool>,
    calls: Calls,
}

impl Mesh {
    /// The two halves of a seat: what callers use, and the task that serves.
    pub(crate) fn take(seat: Seat, limit: usize) -> (Rc<Mesh>, MeshTask) {
        let peer = |link| Peer {
            link: RefCell::new(link),
            marked: Cell::new(false),
            calls: Calls::new(limit),
        };
        let mesh = Rc::new(Mesh {
            peers: seat.outgoing.into_iter().map(peer).collect(),
            task: RefCell::default(),
            marked: RefCell::default(),
        });
        let task = MeshTask {
            mesh: mesh.clone(),
            incoming: seat.incoming,
            sleeper: seat.sleeper,
            taken: Vec::with_capacity(BATCH),
        };
        (mesh, task)
    }

    /// Sends a call that makes a future there, and waits for what it gives.
    pub(crate) async fn call<C, F>(&self, to: usize, make: C) -> Outcome
    where
        C: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let calls = &self.peers[to].calls;
        if calls.permit().await == Err(Stopped) {
            return Outcome::Stopped;
        }
        let (id, pending) = calls.begin();
        let answer = Answer(pending);
        let run: Run = Box::new(move |reply| run(make, reply));
        if self.push(to, Message::Call { id, run }).is_err() {
            calls.finish(id, Outcome::Stopped);
        }
        answer.await
    }

    /// Puts a message into a ring, to be rung soon. `Err`: the other shard is gone.
    fn push(&self, to: usize, message: Message) -> Result<(), Stopped> {
        let peer = &self.peers[to];
        // A message that comes back is dropped (foreign code) after the borrow has ended.
        let refused = match &mut *peer.link.borrow_mut() {
            Some(link) => link.producer.push(message).err(),
            None => Some(Refusal::Gone(message)),
        };
        match refused {
            None => {}
            Some(Refusal::Gone(_)) => return Err(Stopped),
            Some(Refusal::Full(_)) => {
                unreachable!("a ring of the mesh has room for every call and every answer")
            }
        }
        if !peer.marked.replace(true) {
            let mut marked = self.marked.borrow_mut();
            marked.push(to);
            if marked.len() == 1
                && let Some(task) = &*self.task.borrow()
            {
                task.wake_by_ref();
            }
        }
        Ok(())
    }

    /// Rings the shards that something was sent to.
    fn ring_marked(&self) {
        loop {
            let Some(to) = self.marked.borrow_mut().pop() else { return };
            let peer = &self.peers[to];
            peer.marked.set(false);
            if let Some(link) = &*peer.link.borrow() {
                link.ringer.ring();
            }
        }
    }

    /// This shard's loop is gone: says so to all others, and ends what still waits here.
    pub(crate) fn close(&self) {
        for peer in &self.peers {
            let link = peer.link.borrow_mut().take();
            if let Some(Link { mut producer, ringer }) = link {
                producer.close();
                ringer.ring();
            }
            peer.calls.stop();
        }
    }
}

impl fmt::Debug for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mesh").field("shards", &self.peers.len()).finish_non_exhaustive()
    }
}

/// Serves a shard's side of the mesh for as long as its loop runs.
pub(crate) struct MeshTask {
    mesh: Rc<Mesh>,
    incoming: Vec<Option<Consumer<Message>>>,
    sleeper: Sleeper,
    taken: Vec<Message>,
}

impl MeshTask {
    /// Takes a batch from one ring and handles it. `true`: there was something.
    fn serve(&mut self, from: usize) -> bool {
        let Some(consumer) = &mut self.incoming[from] else { return false };
        let taken = &mut self.taken;
        let count = consumer.drain(BATCH, |message| taken.push(message));
        for message in self.taken.drain(..) {
            // What is called here may run a stranger's `drop`; its panic (reported by the hook)
            // must not deafen the shard.
            let handled = catch_unwind(AssertUnwindSafe(|| handle(&self.mesh, from, message)));
            handled.unwrap_or_else(discard);
        }
        if count == 0 && consumer.is_ended() {
            self.incoming[from] = None;
            self.mesh.peers[from].calls.stop();
        }
        count > 0
    }

    fn anything(&mut self) -> bool {
        self.incoming.iter_mut().flatten().any(|ring| !ring.is_empty() || ring.is_ended())
    }
}

impl Future for MeshTask {
    type Output = std::convert::Infallible;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.mesh.task.borrow_mut().get_or_insert_with(|| cx.waker().clone());
        let mut busy = false;
        for from in 0..this.incoming.len() {
            busy |= this.serve(from);
        }
        this.mesh.ring_marked();
        if busy {
            // What was started has its turn first; then there may be more.
            cx.waker().wake_by_ref();
        } else if this.sleeper.arm(cx.waker()) && this.anything() {
            this.sleeper.disarm();
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// Drops what a panic carried; if that panics again, what that carried is leaked.
fn discard(panic: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
}

fn handle(mesh: &Rc<Mesh>, from: usize, message: Message) {
    match message {
        Message::Call { id, run } => run(Reply { to: Some((mesh.clone(), from)), id }),
        Message::Answer { id, outcome } => mesh.peers[from].calls.finish(id, outcome),
    }
}

/// The duty to answer a call. Dropped without an answer, as when the loop is closed, it answers
/// that the shard has stopped.
struct Reply {
    to: Option<(Rc<Mesh>, usize)>,
    id: u32,
}

impl Reply {
    fn answer(mut self, outcome: Outcome) {
        self.send(outcome);
    }

    fn send(&mut self, outcome: Outcome) {
        if let Some((mesh, to)) = self.to.take() {
            // A caller that is gone needs no answer.
            let _ = mesh.push(to, Message::Answer { id: self.id, outcome });
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.send(Outcome::Stopped);
    }
}

/// On the shard that is called: makes the future and runs it as a task that answers.
fn run<C, F>(make: C, reply: Reply)
where
    C: FnOnce() -> F,
    F: Future + 'static,
    F::Output: Send + 'static,
{
    match catch_unwind(AssertUnwindSafe(make)) {
        Ok(future) => drop(uring_loop::spawn(async move { reply.answer(outcome(future).await) })),
        Err(panic) => {
            reply.answer(Outcome::Panicked(panic_message(&*panic)));
            discard(panic);
        }
    }
}

/// Runs a future to its outcome, a panic included.
async fn outcome<F>(future: F) -> Outcome
where
    F: Future + 'static,
    F::Output: Send + 'static,
{
    let mut future = pin!(future);
    let caught = std::future::poll_fn(|cx| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    });
    match caught.await {
        Ok(value) => Outcome::Value(Box::new(value)),
        Err(panic) => {
            let message = panic_message(&*panic);
            discard(panic);
            Outcome::Panicked(message)
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
    let answer = Answer(pending.clone());
    let local = LocalReply(Some(pending));
    drop(uring_loop::spawn(async move {
        // The closure runs in the task as well, so that its panic is the call's.
        local.answer(outcome(async move { make().await }).await);
    }));
    answer.await
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
