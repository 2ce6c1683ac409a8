//! Calls by name between the shards of a program, whether they are threads or processes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use uring_loop::sync::Event;

use crate::calls::Outcome;
use crate::error::CallError;
use crate::link::{self, Carried, End, Functions, Host, Link, Parts};
use crate::server::load::Load;
use crate::shard::Shard;

/// All shards of a [`Deploy`](crate::Deploy), from this one, for calls of the functions that it was
/// given ([`Deploy::function`](crate::Deploy::function)). It works the same for threads and for
/// processes: a request and its result are values that can be written as bytes (serde), not
/// closures. Cheap to clone; stays on its thread.
///
/// Between processes a call goes through shared memory, and a sleeping process is woken by a futex.
/// At most 128 calls from one process to one other are under way, and further ones wait for their
/// turn; a request or a result has up to 16 MiB. For two processes that is 34 KiB of memory.
///
/// A process that dies fails the calls that it was at, and those made until its successor has
/// taken its place, with [`CallError::Stopped`]. During a reload, calls go to the new process as
/// soon as it serves; the old one may still call others.
///
/// # Examples
///
/// ```no_run
/// use shard::{Deploy, Mode, Peers};
///
/// Deploy::new("127.0.0.1:7000".parse().unwrap())
///     .mode(Mode::Processes)
///     .function("shout", |text: String| async move { text.to_uppercase() })
///     .run(|_shard, _listener| async move {
///         let peers = Peers::current();
///         peers.linked().await;
///         let next = (peers.index() + 1) % peers.count();
///         let loud: String = peers.call(next, "shout", "hello").await?;
///         assert_eq!(loud, "HELLO");
///         Ok(())
///     })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Peers(Rc<Inner>);

/// What every shard of a program has to know of it.
#[derive(Clone)]
pub(crate) struct Program {
    /// How many shards it has.
    pub(crate) count: usize,
    pub(crate) functions: Functions,
    /// Whether they are processes.
    pub(crate) processes: bool,
}

struct Inner {
    shard: Shard,
    index: usize,
    count: usize,
    functions: Functions,
    /// `None`: all shards are threads of this process.
    elsewhere: Option<Elsewhere>,
}

/// The other processes.
struct Elsewhere {
    /// By shard, those that are open, in the order they came: the last is the newest process.
    links: RefCell<Vec<Vec<Rc<Link>>>>,
    /// Set when a link was added.
    added: Event,
    /// By listener, who takes connections that others hand over, and how loaded it is.
    doors: RefCell<BTreeMap<u16, Door>>,
}

#[derive(Default)]
struct Door {
    taker: Option<Taker>,
    load: Option<Load>,
}

/// Takes a connection that another process hands over.
type Taker = Rc<dyn Fn(OwnedFd, SocketAddr)>;

/// What a shard's states have it under.
struct Installed(Peers);

impl Peers {
    /// Those of this thread's shard.
    ///
    /// # Panics
    ///
    /// If no shard of a [`Deploy`](crate::Deploy) runs on this thread.
    #[track_caller]
    pub fn current() -> Peers {
        Self::try_current().expect("Peers::current: no shard of a Deploy runs on this thread")
    }

    /// Those of this thread's shard, if it is one of a [`Deploy`](crate::Deploy).
    pub fn try_current() -> Option<Peers> {
        let name = crate::state::Name::of::<Installed>();
        let lent =
            Shard::try_current()?.states().lend(name, |peers: &mut Installed| peers.0.clone());
        lent.ok()
    }

    /// Makes them known on this thread's shard, unless they are.
    pub(crate) fn install(program: Program, index: usize) -> Peers {
        if let Some(peers) = Self::try_current() {
            return peers;
        }
        let (shard, Program { count, functions, processes }) = (Shard::current(), program);
        let elsewhere = processes.then(|| Elsewhere {
            links: RefCell::new(vec![Vec::new(); count]),
            added: Event::new(),
            doors: RefCell::default(),
        });
        let inner = Inner { shard: shard.clone(), index, count, functions, elsewhere };
        let peers = Peers(Rc::new(inner));
        shard.put(Installed(peers.clone()));
        peers
    }

    /// The number of this shard, from 0 to less than [`count`](Self::count). (A process is a group
    /// of one shard, whose [`Shard::index`] is 0.)
    pub fn index(&self) -> usize {
        self.0.index
    }

    /// How many shards there are.
    pub fn count(&self) -> usize {
        self.0.count
    }

    /// Waits until there is a way to every other shard. Between threads there always is; a process
    /// that begins gets its links when it serves, a moment later.
    ///
    /// # Cancel safety
    ///
    /// Strict: there is nothing to lose.
    pub async fn linked(&self) {
        let Some(elsewhere) = &self.0.elsewhere else { return };
        loop {
            elsewhere.added.clear();
            let here = self.0.index;
            if (0..self.0.count).all(|shard| shard == here || elsewhere.newest(shard).is_some()) {
                return;
            }
            elsewhere.added.wait().await;
        }
    }

    /// Calls a function of shard `target` by its name, and gives its result. It runs there as a
    /// task of its own.
    ///
    /// # Errors
    ///
    /// [`CallError::Stopped`] if that process is gone, or goes before the call is done;
    /// [`CallError::Panicked`]; [`CallError::Refused`] if there is no such function there, or the
    /// request or the result cannot be read or written, or is too long.
    ///
    /// # Panics
    ///
    /// If there is no shard `target`.
    ///
    /// # Cancel safety
    ///
    /// Weak: dropped before its turn, nothing was sent. Dropped later, the call's task over there
    /// is asked to end; what it had begun may be done or not.
    #[track_caller]
    pub fn call<Q, R>(
        &self,
        target: usize,
        function: &str,
        request: &Q,
    ) -> impl Future<Output = Result<R, CallError>> + use<Q, R>
    where
        Q: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        let count = self.count();
        assert!(target < count, "calling shard {target}: there are only {count}");
        let refused = move |what: &str, why: String| CallError::Refused {
            shard: target,
            reason: format!("{what}: {why}"),
        };
        let written = link::encode(request).map_err(|why| refused("writing the request", why));
        let (peers, function) = (self.clone(), link::number(function));
        async move {
            let result = peers.send(target, function, written?).await?;
            link::decode(&result).map_err(|why| refused("reading the result", why))
        }
    }

    async fn send(
        &self,
        target: usize,
        function: u64,
        request: Vec<u8>,
    ) -> Result<Vec<u8>, CallError> {
        let Inner { shard, index, functions, elsewhere, .. } = &*self.0;
        if let Some(elsewhere) = elsewhere.as_ref().filter(|_| target != *index) {
            let link = elsewhere.newest(target).ok_or(CallError::Stopped { shard: target })?;
            return match link.call(function, &request).await {
                Outcome::Value(bytes) => Ok(*bytes.downcast().expect("a link answers in bytes")),
                failed => Err(failed.into_error(target)),
            };
        }
        // A thread of this process, or this one: a process is the only shard of its group.
        let there = if elsewhere.is_some() { shard.index() } else { target };
        let functions = functions.clone();
        let run = move || functions.run(function, &request);
        match shard.submit_to(there, run).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(reason)) => Err(CallError::Refused { shard: target, reason }),
            Err(error) => Err(error.of(target)),
        }
    }

    /// Takes over one side of a link, and serves it.
    pub(crate) fn add_link(&self, target: usize, side: usize, parts: Parts) -> io::Result<()> {
        let Some(elsewhere) = self.0.elsewhere.as_ref().filter(|_| target < self.0.count) else {
            return Err(io::Error::other("a link to a shard that there is not"));
        };
        let (link, consumer) = Link::open(parts, target, side)?;
        elsewhere.links.borrow_mut()[target].push(link.clone());
        elsewhere.tell(&link);
        elsewhere.added.set();
        let (peers, own) = (Rc::downgrade(&self.0), self.0.index);
        let take = Rc::new(move |(listener, peer): Carried, fd| {
            let peers = peers.upgrade();
            let elsewhere = peers.as_ref().and_then(|peers| peers.elsewhere.as_ref());
            match elsewhere.and_then(|elsewhere| elsewhere.taker(listener)) {
                Some(taker) => taker(fd, peer),
                // Nobody serves it (any more): it is closed.
                None => drop(fd),
            }
        });
        let host = Host { functions: self.0.functions.clone(), take, woken: None };
        let peers = Rc::downgrade(&self.0);
        let serving = async move {
            match link::serve(link.clone(), consumer, host).await {
                End::Gone => {}
                End::Lied(what) => tracing::warn!(
                    target: "shard",
                    "shard {own} ends its link to shard {target}, which has sent {what}"
                ),
                End::Failed(error) => tracing::warn!(
                    target: "shard",
                    "shard {own} has lost its link to shard {target}: {error}"
                ),
            }
            if let Some(elsewhere) = peers.upgrade().as_ref().and_then(|at| at.elsewhere.as_ref()) {
                elsewhere.links.borrow_mut()[target].retain(|other| !Rc::ptr_eq(other, &link));
            }
        };
        drop(uring_loop::spawn(serving).named("link"));
        Ok(())
    }
}

/// Connections between processes; for servers.
impl Peers {
    /// Who takes what others hand over for a listener.
    pub(crate) fn take_with(&self, listener: u16, taker: Option<Taker>) {
        let Some(elsewhere) = &self.0.elsewhere else { return };
        elsewhere.doors.borrow_mut().entry(listener).or_default().taker = taker;
        elsewhere.tell_all();
    }

    /// Tells all others how loaded a listener is here.
    pub(crate) fn tell_load(&self, listener: u16, load: Load) {
        let Some(elsewhere) = &self.0.elsewhere else { return };
        elsewhere.doors.borrow_mut().entry(listener).or_default().load = Some(load);
        elsewhere.tell_all();
    }

    /// How loaded this process is, with all its listeners.
    pub(crate) fn own_load(&self) -> Load {
        self.0.elsewhere.as_ref().map_or(Load(0), Elsewhere::load)
    }

    /// The other processes that take connections of a listener, and how loaded they are.
    pub(crate) fn loads(&self, listener: u16) -> Vec<(usize, Load)> {
        let Some(elsewhere) = &self.0.elsewhere else { return Vec::new() };
        let load = |shard| Some((shard, elsewhere.newest(shard)?.load(listener)?));
        // From the next one on: of equals, each process prefers another.
        let (own, count) = (self.0.index, self.0.count);
        (1..count).filter_map(|step| load((own + step) % count)).collect()
    }

    /// Hands a connection over to another process.
    pub(crate) fn hand(&self, target: usize, fd: impl AsFd, carried: Carried) -> io::Result<()> {
        let elsewhere = self.0.elsewhere.as_ref();
        let link = elsewhere.and_then(|elsewhere| elsewhere.newest(target));
        link.ok_or(io::ErrorKind::NotConnected)?.hand(fd, carried)
    }

    /// Asks all others to hand over no more for a listener, and waits until they have heard.
    pub(crate) async fn leave(&self, listener: u16) {
        let Some(elsewhere) = &self.0.elsewhere else { return };
        let links: Vec<_> = elsewhere.links.borrow().iter().flatten().cloned().collect();
        let leave = |link: Rc<Link>| async move { link.leave(listener).await };
        uring_loop::join(links.into_iter().map(leave).collect::<Vec<_>>()).await;
    }
}

impl Elsewhere {
    fn taker(&self, listener: u16) -> Option<Taker> {
        self.doors.borrow().get(&listener)?.taker.clone()
    }

    fn load(&self) -> Load {
        Load::sum(self.doors.borrow().values().filter_map(|door| door.load))
    }

    fn tell(&self, link: &Link) {
        let open = |open, (listener, door): (&u16, &Door)| {
            open | if door.taker.is_some() { 1 << listener } else { 0 }
        };
        let open = self.doors.borrow().iter().fold(0, open);
        link.tell_load(self.load(), open);
    }

    fn tell_all(&self) {
        self.links.borrow().iter().flatten().for_each(|link| self.tell(link));
    }

    fn newest(&self, shard: usize) -> Option<Rc<Link>> {
        self.links.borrow()[shard].iter().rev().find(|link| !link.is_ended()).cloned()
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peers(shard {} of {})", self.0.index, self.0.count)
    }
}
