//! The other end of a connection, outside the ring: a script in the hands of a test.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use super::handle::{SimHandle, check};
use super::network::SocketId;

/// One end of a connection whose other end belongs to the program under test.
///
/// Dropping it closes it. Closing with bytes unread sends a reset, as a kernel does.
///
/// # Examples
///
/// ```
/// use std::net::Shutdown;
/// use uring_loop::net::TcpListener;
/// use uring_loop::testing::{SimConfig, simulate};
///
/// simulate(SimConfig::seeded(1), |sim| async move {
///     let listener = TcpListener::bind("127.0.0.1:0").unwrap();
///     let peer = sim.peer_connect(listener.local_addr().unwrap()).unwrap();
///     let mut stream = listener.accept().await.unwrap();
///     peer.send("ping").unwrap();
///     assert_eq!(&*stream.recv().await.unwrap(), b"ping");
///     stream.write_all("pong").await.0.unwrap();
///     assert_eq!(peer.recv(), b"pong");
///     stream.shutdown(Shutdown::Write).await.unwrap();
///     assert!(peer.ended() && !peer.was_reset());
/// });
/// ```
pub struct Peer {
    handle: SimHandle,
    socket: SocketId,
}

impl Peer {
    pub(super) fn new(handle: SimHandle, socket: SocketId) -> Self {
        Peer { handle, socket }
    }

    /// Sends all of it, however full the way is.
    ///
    /// # Errors
    ///
    /// EPIPE or ECONNRESET once the program under test is gone.
    pub fn send(&self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let mut world = self.handle.world();
        check(world.network.send(self.socket, bytes.as_ref(), true)).map(drop)
    }

    /// Takes everything that has arrived, which may be nothing; [`Peer::ended`] tells whether
    /// there can be more.
    pub fn recv(&self) -> Vec<u8> {
        self.recv_at_most(usize::MAX)
    }

    /// Takes at most so many bytes of what has arrived, and makes room for as many.
    pub fn recv_at_most(&self, most: usize) -> Vec<u8> {
        let world = &mut *self.handle.world();
        if !world.network.has_unread(self.socket) {
            return Vec::new();
        }
        world.network.receive(self.socket, most, false).unwrap_or_default().0
    }

    /// Sends bytes on a Unix stream, and descriptors with the first of them.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_with_fds(&self, bytes: impl AsRef<[u8]>, fds: Vec<OwnedFd>) -> io::Result<()> {
        let mut world = self.handle.world();
        let count = check(world.network.send(self.socket, bytes.as_ref(), true))?;
        world.network.attach(self.socket, count, fds);
        Ok(())
    }

    /// Takes bytes that have arrived, and the descriptors that came with them.
    pub fn recv_with_fds(&self) -> (Vec<u8>, Vec<OwnedFd>) {
        let world = &mut *self.handle.world();
        if !world.network.has_unread(self.socket) {
            return Default::default();
        }
        world.network.receive(self.socket, usize::MAX, false).unwrap_or_default()
    }

    /// Whether everything has been taken and no more can come.
    pub fn ended(&self) -> bool {
        self.handle.world_quietly().network.ended(self.socket)
    }

    /// Whether the program under test has reset the connection (or this end has).
    pub fn was_reset(&self) -> bool {
        self.handle.world_quietly().network.was_reset(self.socket)
    }

    /// Half-close: the program under test reads the end of the stream, and can still send.
    pub fn shutdown_write(&self) {
        // Of a connection that is reset there is nothing left to close.
        let _ = self.handle.world().network.shutdown(self.socket, libc::SHUT_WR);
    }

    /// Resets the connection (RST), as a machine that crashed and came back does.
    pub fn reset(self) {
        self.handle.world().network.reset(self.socket);
    }

    /// Closes this end.
    pub fn close(self) {}

    /// This end's address.
    ///
    /// # Panics
    ///
    /// If this is a Unix stream.
    pub fn local_addr(&self) -> SocketAddr {
        let local = self.handle.world_quietly().network.local(self.socket);
        local.and_then(|local| local.inet()).expect("it is connected, and no Unix stream")
    }

    /// The address of the program under test.
    ///
    /// # Panics
    ///
    /// If this is a Unix stream.
    pub fn peer_addr(&self) -> SocketAddr {
        let remote = self.handle.world_quietly().network.remote(self.socket);
        remote.and_then(|remote| remote.inet()).expect("it is connected, and no Unix stream")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.handle.world().network.close(self.socket);
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// A listener outside the ring. Dropping it closes it, and resets what it has not accepted.
pub struct PeerListener {
    handle: SimHandle,
    socket: SocketId,
}

impl PeerListener {
    pub(super) fn new(handle: SimHandle, socket: SocketId) -> Self {
        PeerListener { handle, socket }
    }

    /// Where it listens.
    ///
    /// # Panics
    ///
    /// If this is a Unix socket.
    pub fn local_addr(&self) -> SocketAddr {
        let local = self.handle.world_quietly().network.local(self.socket);
        local.and_then(|local| local.inet()).expect("it listens, and is no Unix socket")
    }

    /// The oldest connection that waits, if one does.
    pub fn accept(&self) -> Option<Peer> {
        let accepted = self.handle.world().network.accept(self.socket).ok()?;
        Some(Peer::new(self.handle.clone(), accepted))
    }
}

impl Drop for PeerListener {
    fn drop(&mut self) {
        self.handle.world().network.close(self.socket);
    }
}

impl fmt::Debug for PeerListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerListener").field("socket", &self.socket).finish_non_exhaustive()
    }
}
