//! What a server has on one shard: its connections, and the door for those that others send.
//!
//! # Life story
//!
//! *open*: in the shard's states, under the listener's name; accepts and takes what is sent.
//! *draining*: accepts no more, but what waits in its own sockets. *closed* (its gate is): what is
//! sent goes back to its sender; the connections that are left end, or are aborted. Then it leaves
//! the states, and the last seat frees it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uring_loop::sync::Event;
use uring_loop::time::{sleep, timeout};
use uring_loop::{TaskRef, yield_now};

use super::connection::Connection;
use super::listener::{Accept, Sockets};
use super::load::{Load, least, relief};
use crate::error::CallError;
use crate::gate::{Gate, Pass};
use crate::peers::Peers;
use crate::service::CONNECTIONS;
use crate::shard::Shard;

/// How often room is looked for that only other shards know of.
const LOOK: Duration = Duration::from_millis(5);
/// How often the delay of the run queue is measured.
const SAMPLE: Duration = Duration::from_millis(10);

/// How long others may take to hear that we take no more.
const HEARD: Duration = Duration::from_secs(1);

/// Who gets a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// A shard of this process.
    Shard(usize),
    Process(usize),
}

/// A connection is counted for a shard, from before it is there until it has ended.
pub(super) struct Count {
    sockets: Arc<Sockets>,
    shard: usize,
}

impl Count {
    fn new(sockets: Arc<Sockets>, shard: usize) -> Self {
        sockets.loads.add(shard);
        Count { sockets, shard }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.sockets.loads.remove(self.shard);
    }
}

/// A connection on its way to a shard.
pub(super) struct Arrival {
    pub(super) fd: OwnedFd,
    pub(super) peer: SocketAddr,
    pub(super) count: Count,
    pub(super) carried: Option<Box<dyn Any + Send>>,
}

pub(super) struct Hub {
    shard: Shard,
    pub(super) sockets: Arc<Sockets>,
    limit: usize,
    /// The other processes, if they can have connections of ours.
    pub(super) others: Option<Peers>,
    /// Starts the service with a connection.
    start: Box<dyn Fn(Connection) -> TaskRef>,
    /// Everything that has a seat.
    pub(super) gate: Gate,
    tasks: RefCell<HashMap<u64, TaskRef>>,
    next: Cell<u64>,
    /// Set by a seat that becomes free, for who waits for room.
    room: Event,
    /// Set by a connection that comes.
    arrived: Event,
    pub(super) draining: Event,
    /// The tasks that accept.
    pub(super) accepting: Gate,
    pub(super) failed: Event,
    pub(super) failure: RefCell<Option<io::Error>>,
    pub(super) accepted: Cell<u64>,
    pub(super) handed: Cell<u64>,
}

impl Hub {
    pub(super) fn new(
        shard: Shard,
        sockets: Arc<Sockets>,
        limit: usize,
        start: Box<dyn Fn(Connection) -> TaskRef>,
    ) -> Rc<Self> {
        let shares = sockets.process.is_some() && sockets.accept != Accept::ReusePort;
        Rc::new(Hub {
            shard,
            others: Peers::try_current().filter(|_| shares),
            sockets,
            limit,
            start,
            gate: Gate::new(),
            tasks: RefCell::default(),
            next: Cell::new(0),
            room: Event::new(),
            arrived: Event::new(),
            draining: Event::new(),
            accepting: Gate::new(),
            failed: Event::new(),
            failure: RefCell::default(),
            accepted: Cell::new(0),
            handed: Cell::new(0),
        })
    }

    fn index(&self) -> usize {
        self.shard.index()
    }

    /// Who is to have the next connection. `None`: all are full.
    fn choose(&self) -> Option<Target> {
        let (own, loads) = (self.index(), &self.sockets.loads);
        let full = loads.connections(own) >= self.limit;
        let own_has_room = !full || mutant!("limits-are-not-kept");
        let mine = own_has_room.then_some(Target::Shard(own));
        match self.sockets.accept {
            _ if mutant!("nobody-looks-at-loads") => mine,
            Accept::ReusePort => mine,
            Accept::LeastLoaded => least(self.loads(), self.limit).map(|(target, _)| target),
            Accept::Balanced => {
                let (_, load) = self.loads().next()?;
                let relief = relief(load, self.loads(), self.limit);
                relief.filter(|target| *target != Target::Shard(own)).or(mine)
            }
        }
    }

    /// Who could have connections, and how loaded they are; we are the first.
    fn loads(&self) -> impl Iterator<Item = (Target, Load)> {
        let own = self.index();
        let of_process = |load| self.others.as_ref().map_or(load, Peers::own_load);
        let shards = self.sockets.loads.from(own);
        let shards = shards.map(move |(shard, load)| (Target::Shard(shard), of_process(load)));
        let number = self.sockets.process.map_or(0, |process| process.number);
        let others = self.others.iter().flat_map(move |others| others.loads(number));
        shards.chain(others.map(|(process, load)| (Target::Process(process), load)))
    }

    /// Tells other processes how loaded we are.
    fn tell(&self) {
        if let (Some(others), Some(process)) = (&self.others, self.sockets.process) {
            others.tell_load(process.number, self.sockets.loads.load(self.index()));
        }
    }

    /// Takes what other processes hand over.
    pub(super) fn open_to_others(self: &Rc<Self>) {
        if let (Some(others), Some(process)) = (&self.others, self.sockets.process) {
            self.tell();
            let hub = Rc::downgrade(self);
            let take = move |fd, peer| {
                // One that has drained had asked for nothing more, and waited until that was heard.
                if let Some(hub) = hub.upgrade() {
                    let count = hub.count_for(hub.index());
                    hub.arrive(Arrival { fd, peer, count, carried: None });
                }
            };
            others.take_with(process.number, Some(Rc::new(take)));
        }
    }

    /// Takes no more from other processes, and has nothing more on the way.
    pub(super) async fn close_to_others(&self) {
        if let (Some(others), Some(process)) = (&self.others, self.sockets.process) {
            // Somebody who does not hear of it is stuck, and hands nothing over.
            let _ = timeout(HEARD, others.leave(process.number)).await;
        }
    }

    /// Waits until a shard has room for a connection.
    pub(super) async fn wait_for_room(&self) {
        loop {
            self.room.clear();
            if self.choose().is_some() {
                return;
            }
            // Seats of other shards become free without a word to us.
            let _ = timeout(LOOK, self.room.wait()).await;
        }
    }

    /// Brings a connection that was accepted here to where it belongs.
    pub(super) async fn place(self: &Rc<Self>, fd: OwnedFd, peer: SocketAddr) {
        self.accepted.set(self.accepted.get() + 1);
        self.sockets.loads.note_accepted(self.index());
        let own = self.index();
        let target = match self.choose().unwrap_or(Target::Shard(own)) {
            Target::Shard(target) => target,
            Target::Process(target) => match self.hand(target, &fd, peer) {
                Ok(()) => return self.handed.set(self.handed.get() + 1),
                // It has just gone, or its socket is full.
                Err(_) => own,
            },
        };
        let arrival = Arrival { fd, peer, count: self.count_for(target), carried: None };
        if target == own {
            return self.arrive(arrival);
        }
        self.handed.set(self.handed.get() + 1);
        // A shard that has stopped closes what was on its way; one that does not serve gives back.
        if let Ok(Some(mut back)) = self.send(target, arrival).await {
            back.count = self.count_for(own);
            self.arrive(back);
        }
    }

    /// Sends a connection to another process. It has a descriptor of its own then.
    fn hand(&self, target: usize, fd: &OwnedFd, peer: SocketAddr) -> io::Result<()> {
        match (&self.others, self.sockets.process) {
            (Some(others), Some(process)) => others.hand(target, fd, (process.number, peer)),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    pub(super) fn count_for(&self, shard: usize) -> Count {
        Count::new(self.sockets.clone(), shard)
    }

    /// Sends a connection to another shard, or to this one. `Some`: it does not serve there.
    pub(super) async fn send(
        &self,
        target: usize,
        arrival: Arrival,
    ) -> Result<Option<Arrival>, CallError> {
        let name = self.sockets.name;
        let deliver = move || async move {
            let hub = Shard::current().states().lend(name, |hub: &mut Rc<Hub>| hub.clone());
            match hub {
                // One that waits for its last connection takes no more.
                Ok(hub) if !hub.gate.is_closed() => {
                    hub.arrive(arrival);
                    None
                }
                _ => Some(arrival),
            }
        };
        self.shard.submit(CONNECTIONS, target, deliver).await
    }

    /// Starts the service with a connection that is here.
    fn arrive(self: &Rc<Self>, arrival: Arrival) {
        self.tell();
        let connection = Connection::new(arrival, self);
        let number = connection.number();
        let task = (self.start)(connection);
        // A loop that starts tasks at once may have run it to its end.
        if !task.is_done() {
            self.tasks.borrow_mut().insert(number, task);
        }
        self.arrived.set();
    }

    /// Drops every connection that is left; how many.
    pub(super) fn abort(&self) -> u64 {
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        let left = tasks.len() as u64;
        tasks.into_values().for_each(|task| task.abort());
        left
    }

    /// Measures how long ready tasks wait, while there are connections.
    pub(super) async fn sample(self: Rc<Self>) {
        let own = self.index();
        while !self.draining.is_set() {
            if self.sockets.loads.connections(own) == 0 {
                self.sockets.loads.note_delay(own, Duration::ZERO);
                self.tell();
                self.arrived.clear();
                uring_loop::race((self.arrived.wait(), self.draining.wait())).await;
            }
            sleep(SAMPLE).await;
            let ready = Instant::now();
            yield_now().await;
            self.sockets.loads.note_delay(own, ready.elapsed());
            self.tell();
        }
    }
}

/// The place of a connection on its shard. While it is there, the connection counts, and a drain
/// waits for it.
pub struct Seat {
    hub: Rc<Hub>,
    number: u64,
    count: Option<Count>,
    /// `None` for one that its shard has to take back when it closes: it is aborted at the end.
    _pass: Option<Pass>,
}

impl Seat {
    pub(super) fn new(hub: Rc<Hub>, count: Count) -> Self {
        let number = hub.next.get();
        hub.next.set(number + 1);
        let pass = hub.gate.enter().ok();
        Seat { hub, number, count: Some(count), _pass: pass }
    }

    pub(super) fn hub(&self) -> &Rc<Hub> {
        &self.hub
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether the server drains: answer what was asked, and end.
    pub fn is_draining(&self) -> bool {
        self.hub.draining.is_set()
    }

    /// Waits until the server drains.
    ///
    /// # Cancel safety
    ///
    /// Strict: there is nothing to lose.
    pub async fn draining(&self) {
        self.hub.draining.wait().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        drop(self.count.take());
        self.hub.tell();
        let task = self.hub.tasks.borrow_mut().remove(&self.number);
        drop(task);
        self.hub.room.set();
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seat({} of shard {})", self.number, self.hub.index())
    }
}
