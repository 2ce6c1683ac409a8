//! A TCP connection.

use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use socket2::SockRef;

use super::connected::{Connected, Stream};
use super::eyeballs;
use super::limits::Side;
use super::methods::stream_methods;
use super::options::option_methods;
use super::{Recv, RecvHalf, SendHalf, ToAddress, WriteAll, resolve};
use crate::driver::Driver;
use crate::driver::buf::{IoBuf, IoBufMut};
use crate::driver::fd::Fd;
use crate::sys::socket::inet;
use crate::time::timeout;

/// A TCP connection. TCP_NODELAY is on.
///
/// # Receiving
///
/// [`recv`](Self::recv) gives bytes in a buffer that belongs to the loop: one multishot receive
/// with provided buffers (6.0) stays armed, and a stream that waits holds no buffer at all. One
/// that nobody reads holds a few, then stops receiving until somebody does. [`read`](Self::read)
/// fills a buffer of the caller's.
///
/// # Cancel safety
///
/// Receiving is strict: bytes that arrived for a dropped `recv` are there for the next. Writing is
/// weak: of a dropped write, some bytes may have been sent, and nobody can say how many.
///
/// Dropping the stream cancels what is in flight and closes the socket; bytes that were handed
/// over by [`ByteStream::start_send`](crate::io::ByteStream::start_send) are sent before it closes,
/// unless the peer takes nothing for a minute (TCP_USER_TIMEOUT, if
/// [`set_user_timeout`](Self::set_user_timeout) has not said otherwise).
///
/// # Unread bytes
///
/// **Dropping a stream may take back what was sent last.** If the peer has sent what nobody
/// received, or goes on sending, the kernel answers with a reset: the peer then finds an error in
/// the place of an answer that was "sent". So do one of these before the stream goes: receive to
/// the end, as who answers a whole request has done anyway; or
/// [`close(patience)`](crate::io::ByteStreamExt::close) it, which takes what still comes, and drops
/// that. Readers, writers, transports and their servers do so by themselves
/// ([`StreamWriter`](crate::stream::StreamWriter)).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use uring_loop::io::ByteStreamExt;
/// use uring_loop::net::{TcpListener, TcpStream};
/// use uring_loop::time::timeout;
///
/// uring_loop::run(async {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let mut client = TcpStream::connect(listener.local_addr()?).await?;
///     let mut server = listener.accept().await?;
///
///     // Nothing comes yet; a receive that is given up loses nothing.
///     assert!(timeout(Duration::from_millis(1), server.recv()).await.is_err());
///     client.write_all("hello").await.0?;
///     let bytes = server.recv().await?;
///     assert_eq!(&*bytes, b"hello");
///     server.write_all(bytes).await.0?; // out again, not copied
///
///     // Into a buffer of one's own, which comes back with the result.
///     let (count, buffer) = client.read(Vec::with_capacity(64)).await;
///     assert_eq!((count?, buffer), (5, b"hello".to_vec()));
///     client.close(Duration::from_secs(5)).await?;
///     assert!(server.recv().await?.is_empty(), "the end");
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub struct TcpStream(Connected);

stream_methods!(TcpStream);
option_methods!(TcpStream);

impl TcpStream {
    /// Connects (`IORING_OP_CONNECT`, 5.5).
    ///
    /// Of the addresses of a name the first that answers is taken: IPv6 and IPv4 take turns, and
    /// the next attempt begins when the one before has failed, or has not succeeded within 250 ms
    /// (RFC 8305, "happy eyeballs"). Those that lose are cancelled and closed.
    ///
    /// # Errors
    ///
    /// Those of the look-up and of connect(2). The error names every address that was tried; its
    /// kind is that of the last one that failed.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Cancel safety
    ///
    /// Strict: a connection that is made for a dropped call is closed.
    pub async fn connect(address: impl ToAddress) -> io::Result<TcpStream> {
        let driver = Driver::current();
        let target = address.to_target()?;
        let addresses = resolve(address).await?;
        let open = |address: &SocketAddr| Ok(Fd::new(driver.clone(), driver.socket(address)?));
        eyeballs::connect(&target.to_string(), addresses, open).await.map(TcpStream::new)
    }

    /// The same, for so long at most: look-up and all attempts together.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect); `TimedOut` if there is no answer in time. (The kernel gives
    /// up by itself after some two minutes: `net.ipv4.tcp_syn_retries`.)
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Cancel safety
    ///
    /// Strict: a connection that is made for a dropped call is closed.
    pub async fn connect_timeout(
        address: impl ToAddress,
        limit: Duration,
    ) -> io::Result<TcpStream> {
        let target = address.to_target()?;
        timeout(limit, Self::connect(address)).await.unwrap_or_else(|_| {
            let text = format!("connecting to {target}: no answer within {limit:?}");
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })
    }

    /// From how many bytes on [`write_all`](Self::write_all) sends from the buffer itself instead
    /// of a copy (`IORING_OP_SEND_ZC`, 6.0); `None`: never. Default: 4 MiB.
    ///
    /// Such a write gets its buffer back only when the peer has acknowledged all of it. So it pays
    /// for large buffers, of a task that has something else to do meanwhile, over a network card
    /// that can. Where the kernel copies after all, as over the loopback, or refuses, the stream
    /// goes back to plain sends by itself; under a write or idle timeout it does not try.
    ///
    /// A buffer that is on its way when the loop ends is waited for, and leaked if the peer stays
    /// silent: see [`Builder::shutdown_patience`](crate::Builder::shutdown_patience).
    #[doc(alias = "MSG_ZEROCOPY")]
    pub fn set_zero_copy(&mut self, from: Option<usize>) {
        self.0.set_zero_copy_from(from.unwrap_or(usize::MAX));
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.driver().local_name(self.as_fd()).and_then(inet)
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// Those of getpeername(2).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.driver().peer_name(self.as_fd()).and_then(inet)
    }
}
