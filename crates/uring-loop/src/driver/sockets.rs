//! What is done to sockets by plain system calls: making them and asking for their names. On a
//! simulated ring the sockets are simulated too.

use std::io;
use std::net::SocketAddr;
#[cfg(any(test, feature = "testing"))]
use std::os::fd::AsRawFd;
use std::os::fd::{BorrowedFd, RawFd};

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

    pub(crate) fn local_address(&self, fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
        #[cfg(any(test, feature = "testing"))]
        if let Some(sim) = self.simulated() {
            return sim.local_addr(fd.as_raw_fd());
        }
        sys::socket::local_address(fd)
    }

    pub(crate) fn peer_address(&self, fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
        #[cfg(any(test, feature = "testing"))]
        if let Some(sim) = self.simulated() {
            return sim.peer_addr(fd.as_raw_fd());
        }
        sys::socket::peer_address(fd)
    }
}
