//! Servers: connections accepted, spread over shards, counted, and drained.
//!
//! `listener.rs` has the sockets, `accept.rs` accepts on them, `load.rs` says which shard is
//! least loaded, `hub.rs` is what a server has on each shard, `connection.rs` what a service gets.

mod accept;
mod connection;
mod hub;
mod listener;
pub(crate) mod load;

use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

pub use connection::{Connection, Wake};
pub use hub::Seat;
pub(crate) use listener::Process;
pub use listener::{Accept, Listener};
use uring_loop::catch_cancel;
use uring_loop::time::timeout;

use crate::shard::Shard;
use hub::Hub;

/// Serves the connections of a [`Listener`] on a shard; every shard of the group has one.
///
/// # Examples
///
/// ```
/// use shard::{Accept, Connection, Listener, Server, Shards};
/// # use std::io::{Read, Write};
/// use std::time::Duration;
///
/// async fn echo(mut connection: Connection) {
///     let mut buffer = Vec::with_capacity(4096);
///     // Between requests it waits without a buffer, and hears of a drain.
///     while let Ok(shard::Wake::Readable) = connection.readable().await {
///         buffer.clear();
///         let (count, bytes) = connection.read(buffer).await;
///         if !matches!(count, Ok(1..)) {
///             return;
///         }
///         let (written, bytes) = connection.write_all(bytes).await;
///         if written.is_err() {
///             return;
///         }
///         buffer = bytes;
///     }
/// }
///
/// let listener = Listener::bind("127.0.0.1:0", 2, Accept::LeastLoaded)?;
/// let address = listener.local_addr()?;
/// let shards = Shards::builder().cpus([0, 0]).spawn(|shard| async move {
///     Server::new(listener).limit(10_000).serve(&shard, echo).await
/// })?;
/// # let mut client = std::net::TcpStream::connect(address)?;
/// # client.write_all(b"hello")?;
/// # let mut answer = [0; 5];
/// # client.read_exact(&mut answer)?;
/// # assert_eq!(&answer, b"hello");
/// let ends = shards.shutdown(Duration::from_secs(5))?;
/// # let served = ends.into_iter().filter_map(|end| end.returned());
/// # assert_eq!(served.map(|end| end.accepted).sum::<u64>(), 1);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a server does nothing until `serve`"]
pub struct Server {
    listener: Listener,
    limit: usize,
    drain: Duration,
}

/// What a [`Server`] has done on a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Served {
    /// Connections accepted by this shard.
    pub accepted: u64,
    /// Those of them that were given to another shard.
    pub handed: u64,
    /// Connections that had not ended when the drain was over, and were closed.
    pub aborted: u64,
}

impl Server {
    /// A server for the connections of a listener.
    pub fn new(listener: Listener) -> Self {
        Server { listener, limit: usize::MAX, drain: Duration::from_secs(5) }
    }

    /// How many connections a shard has at most. Further ones wait in the kernel's queue. Default:
    /// as many as there are descriptors.
    pub fn limit(mut self, connections: usize) -> Self {
        self.limit = connections;
        self
    }

    /// How long connections may take to end when the server ends. The patience of the group's
    /// shutdown counts too, and should be longer. Default: 5 s.
    pub fn drain(mut self, patience: Duration) -> Self {
        self.drain = patience;
        self
    }

    /// Serves until the task that it runs in is cancelled, as the service of a shard is when the
    /// group is to end. `service` is called for each connection, on the shard that has it, and its
    /// future runs as a task.
    ///
    /// Then it *drains*: it accepts no more, but for what waits in its own sockets; services learn
    /// of it ([`Connection::readable`], [`Seat::draining`]); it returns when all connections have
    /// ended, or have been aborted at the deadline.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the listener was made for another number of shards, or serves here
    /// already; a failure of a listening socket. Descriptors that are short for some time (EMFILE)
    /// are no error: accepting pauses meanwhile.
    ///
    /// # Cancel safety
    ///
    /// None: dropped, it drops what it has; cancel the task that it runs in instead.
    pub async fn serve<S, F>(self, shard: &Shard, service: S) -> io::Result<Served>
    where
        S: Fn(Connection) -> F + 'static,
        F: Future<Output = ()> + 'static,
    {
        let sockets = self.listener.0.clone();
        self.check(shard)?;
        let service = Rc::new(service);
        let start = move |connection| {
            let service = service.clone();
            // Called in the task, so that a panic of it is that connection's alone.
            uring_loop::spawn(async move { service(connection).await }).task_ref()
        };
        let hub = Hub::new(shard.clone(), sockets.clone(), self.limit, Box::new(start));
        shard.states().put_as(sockets.name, hub.clone());
        let _open = Open { shard, hub: &hub };
        if sockets.accept != Accept::ReusePort {
            drop(uring_loop::spawn(hub.clone().sample()).named("load"));
        }
        hub.open_to_others();
        let own = sockets.of(shard.index(), shard.count());
        for socket in &own {
            let accepting = accept::run(hub.clone(), socket.clone());
            drop(uring_loop::spawn(accepting).named("accept"));
        }
        // The tasks that accept are not awaited: a request to end would be handed on to them, and
        // drop one in the middle of a hand-over. They stop by themselves.
        let ended = catch_cancel(hub.failed.wait()).await;
        hub.draining.set();
        hub.accepting.close().await;
        hub.close_to_others().await;
        if ended.is_ok() {
            let error = hub.failure.borrow_mut().take();
            return Err(error.expect("who says that it failed has said why"));
        }
        if !sockets.kept && !mutant!("a-drain-resets-who-waits") {
            for socket in &own {
                accept::sweep(&hub, socket).await;
            }
        }
        let left = timeout(self.drain, hub.gate.close()).await;
        let late = left.is_err() && !mutant!("connections-outlive-the-drain");
        let aborted = if late { hub.abort() } else { 0 };
        Ok(Served { accepted: hub.accepted.get(), handed: hub.handed.get(), aborted })
    }

    fn check(&self, shard: &Shard) -> io::Result<()> {
        let bad = |what: String| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        let made_for = self.listener.0.loads.count();
        if made_for != shard.count() {
            let count = shard.count();
            return bad(format!("a listener for {made_for} shards in a group of {count}"));
        }
        if self.limit == 0 {
            return bad("a limit of 0 connections: nobody could be served".into());
        }
        if shard.states().has(self.listener.0.name) {
            return bad("a second server for the same listener on one shard".into());
        }
        Ok(())
    }
}

/// A hub that can be found by others. Ends it on every way out.
struct Open<'a> {
    shard: &'a Shard,
    hub: &'a Rc<Hub>,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        drop(self.shard.states().take(self.hub.sockets.name));
        self.hub.draining.set();
        if let (Some(others), Some(process)) = (&self.hub.others, self.hub.sockets.process) {
            others.take_with(process.number, None);
        }
        self.hub.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_prints_itself() {
        let listener = Listener::bind("127.0.0.1:0", 2, Accept::Balanced).expect("bound");
        let text = format!("{:?}", Server::new(listener).limit(3));
        assert!(text.contains("Balanced") && text.contains("limit: 3"), "{text}");
    }
}
