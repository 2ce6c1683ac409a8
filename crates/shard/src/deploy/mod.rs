//! A program made of shards, with all that surrounds it: listening sockets, signals, and shards
//! as threads or as processes.
//!
//! `threads.rs` runs it in this process, `supervisor.rs` as one process for each shard, whose side
//! is `worker.rs`; how those stand is in `board.rs`. `inherit.rs` is how sockets come from a
//! parent, `post.rs` what worker and supervisor say, `pulse.rs` whether a worker is stuck,
//! `notify.rs` tells systemd.

mod board;
mod inherit;
mod notify;
mod post;
mod pulse;
mod supervisor;
mod threads;
mod worker;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use board::ShardStatistics;

use crate::builder::Builder;
use crate::link::{Functions, MOST_LISTENERS};
use crate::restart::Restart;
use crate::server::{Accept, Listener};
use crate::shard::Shard;

/// What shards are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Mode {
    /// Threads of this process, with a mesh between them.
    #[default]
    Threads,
    /// Processes, each with one shard. Nothing that happens to one can harm another, and a new
    /// binary takes over without a refused connection; but closures cannot go from one to another:
    /// each is a group of its own, and calls the others by name ([`Peers`](crate::Peers)).
    Processes,
}

/// Runs a service on every CPU, on threads or in processes, until it is told to end by a signal.
///
/// *Sockets* are bound first, or taken over from systemd (socket activation, sd_listen_fds(3)).
///
/// *Signals*: SIGTERM and SIGINT end it in order: the services are cancelled, and have as long as
/// [`drain`](Self::drain) says; a second one ends it now.
///
/// *systemd* is told when it is ready, reloads and stops (sd_notify(3)), where it wants to be.
///
/// As **processes**, this one becomes a supervisor. It runs the program again, once for each CPU,
/// by the path it was started from and with the same arguments; there `main` comes to the same
/// [`run`](Self::run), which serves instead. So whatever `main` does before is done in
/// every process, and should only be reading options. The supervisor
///
/// * starts a process that dies again, after a pause ([`restart`](Self::restart)); one that dies
///   again and again ends it all, with the reason;
/// * on SIGHUP replaces one process after another by the program that is at the path *now*. Each
///   successor listens on the very socket of its predecessor, so nothing is refused or reset: that
///   one accepts no more, and ends when its connections have;
/// * reports processes whose shard is stuck, and replaces them if it may
///   ([`kill_stuck`](Self::kill_stuck));
/// * owns the sockets: what waits in that of a dead process is served by its successor;
/// * takes its processes with it: one whose supervisor is gone drains and ends.
///
/// # Examples
///
/// ```no_run
/// use shard::{Connection, Deploy, Mode, Server};
/// use std::time::Duration;
///
/// async fn serve(_connection: Connection) {}
///
/// Deploy::new("127.0.0.1:7000".parse().unwrap())
///     .mode(Mode::Processes)
///     .drain(Duration::from_secs(30))
///     .run(|shard, listener| async move {
///         Server::new(listener).drain(Duration::from_secs(30)).serve(&shard, serve).await?;
///         Ok(())
///     })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "nothing runs until `run`"]
pub struct Deploy {
    addresses: Vec<SocketAddr>,
    accept: Accept,
    mode: Mode,
    builder: Builder,
    restart: Restart,
    drain: Duration,
    statistics: Option<(Duration, Show)>,
    kill_stuck: bool,
    functions: Functions,
}

/// Is shown how the shards stand.
type Show = Rc<dyn Fn(&[ShardStatistics])>;

impl Deploy {
    /// A service that listens there. Sockets that systemd has bound are taken instead, if there
    /// are any.
    pub fn new(address: SocketAddr) -> Self {
        Deploy {
            addresses: vec![address],
            accept: Accept::ReusePort,
            mode: Mode::Threads,
            builder: Builder::new(),
            restart: Restart::new(),
            drain: Duration::from_secs(10),
            statistics: None,
            kill_stuck: false,
            functions: Functions::default(),
        }
    }

    /// One more address to listen on, of up to 64; the service gets its listener by
    /// [`run_many`](Self::run_many).
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.addresses.push(address);
        self
    }

    /// Who accepts connections, and which shard gets them. Processes hand them to each other as
    /// threads do.
    pub fn accept(mut self, accept: Accept) -> Self {
        self.accept = accept;
        self
    }

    /// Threads, the default, or processes.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Options of the shards, and which CPUs get one.
    pub fn shards(mut self, builder: Builder) -> Self {
        self.builder = builder;
        self
    }

    /// When processes that die are started again. (For threads that panic see
    /// [`Builder::on_panic`].)
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// Whether a process whose shard is stuck is killed, so that another takes its place. Default:
    /// it is only reported, as [`Event::Stuck`](crate::Event::Stuck). What stuck means
    /// [`Builder::stuck`] says; the supervisor looks for it, by signs of life that every shard
    /// gives in shared memory. (A thread that is stuck cannot be ended, and is reported in any
    /// case.)
    pub fn kill_stuck(mut self, kill: bool) -> Self {
        self.kill_stuck = kill;
        self
    }

    /// How long services may take to end when they are told to; then they are dropped, and a second
    /// later processes are killed. Default: 10 s.
    pub fn drain(mut self, patience: Duration) -> Self {
        self.drain = patience;
        self
    }

    /// Adds a function that all shards can call by its name, with [`Peers`](crate::Peers): also if
    /// they are processes, which is why request and result go as bytes (serde). It runs on the
    /// shard that is called, in a task of its own; [`Shard::current`] in it is that one.
    ///
    /// Names are what a new build and an old one have in common while one replaces the other: give
    /// a function another name when its request or its result changes. The first function of a
    /// program cannot come by a reload, since the supervisor links processes only if there is one.
    pub fn function<Q, R, C, F>(mut self, name: impl Into<String>, function: C) -> Self
    where
        Q: DeserializeOwned + 'static,
        R: Serialize + 'static,
        C: Fn(Q) -> F + Send + Sync + 'static,
        F: Future<Output = R> + 'static,
    {
        self.functions.add(name.into(), function);
        self
    }

    /// Calls a closure every so often with how the shards stand, on the thread that runs this. A
    /// process that has just begun may be missing.
    pub fn statistics(
        mut self,
        every: Duration,
        show: impl Fn(&[ShardStatistics]) + 'static,
    ) -> Self {
        self.statistics = Some((every, Rc::new(show)));
        self
    }

    /// Runs it, and returns when it has ended.
    ///
    /// # Errors
    ///
    /// What kept it from starting; the error or panic of a service; a process that died too often;
    /// `InvalidInput` for a name of two functions, and for several addresses.
    ///
    /// # Panics
    ///
    /// If an event loop runs on this thread.
    pub fn run<S, F>(self, service: S) -> io::Result<()>
    where
        S: FnOnce(Shard, Listener) -> F + Clone + Send + 'static,
        F: Future<Output = io::Result<()>> + 'static,
    {
        if self.addresses.len() > 1 {
            let count = self.addresses.len();
            return bad(format!("listening on {count} addresses: run it with run_many"));
        }
        self.run_many(|shard, listeners| {
            let listener = listeners.into_iter().next().expect("one address, one listener");
            service(shard, listener)
        })
    }

    /// The same with a listener for each address, in the order in which they were given. (Sockets
    /// of systemd are told apart by their addresses, if there are several.)
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run); `InvalidInput` for more than 64 addresses, and for a socket of
    /// systemd that belongs to none.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    pub fn run_many<S, F>(self, service: S) -> io::Result<()>
    where
        S: FnOnce(Shard, Vec<Listener>) -> F + Clone + Send + 'static,
        F: Future<Output = io::Result<()>> + 'static,
    {
        if self.addresses.len() > MOST_LISTENERS {
            let count = self.addresses.len();
            return bad(format!("listening on {count} addresses: {MOST_LISTENERS} are possible"));
        }
        if let Some(name) = self.functions.twice() {
            return bad(format!("the function {name:?}: its name is taken"));
        }
        match self.mode {
            Mode::Threads => threads::run(self, service),
            Mode::Processes => match inherit::Charge::take()? {
                Some(charge) => worker::run(self, charge, service),
                None => supervisor::run(self),
            },
        }
    }

    /// Whether processes have anything to say to each other.
    fn wants_links(&self) -> bool {
        !self.functions.is_empty() || self.accept != Accept::ReusePort
    }

    /// Shows what `read` gives, again and again, in a task.
    fn show(&self, read: impl Fn() -> Vec<ShardStatistics> + 'static) {
        let Some((every, show)) = self.statistics.clone() else { return };
        drop(uring_loop::spawn(async move {
            loop {
                uring_loop::time::sleep(every).await;
                show(&read());
            }
        }));
    }

    /// For each address, sockets of our own for so many shards, or those that systemd has given us.
    fn sockets(&self, shards: usize) -> io::Result<(Vec<Vec<TcpListener>>, bool)> {
        let given = inherit::from_systemd()?;
        if !given.is_empty() {
            return Ok((self.sort(given)?, true));
        }
        let bind = |address: &SocketAddr| {
            let listener = Listener::bind(*address, shards, self.accept)?;
            listener.sockets().map(TcpListener::try_clone).collect::<io::Result<Vec<_>>>()
        };
        Ok((self.addresses.iter().map(bind).collect::<io::Result<_>>()?, false))
    }

    /// Sockets by the addresses that they belong to. For one address they need not be bound to it.
    fn sort(&self, given: Vec<TcpListener>) -> io::Result<Vec<Vec<TcpListener>>> {
        if self.addresses.len() == 1 {
            return Ok(vec![given]);
        }
        let mut sorted: Vec<Vec<_>> = self.addresses.iter().map(|_| Vec::new()).collect();
        for socket in given {
            let bound = socket.local_addr()?;
            match self.addresses.iter().position(|address| *address == bound) {
                Some(at) => sorted[at].push(socket),
                None => return bad(format!("a socket of systemd listens on {bound}; nobody does")),
            }
        }
        match sorted.iter().position(Vec::is_empty) {
            Some(at) => bad(format!("no socket of systemd listens on {}", self.addresses[at])),
            None => Ok(sorted),
        }
    }
}

fn bad<T>(what: String) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

impl fmt::Debug for Deploy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deploy")
            .field("addresses", &self.addresses)
            .field("accept", &self.accept)
            .field("mode", &self.mode)
            .field("shards", &self.builder)
            .field("restart", &self.restart)
            .field("drain", &self.drain)
            .field("functions", &self.functions)
            .finish_non_exhaustive()
    }
}

/// What CLOCK_MONOTONIC says, which is the same in all processes.
fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

/// A loop for a thread that does nothing but look after others.
fn quiet_loop() -> io::Result<uring_loop::EventLoop> {
    uring_loop::EventLoop::builder().submissions(32).ctrl_c(false).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_systemd_are_told_apart_by_their_addresses() {
        let bind = || TcpListener::bind("127.0.0.1:0").expect("bound");
        let (one, other, stranger) = (bind(), bind(), bind());
        let [first, second] = [&one, &other].map(|socket| socket.local_addr().expect("bound"));
        let deploy = Deploy::new(first).listen(second);
        let clone = |socket: &TcpListener| socket.try_clone().expect("a second one");
        let sorted = deploy.sort(vec![clone(&other), clone(&one), clone(&other)]).expect("ours");
        assert_eq!(sorted.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(sorted[0][0].local_addr().expect("bound"), first);
        let missing = deploy.sort(vec![clone(&one)]).expect_err("the second is missing");
        assert!(missing.to_string().contains(&second.to_string()), "{missing}");
        let odd = deploy.sort(vec![clone(&one), clone(&other), clone(&stranger)]);
        assert!(odd.expect_err("whose is it").to_string().contains("nobody does"));
        // With one address, whatever is given is meant.
        assert_eq!(Deploy::new(first).sort(vec![stranger]).expect("ours")[0].len(), 1);
    }
}
