//! A connection of a server, which can move to another shard while it is idle.

use std::any::Any;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::rc::Rc;

use uring_loop::buf::{IoBuf, IoBufMut};
use uring_loop::io::ByteStream;
use uring_loop::net::TcpStream;

use super::hub::{Arrival, Hub, Seat};
use crate::error::CallError;

/// What [`Connection::readable`] waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wake {
    /// There are bytes, or the end, to be read.
    Readable,
    /// The server drains: answer what was asked, and end.
    Draining,
}

/// A connection that a [`Server`](super::Server) has accepted. TCP_NODELAY is on.
///
/// Bytes are read into buffers of the caller's, so that nothing of the connection is anywhere but
/// in the kernel between requests: it can be [moved](Self::migrate). A service that never moves
/// connections takes the [stream](Self::into_stream) with all its methods, which receives into
/// buffers that the loop lends.
///
/// # Examples
///
/// A service whose connections move to the shard that has what they ask for:
///
/// ```
/// use shard::{Accept, Connection, Listener, Server, Shard, Shards, Wake};
/// # use std::io::{Read, Write};
/// use std::time::Duration;
///
/// /// Answers `n` with the shard that has key `n`.
/// async fn serve(mut connection: Connection) {
///     // A request that has come along from another shard, or the next one of the peer.
///     let mut key: Option<u8> = connection.carried();
///     while key.is_some() || matches!(connection.readable().await, Ok(Wake::Readable)) {
///         let asked = match key.take() {
///             Some(key) => key,
///             None => match connection.read(Vec::with_capacity(1)).await {
///                 (Ok(1), bytes) => bytes[0],
///                 _ => return,
///             },
///         };
///         let (shard, owner) = (Shard::current(), usize::from(asked) % 2);
///         if owner != shard.index() {
///             let _ = connection.migrate(owner, asked).await; // goes on over there
///             return;
///         }
///         if connection.write_all(vec![owner as u8]).await.0.is_err() {
///             return;
///         }
///     }
/// }
///
/// let listener = Listener::bind("127.0.0.1:0", 2, Accept::LeastLoaded)?;
/// let address = listener.local_addr()?;
/// let shards = Shards::builder().cpus([0, 0]).spawn(|shard| async move {
///     Server::new(listener).serve(&shard, serve).await
/// })?;
/// let mut client = std::net::TcpStream::connect(address)?;
/// for key in 0..4 {
///     let mut answer = [0];
///     client.write_all(&[key])?;
///     client.read_exact(&mut answer)?;
///     assert_eq!(answer[0], key % 2);
/// }
/// drop(client);
/// shards.shutdown(Duration::from_secs(5))?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    seat: Seat,
    carried: Option<Box<dyn Any + Send>>,
    /// Something was read from it.
    asked: bool,
}

impl Connection {
    /// Its number on this shard.
    pub(super) fn number(&self) -> u64 {
        self.seat.number()
    }

    /// Takes over a descriptor that has arrived on this shard.
    pub(super) fn new(arrival: Arrival, hub: &Rc<Hub>) -> Self {
        let Arrival { fd, peer, count, carried } = arrival;
        let asked = carried.is_some();
        let stream = TcpStream::from_owned_fd(fd);
        // A connection that is reset already refuses it; the first read tells.
        let _ = stream.set_nodelay(true);
        Connection { stream, peer, seat: Seat::new(hub.clone(), count), carried, asked }
    }

    /// The other end.
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// What the shard before gave [`migrate`](Self::migrate), if this connection has moved, of that
    /// type.
    pub fn carried<T: 'static>(&mut self) -> Option<T> {
        let carried = self.carried.take()?;
        match carried.downcast() {
            Ok(carried) => Some(*carried),
            Err(other) => {
                self.carried = Some(other);
                None
            }
        }
    }

    /// Whether the server drains.
    pub fn is_draining(&self) -> bool {
        self.seat.hub().draining.is_set()
    }

    /// Waits, without a buffer, until there is something to read or the server drains. A service
    /// that waits here between requests lets a drain end idle connections at once; a request that
    /// has come, or the first of a connection, is still told.
    ///
    /// # Errors
    ///
    /// Those of the poll.
    ///
    /// # Cancel safety
    ///
    /// Strict: nothing is read.
    pub async fn readable(&mut self) -> io::Result<Wake> {
        if !self.is_draining() {
            let hub = self.seat.hub().clone();
            let draining = async {
                hub.draining.wait().await;
                Ok(())
            };
            uring_loop::race((self.stream.readable(), draining)).await?;
        }
        if !self.is_draining() || self.stream.has_unread() {
            return Ok(Wake::Readable);
        }
        if !self.asked {
            // Its first request is on the way: that is what it was made for.
            self.stream.readable().await?;
            return Ok(Wake::Readable);
        }
        Ok(Wake::Draining)
    }

    /// Reads what is there into the spare room of a buffer, waiting for it; 0 is the end.
    ///
    /// # Errors
    ///
    /// Those of recv(2); `InvalidInput` for a buffer without room.
    ///
    /// # Cancel safety
    ///
    /// Weak: bytes that were read at that moment are lost with the buffer. Wait for
    /// [`readable`](Self::readable) before.
    pub async fn read<B: IoBufMut>(&mut self, buffer: B) -> (io::Result<usize>, B) {
        self.asked = true;
        self.stream.read(buffer).await
    }

    /// Writes the whole buffer.
    ///
    /// # Errors
    ///
    /// Those of send(2).
    ///
    /// # Cancel safety
    ///
    /// Weak: some of the bytes may have been sent.
    pub async fn write_all<B: IoBuf>(&mut self, buffer: B) -> (io::Result<()>, B) {
        self.stream.write_all(buffer).await
    }

    /// Moves the connection to shard `target`, with something of the service's: the service there
    /// is called with it as with one that was accepted, and finds that as
    /// [`carried`](Self::carried). To be used between requests, when everything that was read has
    /// been answered or is carried along.
    ///
    /// # Errors
    ///
    /// [`CallError`] if that shard is gone, or does not serve (any more), or could not take it;
    /// and the connection, if it is still here.
    ///
    /// # Panics
    ///
    /// If there is no shard `target`.
    ///
    /// # Cancel safety
    ///
    /// Weak: the connection may be closed.
    pub async fn migrate<T: Send + 'static>(
        self,
        target: usize,
        carry: T,
    ) -> Result<(), (CallError, Option<Connection>)> {
        let hub = self.seat.hub().clone();
        let fd = match self.stream.as_fd().try_clone_to_owned() {
            Ok(fd) => fd,
            // No descriptor is free: it stays where it is.
            Err(_) => return Err((CallError::Stopped { shard: target }, Some(self))),
        };
        let count = hub.count_for(target);
        let arrival = Arrival { fd, peer: self.peer, count, carried: Some(Box::new(carry)) };
        match hub.send(target, arrival).await {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err((CallError::Stopped { shard: target }, Some(self))),
            Err(error) => Err((error, None)),
        }
    }

    /// The stream with all its methods. It can no longer move. The connection counts until the seat
    /// is dropped.
    pub fn into_stream(self) -> (TcpStream, Seat) {
        (self.stream, self.seat)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer).finish_non_exhaustive()
    }
}
