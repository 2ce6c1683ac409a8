//! What is done to sockets by plain system calls: making them and asking for their names. On a
//! simulated ring the sockets are simulated too.

use std::io;
use std::net::SocketAddr;
#[cfg(any(test, feature = "testing"))]
use std::os::fd::AsRawFd;
use std::os::fd::{BorrowedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use socket2::{SockAddr, Type};

use super::Driver;
use crate::sys;

impl Driver {
    /// The simulated kernel, if there is one.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn simulated(&self) -> Option<crate::testing::SimHandle> {
        self.sim.clone()
    }

    /// Closes a descriptor without the ring's help.
    pub(super) fn close_now(&self, fd: RawFd) {
        #[cfg(any(test, feature = "testing"))]
        if let Some(sim) = self.simulated() {
            drop(sim.close(fd));
            return;
        }
        sys::close(fd);
    }

    /// A TCP socket to connect with.
    pub(crate) fn socket(&self, address: &SocketAddr) -> io::Result<RawFd> {
        #[cfg(any(test, feature = "testing"))]
        if let Some(sim) = self.simulated() {
            return sim.socket();
        }
        sys::socket::tcp(address)
    }

    /// A listening TCP socket.
    pub(crate) fn listen(
        &self,
        address: &SocketAddr,
        backlog: i32,
        reuse_port: bool,
    ) -> io::Result<RawFd> {
        #[cfg(any(test, feature = "testing"))]
        if let Some(sim) = self.simulated() {
            return sim.listen(*address).map(|(fd, _)| fd);
        }
        sys::socket::listen(address, backlog, reuse_port)
    }

    /// Another descriptor for the same open file.
    pub(crate) fn duplicate(&self, fd: BorrowedFd<'_>) -> io::Result<RawFd> {
        #[cfg(any(test, feature = "testing"))]
        if let Some(sim) = self.simulated() {
            return sim.duplicate(fd.as_raw_fd());
        }
        fd.try_clone_to_owned().map(std::os::fd::IntoRawFd::into_raw_fd)
    }

    /// Whether bytes wait in the kernel to be received.
    pub(crate) fn has_unread(&self, fd: BorrowedFd<'_>) -> bool {
        #[cfg(any(test, feature = "testing"))]
        if let Some(sim) = self.simulated() {
            return sim.has_unread(fd.as_raw_fd());
        }
        sys::socket::has_unread(fd)
    }

    /// A TCP peer that takes nothing for so long loses the connection, unless somebody has said
    /// how long that may be. Nothing happens to other sockets.
    pub(crate) fn limit_stall(&self, fd: BorrowedFd<'_>, limit: Duration) {
        if !self.is_simulated() {
            sys::socket::limit_stall(fd, limit);
        }
    }

    /// Whether the sockets are simulated.
    pub(crate) fn is_simulated(&self) -> bool {
        #[cfg(any(test, feature = "testing"))]
        return self.sim.is_some();
        #[cfg(not(any(test, feature = "testing")))]
        false
    }

    /// A bound UDP socket.
    pub(crate) fn udp(&self, address: &SocketAddr, reuse_port: bool) -> io::Result<RawFd> {
        #[cfg(any(test, feature = "testing"))]
        if let Some(sim) = self.simulated() {
            return sim.udp(address);
        }
        sys::socket::udp(address, reuse_port)
    }

    /// A bound Unix socket.
    pub(crate) fn unix_bind(&self, name: &SockAddr, kind: Type) -> io::Result<RawFd> {
        #[cfg(any(test, feature = "testing"))]
        if let Some(sim) = self.simulated() {
            return sim.unix_bind(name);
        }
        sys::socket::unix_bind(name, kind)
    }

    /// bind(2) of a TCP socket.
    pub(crate) fn bind(&self, fd: BorrowedFd<'_>, address: &SocketAddr) -> io::Result<()> {
        #[cfg(any(test, feature = "testing"))]
        if let Some(sim) = self.simulated() {
            return sim.bind(fd.as_raw_fd(), *address);
        }
        sys::socket::bind(fd, address)
    }

    /// listen(2).
    pub(crate) fn listen_on(&self, fd: BorrowedFd<'_>, backlog: i32) -> io::Result<()> {
        #[cfg(any(test, feature = "testing"))]
        if let Some(sim) = self.simulated() {
            return sim.listen_on(fd.as_raw_fd());
        }
        sys::socket::listen_on(fd, backlog)
    }

    /// A Unix socket to connect or to bind.
    pub(crate) fn unix_socket(&self, kind: Type) -> io::Result<RawFd> {
        #[cfg(any(test, feature = "testing"))]
        if let Some(sim) = self.simulated() {
            return sim.unix_socket(kind);
        }
        sys::socket::unix(kind)
    }

    /// A listening Unix socket.
    pub(crate) fn unix_listen(&self, name: &SockAddr, backlog: i32) -> io::Result<RawFd> {
        #[cfg(any(test, feature = "testing"))]
        if let Some(sim) = self.simulated() {
            return sim.unix_listen(name);
        }
        sys::socket::unix_listen(name, backlog)
    }

    /// Two Unix sockets, connected to each other.
    pub(crate) fn unix_pair(&self, kind: Type) -> io::Result<[RawFd; 2]> {
        #[cfg(any(test, feature = "testing"))]
        if let Some(sim) = self.simulated() {
            return sim.unix_pair(kind);
        }
        sys::socket::unix_pair(kind)
    }

    /// Which file the name of a Unix socket stands for.
    pub(crate) fn identity(&self, path: &Path) -> io::Result<sys::path::Identity> {
        #[cfg(any(test, feature = "testing"))]
        if let Some(sim) = self.simulated() {
            return sim.identity(path);
        }
        sys::path::identity(path)
    }

    /// Removes the name of a Unix socket, if it still stands for this file and this process is the
    /// one that made it.
    pub(crate) fn remove_name(&self, path: &Path, identity: sys::path::Identity) {
        #[cfg(any(test, feature = "testing"))]
        if let Some(sim) = self.simulated() {
            return sim.remove_name(path, identity);
        }
        if self.fork_generation == sys::fork::generation() {
            sys::path::remove_if(path, identity);
        }
    }

    pub(crate) fn local_name(&self, fd: BorrowedFd<'_>) -> io::Result<SockAddr> {
        #[cfg(any(test, feature = "testing"))]
        if let Some(sim) = self.simulated() {
            return sim.name(fd.as_raw_fd(), true);
        }
        sys::socket::local_name(fd)
    }

    pub(crate) fn peer_name(&self, fd: BorrowedFd<'_>) -> io::Result<SockAddr> {
        #[cfg(any(test, feature = "testing"))]
        if let Some(sim) = self.simulated() {
            return sim.name(fd.as_raw_fd(), false);
        }
        sys::socket::peer_name(fd)
    }

    /// Who made the other end of a Unix socket: process, user, group.
    pub(crate) fn peer_credentials(&self, fd: BorrowedFd<'_>) -> io::Result<(i32, u32, u32)> {
        #[cfg(any(test, feature = "testing"))]
        if let Some(sim) = self.simulated() {
            return sim.peer_credentials(fd.as_raw_fd());
        }
        sys::socket::peer_credentials(fd).map(|ucred| (ucred.pid, ucred.uid, ucred.gid))
    }
}
