//! What is done to sockets by plain system calls: making them and asking for their names. On a
//! simulated ring the sockets are simulated too.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, RawFd};

use super::Driver;
use crate::sys;

impl Driver {
    /// A TCP socket to connect with.
    pub(crate) fn socket(&self, address: &SocketAddr) -> io::Result<RawFd> {
        sys::socket::tcp(address)
    }

    /// A listening TCP socket.
    pub(crate) fn listen(
        &self,
        address: &SocketAddr,
        backlog: i32,
        reuse_port: bool,
    ) -> io::Result<RawFd> {
        sys::socket::listen(address, backlog, reuse_port)
    }

    pub(crate) fn local_address(&self, fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
        sys::socket::local_address(fd)
    }

    pub(crate) fn peer_address(&self, fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
        sys::socket::peer_address(fd)
    }
}
