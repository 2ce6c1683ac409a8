//! Sockets that the kernel makes: creation, options, names. Completion does the rest.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, IntoRawFd, RawFd};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// A new TCP socket, close-on-exec and *blocking*: io_uring polls by itself, and answers EAGAIN on
/// descriptors with O_NONBLOCK where it would otherwise wait (`REQ_F_NOWAIT` in io_uring/rw.c and
/// net.c).
pub(crate) fn tcp(address: &SocketAddr) -> io::Result<RawFd> {
    let socket = Socket::new(Domain::for_address(*address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into_raw_fd())
}

/// A listening TCP socket. Accepted sockets inherit TCP_NODELAY from it.
pub(crate) fn listen(address: &SocketAddr, backlog: i32, reuse_port: bool) -> io::Result<RawFd> {
    let socket = Socket::new(Domain::for_address(*address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.set_tcp_nodelay(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&(*address).into())?;
    socket.listen(backlog)?;
    Ok(socket.into_raw_fd())
}

/// The address of this end.
pub(crate) fn local_address(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    inet(SockRef::from(&fd).local_addr()?)
}

/// The address of the other end.
pub(crate) fn peer_address(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    inet(SockRef::from(&fd).peer_addr()?)
}

fn inet(address: socket2::SockAddr) -> io::Result<SocketAddr> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidInput, "not an internet socket");
    address.as_socket().ok_or_else(wrong)
}
