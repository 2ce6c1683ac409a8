//! The listening sockets of a server, made before its shards.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;

use socket2::{Domain, Socket, Type};

use super::load::Loads;
use crate::state::Name;

/// Connections that may wait in the kernel; its own limit (`net.core.somaxconn`) cuts it.
const BACKLOG: i32 = 4096;

/// Who accepts connections, and which shard gets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Accept {
    /// Every shard has a socket of its own on the same port (SO_REUSEPORT), and the kernel spreads
    /// connections by a hash of their addresses. Nothing crosses shards. Best for many short
    /// connections; few long ones may spread badly.
    #[default]
    ReusePort,
    /// One shard accepts, and gives each connection to the least loaded: by connections, and by how
    /// long ready tasks wait there. Best for long connections. (Of shards that are processes the
    /// first accepts; while it is started again, connections wait.)
    LeastLoaded,
    /// As [`ReusePort`](Accept::ReusePort), but a shard that is much worse off than another gives
    /// it what it accepts.
    Balanced,
}

/// Listening sockets for all shards of a group. Cheap to clone; clones are the same sockets, which
/// are closed when the last one goes.
///
/// They are made before the group, so what cannot be bound is told before anything runs, port 0
/// is one port for all shards, and a shard that begins anew finds its socket where it was,
/// with the connections that wait in it.
///
/// # Examples
///
/// ```
/// use shard::{Accept, Listener, Server, Shards};
/// use std::time::Duration;
///
/// let listener = Listener::bind("127.0.0.1:0", 2, Accept::LeastLoaded)?;
/// let (address, loads) = (listener.local_addr()?, listener.clone());
/// let shards = Shards::builder().cpus([0, 0]).spawn(|shard| async move {
///     Server::new(listener)
///         .serve(&shard, async |mut connection: shard::Connection| {
///             let _ = connection.write_all("hello").await;
///             let _ = connection.readable().await; // until the client goes
///         })
///         .await
/// })?;
/// let clients: Vec<_> = (0..6).map(|_| std::net::TcpStream::connect(address)).collect();
/// # for client in &clients {
/// #     std::io::Read::read_exact(&mut client.as_ref().unwrap(), &mut [0; 5])?;
/// # }
/// // The least loaded shard gets each.
/// assert_eq!((loads.connections(0), loads.connections(1)), (3, 3));
/// drop(clients);
/// shards.shutdown(Duration::from_secs(5))?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Listener(pub(super) Arc<Sockets>);

pub(super) struct Sockets {
    pub(super) sockets: Vec<Arc<TcpListener>>,
    pub(super) accept: Accept,
    pub(super) loads: Loads,
    pub(super) name: Name,
    /// Somebody else has them too, and what waits in them.
    pub(super) kept: bool,
    pub(super) process: Option<Process>,
}

/// Where in a program of several processes it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    /// Which of them this is.
    pub(crate) index: usize,
    /// Which of the program's listeners.
    pub(crate) number: u16,
}

impl Listener {
    /// Binds and listens, for a group of so many shards.
    ///
    /// # Errors
    ///
    /// Those of bind(2) and listen(2), with the address; `InvalidInput` for 0 shards.
    pub fn bind(address: impl ToSocketAddrs, shards: usize, accept: Accept) -> io::Result<Self> {
        let sockets = match accept {
            Accept::LeastLoaded => 1,
            Accept::ReusePort | Accept::Balanced => shards,
        };
        let mut last = None;
        for address in address.to_socket_addrs()? {
            match bind_all(address, sockets) {
                Ok(sockets) => return Self::made_of(sockets, shards, accept, false),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "listening on no address at all")
        }))
    }

    /// Takes over listening sockets that somebody else made: a supervisor, or systemd. Their number
    /// need not be that of the shards: a shard accepts on several, or several on one. They are
    /// put into non-blocking mode. What waits in them when the server ends is left to whoever has
    /// them too.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for no socket, or 0 shards; those of fcntl(2).
    pub fn from_sockets(
        sockets: impl IntoIterator<Item = TcpListener>,
        shards: usize,
        accept: Accept,
    ) -> io::Result<Self> {
        Self::made_of(sockets, shards, accept, true)
    }

    /// Those of one process of a program.
    pub(crate) fn of_process(
        sockets: impl IntoIterator<Item = TcpListener>,
        accept: Accept,
        process: Process,
    ) -> io::Result<Self> {
        let mut listener = Self::made_of(sockets, 1, accept, true)?;
        let sockets = Arc::get_mut(&mut listener.0).expect("nobody else has it yet");
        sockets.process = Some(process);
        Ok(listener)
    }

    /// Sockets that nobody else has.
    pub(crate) fn own(
        sockets: impl IntoIterator<Item = TcpListener>,
        shards: usize,
        accept: Accept,
    ) -> io::Result<Self> {
        Self::made_of(sockets, shards, accept, false)
    }

    fn made_of(
        sockets: impl IntoIterator<Item = TcpListener>,
        shards: usize,
        accept: Accept,
        kept: bool,
    ) -> io::Result<Self> {
        let sockets: Vec<_> = sockets.into_iter().map(Arc::new).collect();
        if sockets.is_empty() || shards == 0 {
            let text = "a listener needs at least one socket and one shard";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        for socket in &sockets {
            // Several shards may be told of the same connection; who comes late must not wait.
            socket.set_nonblocking(true)?;
        }
        let (loads, name) = (Loads::new(shards), Name::fresh());
        Ok(Listener(Arc::new(Sockets { sockets, accept, loads, name, kept, process: None })))
    }

    /// The address listened on.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.sockets[0].local_addr()
    }

    /// How many connections a shard has now, those on their way to it included.
    ///
    /// # Panics
    ///
    /// If there is no such shard.
    pub fn connections(&self, shard: usize) -> usize {
        self.0.loads.connections(shard)
    }

    /// How many connections a shard has accepted, for itself or for others.
    ///
    /// # Panics
    ///
    /// If there is no such shard.
    pub fn accepted(&self, shard: usize) -> u64 {
        self.0.loads.accepted(shard)
    }

    /// How long tasks that are ready wait for their turn on a shard, smoothed. It is measured where
    /// it decides about connections: not under [`Accept::ReusePort`].
    ///
    /// # Panics
    ///
    /// If there is no such shard.
    pub fn delay(&self, shard: usize) -> std::time::Duration {
        self.0.loads.delay(shard)
    }

    /// The sockets, for who hands them on to a process that follows.
    pub fn sockets(&self) -> impl Iterator<Item = &TcpListener> {
        self.0.sockets.iter().map(|socket| &**socket)
    }
}

impl Sockets {
    /// Those that a shard accepts on.
    pub(super) fn of(&self, shard: usize, shards: usize) -> Vec<Arc<TcpListener>> {
        let count = self.sockets.len();
        if self.accept == Accept::LeastLoaded {
            let place = self.process.map_or(shard, |process| process.index);
            return if place == 0 { self.sockets.clone() } else { Vec::new() };
        }
        let own = if count < shards {
            vec![shard % count]
        } else {
            (shard..count).step_by(shards).collect()
        };
        own.into_iter().map(|at| self.sockets[at].clone()).collect()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Listener");
        shown.field("address", &self.local_addr().ok()).field("accept", &self.0.accept);
        shown.field("sockets", &self.0.sockets.len()).finish()
    }
}

fn bind_all(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    let first = bind(address)?;
    // Port 0: the others share the one that the first has got.
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    while sockets.len() < count {
        sockets.push(bind(address)?);
    }
    Ok(sockets)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let make = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok::<TcpListener, io::Error>(socket.into())
    };
    make().map_err(|error| io::Error::new(error.kind(), format!("listening on {address}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(sockets: usize, shards: usize, accept: Accept) -> Listener {
        let sockets = bind_all(([127, 0, 0, 1], 0).into(), sockets).expect("bound");
        Listener::from_sockets(sockets, shards, accept).expect("made")
    }

    #[test]
    fn every_socket_is_accepted_on_and_every_shard_accepts() {
        for (sockets, shards) in [(1, 1), (3, 3), (5, 2), (2, 5), (1, 4)] {
            let listener = listener(sockets, shards, Accept::Balanced);
            let of = |shard| listener.0.of(shard, shards);
            let mut served = Vec::new();
            for shard in 0..shards {
                assert!(!of(shard).is_empty(), "{sockets} sockets, shard {shard} of {shards}");
                served.extend(of(shard).iter().map(Arc::as_ptr));
            }
            served.sort_unstable();
            served.dedup();
            assert_eq!(served.len(), sockets);
        }
    }

    #[test]
    fn one_shard_accepts_for_all_where_the_least_loaded_gets_it() {
        let listener = listener(2, 3, Accept::LeastLoaded);
        let counts = [0, 1, 2].map(|shard| listener.0.of(shard, 3).len());
        assert_eq!(counts, [2, 0, 0]);
    }

    #[test]
    fn an_address_that_is_taken_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = taken.local_addr().expect("it has one");
        let error = Listener::bind(address, 2, Accept::ReusePort).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().starts_with(&format!("listening on {address}")), "{error}");
        let none = Listener::from_sockets([], 1, Accept::ReusePort).expect_err("no socket");
        assert_eq!(none.kind(), io::ErrorKind::InvalidInput);
    }
}
