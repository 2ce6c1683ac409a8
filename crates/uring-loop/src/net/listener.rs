//! Listening for TCP connections.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::acceptor::{Acceptor, BACKLOG};
use super::addr::numeric;
use super::{Incoming, TcpStream, ToAddress};
use crate::driver::Driver;
use crate::driver::fd::Fd;
use crate::sys::socket::inet;

/// A TCP socket that accepts connections.
///
/// One multishot accept (`IORING_OP_ACCEPT`, 5.19) stays armed; connections that arrive while
/// nobody calls [`accept`](Self::accept) wait in the listener. Dropping it closes them.
///
/// # Examples
///
/// ```
/// use uring_loop::net::{TcpListener, TcpStream};
///
/// uring_loop::run(async {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let address = listener.local_addr()?;
///     let client = uring_loop::spawn(async move {
///         let mut stream = TcpStream::connect(address).await?;
///         stream.write_all("hello").await.0?;
///         stream.recv().await.map(|bytes| bytes.to_vec())
///     });
///     let mut stream = listener.accept().await?;
///     let bytes = stream.recv().await?;
///     stream.write_all(bytes).await.0?; // the lent buffer goes out as it came in
///     assert_eq!(client.await??, b"hello");
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub struct TcpListener(Acceptor);

impl TcpListener {
    /// Binds and listens, with SO_REUSEADDR. Port 0 takes a free one, see
    /// [`local_addr`](Self::local_addr). An IPv6 socket takes IPv6 only. For other options see
    /// [`TcpSocket`](super::TcpSocket), also on what makes an address stay in use.
    ///
    /// # Errors
    ///
    /// Those of bind(2) and listen(2), with the address; `InvalidInput` for a name, since a look-up
    /// may block: [`resolve`](super::resolve) it first.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub fn bind(address: impl ToAddress) -> io::Result<Self> {
        Self::listen(address, false)
    }

    /// As [`bind`](Self::bind), with SO_REUSEPORT: several sockets, of other loops or processes,
    /// share the port, and the kernel spreads the connections over them (socket(7)).
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub fn bind_reuse_port(address: impl ToAddress) -> io::Result<Self> {
        Self::listen(address, true)
    }

    #[track_caller]
    fn listen(address: impl ToAddress, reuse_port: bool) -> io::Result<Self> {
        let driver = Driver::current();
        let address = numeric(address)?;
        let raw = driver.listen(&address, BACKLOG, reuse_port).map_err(|error| {
            io::Error::new(error.kind(), format!("listening on {address}: {error}"))
        })?;
        Ok(Self::new(Fd::new(driver, raw)))
    }

    /// Takes over a listening socket that somebody else made, as a supervisor's. It should not be
    /// in non-blocking mode.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub fn from_owned_fd(fd: OwnedFd) -> Self {
        Self::new(Fd::from_owned(Driver::current(), fd))
    }

    pub(super) fn new(fd: Fd) -> Self {
        TcpListener(Acceptor::new(fd))
    }

    /// The next connection, in the order in which they arrived. TCP_NODELAY is on.
    ///
    /// # Errors
    ///
    /// Those of accept(2). If descriptors or memory were short (EMFILE, ENFILE, ENOBUFS, ENOMEM)
    /// the listener stays usable: the next call tries again, 100 ms later, so that a server which
    /// just goes on does not spin. A connection that its peer took back (ECONNABORTED) is skipped.
    ///
    /// # Cancel safety
    ///
    /// Strict: a connection that was accepted for a dropped call is given to the next one.
    pub async fn accept(&self) -> io::Result<TcpStream> {
        self.0.accept().await.map(TcpStream::new)
    }

    /// The connections one after another. It never ends; an error is an item, and what follows it
    /// comes as after an [`accept`](Self::accept) that failed.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_util::StreamExt;
    /// use uring_loop::net::{TcpListener, TcpStream};
    ///
    /// uring_loop::run(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0")?;
    ///     let client = uring_loop::spawn(TcpStream::connect(listener.local_addr()?));
    ///     let mut incoming = listener.incoming();
    ///     if let Some(connection) = incoming.next().await {
    ///         connection?.write_all("hello").await.0?;
    ///     }
    ///     assert_eq!(&*client.await??.recv().await?, b"hello");
    ///     Ok::<(), std::io::Error>(())
    /// })??;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn incoming(&self) -> Incoming<'_, TcpStream> {
        Incoming::new(&self.0, TcpStream::new)
    }

    /// The address listened on.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.driver().local_name(self.as_fd()).and_then(inet)
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for TcpListener {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TcpListener").field(&self.0).finish()
    }
}
