//! A Unix stream connection.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use socket2::{SockRef, Type};

use super::shown;
use crate::driver::Driver;
use crate::driver::buf::{IoBuf, IoBufMut};
use crate::driver::fd::Fd;
use crate::net::connected::{Connected, Stream};
use crate::net::limits::Side;
use crate::net::methods::stream_methods;
use crate::net::{Recv, RecvHalf, SendHalf, WriteAll};
use crate::ops;
use crate::sys::socket::{unix_address, unix_name};

/// A connected Unix stream socket.
///
/// It receives, sends and ends as a [`TcpStream`](crate::net::TcpStream) does. Besides, it tells
/// who is at the other end ([`peer_cred`](Self::peer_cred)), and descriptors can be passed through
/// it ([`send_with_fds`](Self::send_with_fds)).
///
/// # Cancel safety
///
/// Receiving is strict, writing is weak, as of a `TcpStream`. Dropping the stream cancels what is
/// in flight and closes the socket. If there are unread bytes then, the other end finds
/// `ConnectionReset` behind what was sent to it; see there what helps.
///
/// # Examples
///
/// ```
/// use uring_loop::net::UnixStream;
///
/// uring_loop::run(async {
///     let (mut one, mut other) = UnixStream::pair()?;
///     one.write_all("hello").await.0?;
///     assert_eq!(&*other.recv().await?, b"hello");
///     assert_eq!(other.peer_cred()?.pid, std::process::id() as i32);
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub struct UnixStream(pub(super) Connected);

stream_methods!(UnixStream);

/// Who made the other end of a Unix socket: at the time of `connect`, `listen` or `socketpair`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerCredentials {
    /// Its process, by its number in our namespace; 0 if it has none there.
    pub pid: i32,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}

impl UnixStream {
    /// Connects to the listener at a path (`IORING_OP_CONNECT`, 5.5).
    ///
    /// # Errors
    ///
    /// Those of connect(2), with the path: `NotFound` if there is no such file,
    /// `ConnectionRefused` if nobody listens there any more.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Cancel safety
    ///
    /// Strict: a connection that is made for a dropped call is closed.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<UnixStream> {
        Self::connect_addr(&SocketAddr::from_pathname(path)?).await
    }

    /// The same by address, which may be an abstract name.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect); `InvalidInput` for an address without a name.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Cancel safety
    ///
    /// Strict, as [`connect`](Self::connect).
    pub async fn connect_addr(address: &SocketAddr) -> io::Result<UnixStream> {
        let driver = Driver::current();
        let name = unix_address(address)?;
        let fd = Fd::new(driver.clone(), driver.unix_socket(Type::STREAM)?);
        let connect = ops::net::Connect { fd: fd.as_raw_fd(), address: name };
        driver.submit(connect).await.map_err(|error| {
            let text = format!("connecting to {}: {error}", shown(address));
            io::Error::new(error.kind(), text)
        })?;
        Ok(UnixStream::new(fd))
    }

    /// Two streams that are connected to each other.
    ///
    /// # Errors
    ///
    /// Those of socketpair(2).
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    #[doc(alias = "socketpair")]
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let driver = Driver::current();
        let [one, other] =
            driver.unix_pair(Type::STREAM)?.map(|raw| Self::new(Fd::new(driver.clone(), raw)));
        Ok((one, other))
    }

    /// The address of this end; one that has connected has none, as a rule.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.driver().local_name(self.as_fd()).and_then(unix_name)
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// Those of getpeername(2).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.driver().peer_name(self.as_fd()).and_then(unix_name)
    }

    /// Who is at the other end (`SO_PEERCRED`). The kernel vouches for it; but a process may pass
    /// its end on, so it says who made it, not who uses it.
    ///
    /// # Errors
    ///
    /// Those of getsockopt(2).
    #[doc(alias = "SO_PEERCRED")]
    pub fn peer_cred(&self) -> io::Result<PeerCredentials> {
        let (pid, uid, gid) = self.0.driver().peer_credentials(self.as_fd())?;
        Ok(PeerCredentials { pid, uid, gid })
    }
}
