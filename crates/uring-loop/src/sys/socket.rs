//! Sockets that the kernel makes: creation, options, names. Completion does the rest.
//!
//! They are close-on-exec and *blocking*: io_uring polls by itself, and answers EAGAIN on
//! descriptors with O_NONBLOCK where it would otherwise wait (`REQ_F_NOWAIT` in io_uring/rw.c and
//! net.c).

use std::ffi::OsStr;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr as UnixName;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

/// Sends a datagram now or not at all.
pub(crate) fn send_without_waiting(
    socket: &impl AsFd,
    bytes: &[u8],
    to: Option<&SockAddr>,
) -> io::Result<usize> {
    const FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let socket = SockRef::from(socket);
    match to {
        Some(to) => socket.send_to_with_flags(bytes, to, FLAGS),
        None => socket.send_with_flags(bytes, FLAGS),
    }
}

/// A new TCP socket.
pub(crate) fn tcp(address: &SocketAddr) -> io::Result<RawFd> {
    let socket = internet(address, Type::STREAM, Protocol::TCP)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into_raw_fd())
}

/// socket(2) for this address. A kernel without its family is a kind of its own: who has other
/// addresses goes on with those.
fn internet(address: &SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    Socket::new(Domain::for_address(*address), kind, Some(protocol)).map_err(|error| {
        let family = if address.is_ipv6() { "IPv6" } else { "IPv4" };
        match error.raw_os_error() {
            Some(libc::EAFNOSUPPORT) => {
                let text = format!("this kernel has no {family} (EAFNOSUPPORT)");
                io::Error::new(io::ErrorKind::Unsupported, text)
            }
            _ => error,
        }
    })
}

/// A listening TCP socket. Accepted sockets inherit TCP_NODELAY from it.
pub(crate) fn listen(address: &SocketAddr, backlog: i32, reuse_port: bool) -> io::Result<RawFd> {
    let socket = internet(address, Type::STREAM, Protocol::TCP)?;
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

/// bind(2).
pub(crate) fn bind(fd: BorrowedFd<'_>, address: &SocketAddr) -> io::Result<()> {
    SockRef::from(&fd).bind(&(*address).into())
}

/// listen(2).
pub(crate) fn listen_on(fd: BorrowedFd<'_>, backlog: i32) -> io::Result<()> {
    SockRef::from(&fd).listen(backlog)
}

/// `TCP_USER_TIMEOUT` (tcp(7)), if there is none. It counts also while the peer's window is closed.
pub(crate) fn limit_stall(fd: BorrowedFd<'_>, limit: Duration) {
    let socket = SockRef::from(&fd);
    // Other sockets refuse the question, and have no such limit.
    if matches!(socket.tcp_user_timeout(), Ok(None)) {
        let _ = socket.set_tcp_user_timeout(Some(limit));
    }
}

/// A bound UDP socket.
pub(crate) fn udp(address: &SocketAddr, reuse_port: bool) -> io::Result<RawFd> {
    let socket = internet(address, Type::DGRAM, Protocol::UDP)?;
    socket.set_reuse_port(reuse_port)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&(*address).into())?;
    Ok(socket.into_raw_fd())
}

/// Room for the longest internet address, and for the longest Unix name.
pub(crate) const INET_NAME: u16 = mem::size_of::<libc::sockaddr_in6>() as u16;
pub(crate) const UNIX_NAME: u16 = mem::size_of::<libc::sockaddr_un>() as u16;

/// Lets the kernel join datagrams of one sender (`UDP_GRO`, udp(7)).
pub(crate) fn set_gro(fd: BorrowedFd<'_>, join: bool) -> io::Result<()> {
    let value = libc::c_int::from(join);
    // SAFETY: the option's value is an `int`, which lives until the call is over.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_GRO,
            (&raw const value).cast(),
            mem::size_of_val(&value) as libc::socklen_t,
        )
    };
    super::check(result.into()).map(drop).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOPROTOOPT) => {
            let text = "this kernel cannot join datagrams (UDP_GRO, Linux 5.0)";
            io::Error::new(io::ErrorKind::Unsupported, text)
        }
        _ => error,
    })
}

/// Whether bytes wait to be received (`FIONREAD`, tcp(7), unix(7)). Of what cannot say, no.
pub(crate) fn has_unread(fd: BorrowedFd<'_>) -> bool {
    let mut count: libc::c_int = 0;
    // SAFETY: the call writes an `int`, for which there is room.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut count) };
    result == 0 && count > 0
}

/// A bound Unix socket.
pub(crate) fn unix_bind(name: &SockAddr, kind: Type) -> io::Result<RawFd> {
    let socket = Socket::new(Domain::UNIX, kind, None)?;
    socket.bind(name)?;
    Ok(socket.into_raw_fd())
}

/// A new Unix socket.
pub(crate) fn unix(kind: Type) -> io::Result<RawFd> {
    Socket::new(Domain::UNIX, kind, None).map(Socket::into_raw_fd)
}

/// A listening Unix socket.
pub(crate) fn unix_listen(name: &SockAddr, backlog: i32) -> io::Result<RawFd> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(name)?;
    socket.listen(backlog)?;
    Ok(socket.into_raw_fd())
}

/// Two Unix sockets, connected to each other.
pub(crate) fn unix_pair(kind: Type) -> io::Result<[RawFd; 2]> {
    let (one, other) = Socket::pair(Domain::UNIX, kind, None)?;
    Ok([one.into_raw_fd(), other.into_raw_fd()])
}

/// The name of this end.
pub(crate) fn local_name(fd: BorrowedFd<'_>) -> io::Result<SockAddr> {
    SockRef::from(&fd).local_addr()
}

/// The name of the other end.
pub(crate) fn peer_name(fd: BorrowedFd<'_>) -> io::Result<SockAddr> {
    SockRef::from(&fd).peer_addr()
}

/// A name as an internet address.
pub(crate) fn inet(name: SockAddr) -> io::Result<SocketAddr> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidInput, "not an internet socket");
    name.as_socket().ok_or_else(wrong)
}

/// A name as that of a Unix socket.
pub(crate) fn unix_name(name: SockAddr) -> io::Result<UnixName> {
    if let Some(path) = name.as_pathname() {
        return UnixName::from_pathname(path);
    }
    if let Some(name) = name.as_abstract_namespace() {
        return UnixName::from_abstract_name(name);
    }
    if name.is_unix() {
        // An empty path is how std spells that there is no name.
        return UnixName::from_pathname("");
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "not a Unix socket"))
}

/// The name of a Unix socket in the kernel's layout.
pub(crate) fn unix_address(name: &UnixName) -> io::Result<SockAddr> {
    if let Some(path) = name.as_pathname() {
        return SockAddr::unix(path);
    }
    match name.as_abstract_name() {
        Some(name) => SockAddr::unix(OsStr::from_bytes(&[b"\0", name].concat())),
        None => {
            let text = "a Unix socket without a name cannot be reached: give a path or an abstract \
                        name";
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        }
    }
}

/// Who made the other end of a Unix socket, as of then (SO_PEERCRED, unix(7)).
pub(crate) fn peer_credentials(fd: BorrowedFd<'_>) -> io::Result<libc::ucred> {
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = mem::size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the option's value is a `struct ucred`, for which there is room, as `length` says.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut length,
        )
    };
    super::check(result.into()).map(|_| credentials)
}
