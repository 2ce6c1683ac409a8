//! The connection between two shards that are processes.
//!
//! # What it is made of
//!
//! Sealed memory with a ring in each direction ([`wire`](crate::wire)), in which calls, cancels and
//! answers travel as frames (`frame.rs`); and a pair of sockets, which tells when the other process
//! is gone, however it went, carries connections that are handed over, and rings where the kernel
//! has no futex for a ring (before 6.7). A task on each side serves it (`serve.rs`); what may be
//! called is in `functions.rs`.
//!
//! # Life story
//!
//! The supervisor makes memory and sockets when a process begins to serve, one for each other
//! process that does, and sends both sides theirs; then it forgets them. *open*: calls go both
//! ways. *ended*: the other process is gone, or has lied ([`Lie`]), or this shard's loop is gone;
//! our calls there fail, theirs here are cancelled, and nothing but this connection is touched. The
//! memory goes with the last operation on it. A process that begins anew gets new ones.
//!
//! # Why nothing here can wait in a circle
//!
//! Who calls takes one of its permits for that process; it is free again when the answer is there.
//! So at most [`MOST_CALLS`] calls wait in the outbox of each side, as many answers, and two
//! cancels for each call (`mesh/mod.rs` counts). Whatever comes in is taken in, also when our own
//! ring is full, and what cannot go out waits in our outbox. A side that has more calls under way
//! than there are permits lies.

mod frame;
mod functions;
mod serve;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use uring_loop::TaskRef;
use uring_loop::sync::Event;

pub(crate) use functions::{Functions, decode, encode, number};
pub(crate) use serve::{End, serve};

use crate::calls::{Answer, Calls, Outcome, Pending, Stopped};
use crate::server::load::Load;
use crate::sys::futex;
use crate::sys::memory::{Memory, sealed};
use crate::wire::{self, BY_SOCKET, Bell, Consumer, Lie, Producer, Words};
use frame::{Kind, MOST_CALLS, Message, Outbox};

/// Words of a ring: 16 KiB. With its counters, memory for two processes is 33.4 KiB, of which each
/// page is taken when it is first used.
const RING: usize = 2048;

/// What one side of a link is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) memory: OwnedFd,
    pub(crate) socket: UnixStream,
}

/// A link's two sides, for two processes.
pub(crate) fn pair() -> io::Result<[Parts; 2]> {
    let memory = sealed(wire::size(RING))?;
    wire::prepare(Memory::map(&memory)?.words(), RING);
    let (one, other) = UnixStream::pair()?;
    let second = memory.try_clone()?;
    Ok([Parts { memory, socket: one }, Parts { memory: second, socket: other }])
}

/// What goes with a connection: which of the program's listeners it came to, and from where.
pub(crate) type Carried = (u16, SocketAddr);

/// The listeners that a program can have, since they are told apart by the bits of a word.
pub(crate) const MOST_LISTENERS: usize = 64;

fn bit(listener: u16) -> u64 {
    1_u64.checked_shl(listener.into()).unwrap_or(0)
}

/// What a process offers to those it is linked with.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) functions: Functions,
    /// Takes a connection that was handed over.
    pub(crate) take: Rc<dyn Fn(Carried, OwnedFd)>,
    /// How it is woken; `None`: by futex, if the kernel has an operation for that.
    pub(crate) woken: Option<u64>,
}

pub(crate) struct Link {
    /// The shard at the other end.
    pub(crate) shard: usize,
    memory: Rc<Memory>,
    bell: Bell<Rc<Memory>>,
    socket: UnixStream,
    out: RefCell<Out>,
    /// Our calls there.
    calls: Calls,
    /// Their calls here, by number.
    running: RefCell<Vec<Running>>,
    /// There is something to send.
    poked: Event,
    /// The other side rang by the socket.
    rung: Event,
    ended: Cell<bool>,
    /// Connections that were handed over, in both directions.
    handed: Cell<u64>,
    taken: Cell<u64>,
    /// The other side wants no more for these listeners.
    closed: Cell<u64>,
    /// The other side has heard that we want no more for these.
    heard: Cell<u64>,
    hears: Event,
}

struct Out {
    producer: Producer<Rc<Memory>>,
    outbox: Outbox,
}

/// A call of theirs.
enum Running {
    No,
    /// Its task, unless that has yet to be told or has ended at once.
    Yes(Option<TaskRef>),
}

impl Link {
    /// This side of a link, and what its task takes out.
    pub(crate) fn open(
        parts: Parts,
        shard: usize,
        side: usize,
    ) -> io::Result<(Rc<Link>, Consumer<Rc<Memory>>)> {
        let bad = |Lie(what)| io::Error::new(io::ErrorKind::InvalidData, what);
        let memory = Memory::map(&parts.memory)?;
        let wire::Ends { producer, consumer, bell } = wire::ends(&memory, side).map_err(bad)?;
        parts.socket.set_nonblocking(true)?;
        let link = Link {
            shard,
            memory,
            bell,
            socket: parts.socket,
            out: RefCell::new(Out { producer, outbox: Outbox::default() }),
            calls: Calls::new(MOST_CALLS),
            running: RefCell::new((0..MOST_CALLS).map(|_| Running::No).collect()),
            poked: Event::new(),
            rung: Event::new(),
            ended: Cell::new(false),
            handed: Cell::new(0),
            taken: Cell::new(0),
            closed: Cell::new(0),
            heard: Cell::new(0),
            hears: Event::new(),
        };
        Ok((Rc::new(link), consumer))
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended.get()
    }

    /// Calls a function over there, by the number of its name, and waits for what it gives.
    pub(crate) async fn call(self: Rc<Self>, function: u64, request: &[u8]) -> Outcome {
        if self.calls.permit().await == Err(Stopped) || self.is_ended() {
            return Outcome::Stopped;
        }
        let (number, pending) = self.calls.begin();
        let _cancel = Abandoned { link: &self, number, pending: pending.clone() };
        let bytes = [&function.to_le_bytes(), request].concat();
        self.post(Message { kind: Kind::Call, call: number, bytes });
        Answer(pending).await
    }

    /// Sends a connection over there. It is theirs then, or closed if they are gone.
    ///
    /// # Errors
    ///
    /// Those of sendmsg(2): it is still ours.
    pub(crate) fn hand(&self, connection: impl AsFd, carried: Carried) -> io::Result<()> {
        serve::send_connection(&self.socket, connection.as_fd(), carried)?;
        self.handed.set(self.handed.get() + 1);
        Ok(())
    }

    /// Tells the other side how loaded we are, and for which listeners we take connections (a bit
    /// for each).
    pub(crate) fn tell_load(&self, load: Load, open: u64) {
        self.bell.tell_load(load.0, self.taken.get(), open);
    }

    /// Asks the other side to hand over no more for a listener, and waits until it has heard: what
    /// was on its way has arrived then.
    pub(crate) async fn leave(&self, listener: u16) {
        if serve::send_leave(&self.socket, listener).is_err() {
            return;
        }
        while !self.is_ended() && self.heard.get() & bit(listener) == 0 {
            self.hears.wait().await;
            self.hears.clear();
        }
    }

    /// How loaded the other side is, with the connections that are on their way there. `None`: it
    /// takes none for that listener. A side that says nonsense seems full, or gets its share; it
    /// answers for no more than its own connections.
    pub(crate) fn load(&self, listener: u16) -> Option<Load> {
        let [load, taken, open] = self.bell.load();
        let open = open & !self.closed.get() & bit(listener) != 0;
        open.then(|| Load(load).and(self.handed.get().wrapping_sub(taken)))
    }

    /// Puts a message into the outbox; it goes out when the link's task has its turn.
    fn post(&self, message: Message) {
        if !self.is_ended() {
            self.out.borrow_mut().outbox.post(message);
            self.poked.set();
        }
    }

    /// Wakes the other side, if it sleeps.
    fn ring(&self) {
        match self.bell.ring() {
            wire::AWAKE => {}
            BY_SOCKET => serve::send_bell(&self.socket),
            _ => futex::wake(&self.memory, self.bell.place(false)),
        }
    }

    /// The connection is over: fails what waits for it, and cancels what runs for it.
    fn end(&self) {
        self.ended.set(true);
        self.hears.set();
        if !mutant!("calls-of-the-dead-wait-for-ever") {
            self.calls.stop();
        }
        let running = std::mem::take(&mut *self.running.borrow_mut());
        for running in running {
            if let Running::Yes(Some(task)) = running {
                task.cancel();
            }
        }
        let queued = std::mem::take(&mut self.out.borrow_mut().outbox);
        drop(queued);
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link(to shard {}, ended: {})", self.shard, self.is_ended())
    }
}

/// Tells the other side when nobody waits for a call's answer any more.
struct Abandoned<'a> {
    link: &'a Link,
    number: u32,
    pending: Rc<Pending>,
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if !self.pending.is_finished() && !mutant!("a-dropped-call-goes-on-elsewhere") {
            let cancel = Message { kind: Kind::Cancel, call: self.number, bytes: Vec::new() };
            self.link.post(cancel);
        }
    }
}

/// The duty to answer a call of theirs. Dropped without an answer, as when its task is cancelled,
/// it answers that the call has stopped.
struct Reply {
    link: Option<Rc<Link>>,
    call: u32,
}

impl Reply {
    fn answer(mut self, kind: Kind, bytes: Vec<u8>) {
        self.send(kind, bytes);
    }

    fn send(&mut self, kind: Kind, bytes: Vec<u8>) {
        let Some(link) = self.link.take() else { return };
        let ran = link.running.borrow_mut().get_mut(self.call as usize).map(|running| {
            // Before the answer: once that is there, the number may stand for another call.
            std::mem::replace(running, Running::No)
        });
        drop(ran);
        link.post(Message { kind, call: self.call, bytes });
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.send(Kind::Stopped, Vec::new());
    }
}
