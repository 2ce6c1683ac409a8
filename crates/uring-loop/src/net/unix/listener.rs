//! Listening for Unix stream connections.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;

use super::{SocketFile, UnixStream, shown};
use crate::driver::Driver;
use crate::driver::fd::Fd;
use crate::net::Incoming;
use crate::net::acceptor::{Acceptor, BACKLOG};
use crate::sys::socket::{unix_address, unix_name};

/// A Unix socket that accepts connections.
///
/// It accepts as a [`TcpListener`](crate::net::TcpListener) does. One that has bound a path removes
/// that file when it is dropped, unless another file stands there by then (asyncio does so since
/// 3.13: `cleanup_socket` of `create_unix_server`); who dies without dropping it leaves the file,
/// and the next `bind` fails with `AddrInUse`. Abstract names vanish by themselves.
///
/// # Examples
///
/// ```
/// use uring_loop::net::{UnixListener, UnixStream};
///
/// let place = std::env::temp_dir().join(format!("example-{}.sock", std::process::id()));
/// uring_loop::run(async {
///     let listener = UnixListener::bind(&place)?;
///     let client = uring_loop::spawn(UnixStream::connect(place.clone()));
///     let mut stream = listener.accept().await?;
///     stream.write_all("hello").await.0?;
///     assert_eq!(&*client.await??.recv().await?, b"hello");
///     Ok::<(), std::io::Error>(())
/// })??;
/// assert!(!place.exists());
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixListener {
    /// The file that this listener has made, to be removed with it.
    file: Option<SocketFile>,
    acceptor: Acceptor,
}

impl UnixListener {
    /// Binds a path, which must not exist, and listens there.
    ///
    /// # Errors
    ///
    /// Those of bind(2) and listen(2), with the path: `AddrInUse` if the file exists.
    /// `InvalidInput` for a path of more than 107 bytes.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        let driver = Driver::current();
        Self::listen(driver, &SocketAddr::from_pathname(path)?)
    }

    /// The same by address, which may be an abstract name.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind); `InvalidInput` for an address without a name.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub fn bind_addr(address: &SocketAddr) -> io::Result<Self> {
        Self::listen(Driver::current(), address)
    }

    fn listen(driver: std::rc::Rc<Driver>, address: &SocketAddr) -> io::Result<Self> {
        let raw = driver.unix_listen(&unix_address(address)?, BACKLOG).map_err(|error| {
            let text = format!("listening on {}: {error}", shown(address));
            io::Error::new(error.kind(), text)
        })?;
        let acceptor = Acceptor::new(Fd::new(driver, raw));
        let file = SocketFile::of(acceptor.driver(), address);
        Ok(UnixListener { file, acceptor })
    }

    /// Takes over a listening socket that somebody else made, as a supervisor's. Its file is the
    /// other's too: it stays when this is dropped.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub fn from_owned_fd(fd: OwnedFd) -> Self {
        let acceptor = Acceptor::new(Fd::from_owned(Driver::current(), fd));
        UnixListener { file: None, acceptor }
    }

    /// Lets the file stay when this is dropped.
    pub fn keep_file(&mut self) {
        self.file = None;
    }

    /// The next connection, in the order in which they arrived.
    ///
    /// # Errors
    ///
    /// As [`TcpListener::accept`](crate::net::TcpListener::accept).
    ///
    /// # Cancel safety
    ///
    /// Strict: a connection that was accepted for a dropped call is given to the next one.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        self.acceptor.accept().await.map(UnixStream::new)
    }

    /// The connections one after another, as
    /// [`TcpListener::incoming`](crate::net::TcpListener::incoming).
    pub fn incoming(&self) -> Incoming<'_, UnixStream> {
        Incoming::new(&self.acceptor, UnixStream::new)
    }

    /// The address listened on.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.acceptor.driver().local_name(self.as_fd()).and_then(unix_name)
    }
}

impl AsFd for UnixListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.acceptor.as_fd()
    }
}

impl AsRawFd for UnixListener {
    fn as_raw_fd(&self) -> RawFd {
        self.acceptor.as_raw_fd()
    }
}

impl Drop for UnixListener {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            file.remove(self.acceptor.driver());
        }
    }
}

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UnixListener").field(&self.acceptor).finish()
    }
}
