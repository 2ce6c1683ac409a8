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
//! A caller that gives up (its future is dropped) sends a *cancel* after the call. Over there the
//! call's task is asked to end, as by `Task::cancel`; it is answered in any case, since only the
//! answer frees the permit.
//!
//! # Why nothing here can wait in a circle
//!
//! A ring from A to B holds calls of A that B has not taken yet, cancels of such calls, and answers
//! of A to calls of B. There are at most as many calls as A has permits for B, for a permit is free
//! again only when its answer has arrived; at most as many answers as B has permits for A; and at
//! most two cancels for each permit: that of the call that has it now, and one that was sent while
//! the answer to the call before was already on its way. (A third would mean that the second call
//! was answered, hence taken, hence the first cancel, which lay before it, taken too.) A ring has
//! room for four times the permits, so **a push never finds it full**: neither an answer nor a
//! cancel nor a call with a permit ever waits, and the mesh task never does. Waiting for a permit
//! happens in the caller alone, and what it waits for, answers, depends on handlers only. If every
//! shard floods every other, each has its limit of calls under way, and all of them end.
//!
//! What is left is a circle made by handlers: if A's handlers call B and B's call A, and each
//! waits, then all permits of both can be held by calls whose handlers wait for a permit. That is
//! what *services* are for: each has permits of its own, so handlers of one may wait for calls of
//! another, as long as the services can be put in an order.
//!
//! # Restarts
//!
//! What is here belongs to the thread, not to its loop: if a loop is replaced after a panic, rings,
//! permits and calls in flight stay. Calls that the old loop's tasks were at are answered with
//! "stopped" when these are dropped; those that lie in the rings wait for the new loop.
//!
//! The room is really there when it is counted free: a receiver gives it back (stores `head`)
//! before it handles what it took, hence before the answer is sent, and each hop is a
//! Release/Acquire pair.

mod reply;
mod serve;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::task::Waker;

use uring_loop::TaskRef;

pub(crate) use reply::{call_here, outcome};
pub(crate) use serve::MeshTask;

use crate::calls::{Answer, Calls, Outcome, Pending, Stopped};
use crate::spsc::{Consumer, Producer, Refusal, Ringer, Sleeper, ring, wake_slot};
use reply::Reply;

/// Runs a call on the shard it was sent to. `None`: it has ended already.
type Run = Box<dyn FnOnce(Reply) -> Option<TaskRef> + Send>;

/// A call by its service and its number among the calls of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Id {
    service: u16,
    number: u32,
}

struct Message {
    id: Id,
    what: What,
}

enum What {
    Call(Run),
    Cancel,
    Answer(Outcome),
}

// The docs of `Builder::calls` say so.
const _: () = assert!(size_of::<Message>() <= 32);

/// What one shard gets of the mesh before its thread starts.
pub(crate) struct Seat {
    outgoing: Vec<Option<Link>>,
    incoming: Incoming,
}

struct Link {
    producer: Producer<Message>,
    ringer: Ringer,
}

/// What comes to a shard, and where it sleeps meanwhile.
struct Incoming {
    rings: Vec<Option<Consumer<Message>>>,
    sleeper: Sleeper,
}

/// Seats for `count` shards that may each have so many calls of each service in flight to each
/// other.
pub(crate) fn seats(count: usize, limits: &[usize]) -> Vec<Seat> {
    let (sleepers, ringers): (Vec<_>, Vec<_>) = (0..count).map(|_| wake_slot()).unzip();
    let empty = |sleeper| Seat {
        outgoing: (0..count).map(|_| None).collect(),
        incoming: Incoming { rings: (0..count).map(|_| None).collect(), sleeper },
    };
    let mut seats: Vec<Seat> = sleepers.into_iter().map(empty).collect();
    for from in 0..count {
        for to in (0..count).filter(|to| *to != from) {
            // Calls there, two cancels for each, and answers to calls from there.
            let (producer, consumer) = ring(limits.iter().sum::<usize>() * 4);
            seats[from].outgoing[to] = Some(Link { producer, ringer: ringers[to].clone() });
            seats[to].incoming.rings[from] = Some(consumer);
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
    /// `None` once this shard has ended.
    incoming: RefCell<Option<Incoming>>,
}

/// One other shard, as seen from here.
struct Peer {
    /// `None` for this shard itself.
    link: RefCell<Option<Link>>,
    marked: Cell<bool>,
    /// Our calls there, by service.
    calls: Vec<Calls>,
    /// Their calls here that have a task, by service and number.
    running: RefCell<Vec<Vec<Option<TaskRef>>>>,
}

impl Peer {
    /// The task of a call of theirs, which is forgotten here.
    fn ran(&self, id: Id) -> Option<TaskRef> {
        let mut running = self.running.borrow_mut();
        running[usize::from(id.service)].get_mut(id.number as usize).and_then(Option::take)
    }

    fn runs(&self, id: Id, task: TaskRef) {
        let running = &mut self.running.borrow_mut()[usize::from(id.service)];
        let at = id.number as usize;
        if running.len() <= at {
            running.resize_with(at + 1, || None);
        }
        running[at] = Some(task);
    }
}

impl Mesh {
    /// A shard's side, from its seat.
    pub(crate) fn take(seat: Seat, limits: &[usize]) -> Rc<Mesh> {
        let peer = |link| Peer {
            link: RefCell::new(link),
            marked: Cell::new(false),
            calls: limits.iter().map(|limit| Calls::new(*limit)).collect(),
            running: RefCell::new(limits.iter().map(|_| Vec::new()).collect()),
        };
        Rc::new(Mesh {
            peers: seat.outgoing.into_iter().map(peer).collect(),
            task: RefCell::default(),
            marked: RefCell::default(),
            incoming: RefCell::new(Some(seat.incoming)),
        })
    }

    /// Sends a call that makes a future there, and waits for what it gives.
    pub(crate) async fn call<C, F>(self: Rc<Self>, service: usize, to: usize, make: C) -> Outcome
    where
        C: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let calls = &self.peers[to].calls[service];
        if calls.permit().await == Err(Stopped) {
            return Outcome::Stopped;
        }
        let (number, pending) = calls.begin();
        let id = Id { service: service as u16, number };
        let _cancel = Abandoned { mesh: &self, to, id, pending: pending.clone() };
        let run: Run = Box::new(move |reply| reply::run(make, reply));
        if self.push(to, Message { id, what: What::Call(run) }).is_err() {
            calls.finish(number, Outcome::Stopped);
        }
        Answer(pending).await
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
                unreachable!("a ring of the mesh has room for every call, cancel and answer")
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

    /// The loop of this shard is gone, and another will come: what its tasks sent while they were
    /// dropped is rung, since the task that would have done it is gone too.
    pub(crate) fn pause(&self) {
        let task = self.task.borrow_mut().take();
        drop(task);
        self.ring_marked();
    }

    /// This shard's loop is gone: says so to all others, and ends what still waits here.
    pub(crate) fn close(&self) {
        self.pause();
        for peer in &self.peers {
            let link = peer.link.borrow_mut().take();
            if let Some(Link { mut producer, ringer }) = link {
                producer.close();
                ringer.ring();
            }
            peer.calls.iter().for_each(Calls::stop);
        }
        let incoming = self.incoming.borrow_mut().take();
        // What lies in the rings is foreign code too.
        drop(incoming);
    }
}

/// Tells the other side when nobody waits for a call's answer any more.
struct Abandoned<'a> {
    mesh: &'a Mesh,
    to: usize,
    id: Id,
    pending: Rc<Pending>,
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if !self.pending.is_finished() && !mutant!("a-dropped-call-goes-on") {
            // One that is gone needs no cancel.
            let _ = self.mesh.push(self.to, Message { id: self.id, what: What::Cancel });
        }
    }
}

impl fmt::Debug for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mesh").field("shards", &self.peers.len()).finish_non_exhaustive()
    }
}
