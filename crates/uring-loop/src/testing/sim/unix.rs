//! The test's side of Unix sockets, and what the driver asks of them by plain calls.

use std::ffi::OsStr;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use socket2::{SockAddr, Type};

use super::descriptors::Object;
use super::handle::{SimHandle, check};
use super::network::Address;
use super::peer::{Peer, PeerListener};

/// An address in the words of the network.
pub(super) fn address(name: &SockAddr) -> Address {
    if let Some(address) = name.as_socket() {
        return Address::Inet(address);
    }
    let path = name.as_pathname().map(|path| path.as_os_str().as_bytes().to_vec());
    let hidden = || name.as_abstract_namespace().map(|name| [b"\0", name].concat());
    Address::Unix(path.or_else(hidden).unwrap_or_default())
}

fn sock_addr(address: &Address) -> io::Result<SockAddr> {
    match address {
        Address::Inet(address) => Ok((*address).into()),
        Address::Unix(name) => SockAddr::unix(OsStr::from_bytes(name)),
    }
}

impl SimHandle {
    /// Connects from outside to a Unix listener of the program under test.
    ///
    /// # Errors
    ///
    /// ENOENT if there is no such file, ECONNREFUSED if nobody listens there any more, ETIMEDOUT if
    /// the backlog is full.
    pub fn peer_connect_unix(&self, path: impl AsRef<Path>) -> io::Result<Peer> {
        self.connect_from_outside(path_address(path.as_ref()))
    }

    /// A Unix listener outside, for the program under test to connect to.
    ///
    /// # Errors
    ///
    /// EADDRINUSE if the file exists.
    pub fn peer_listen_unix(&self, path: impl AsRef<Path>) -> io::Result<PeerListener> {
        let socket = check(self.world().network.listen(path_address(path.as_ref())))?;
        Ok(PeerListener::new(self.clone(), socket))
    }

    /// Whether a Unix socket has left its file at this path.
    pub fn socket_file_exists(&self, path: impl AsRef<Path>) -> bool {
        let path = path.as_ref().as_os_str().as_bytes();
        self.world_quietly().network.file_number(path).is_some()
    }

    /// Removes the file of a Unix socket.
    pub fn remove_socket_file(&self, path: impl AsRef<Path>) {
        self.world().network.remove_file(path.as_ref().as_os_str().as_bytes());
    }

    pub(crate) fn unix_socket(&self, kind: Type) -> io::Result<RawFd> {
        if kind == Type::DGRAM {
            return self.open_datagrams(true, None);
        }
        let world = &mut *self.world();
        if world.descriptors.is_full() {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let socket = world.network.create_unix();
        Ok(world.descriptors.open(Object::Socket(socket)))
    }

    pub(crate) fn unix_listen(&self, name: &SockAddr) -> io::Result<RawFd> {
        let world = &mut *self.world();
        let socket = check(world.network.listen(address(name)))?;
        Ok(world.descriptors.open(Object::Socket(socket)))
    }

    pub(crate) fn unix_pair(&self, kind: Type) -> io::Result<[RawFd; 2]> {
        let world = &mut *self.world();
        if world.descriptors.is_full() {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let datagrams = kind == Type::DGRAM;
        let pair = if datagrams { world.network.datagram_pair() } else { world.network.pair() };
        Ok(pair.map(|socket| world.descriptors.open(Object::Socket(socket))))
    }

    /// A bound socket for datagrams.
    pub(crate) fn unix_bind(&self, name: &SockAddr) -> io::Result<RawFd> {
        self.open_datagrams(true, Some(address(name)))
    }

    pub(crate) fn identity(&self, path: &Path) -> io::Result<(u64, u64)> {
        let path = path.as_os_str().as_bytes();
        let number = self.world_quietly().network.file_number(path);
        check(number.map(|number| (0, number)).ok_or(libc::ENOENT))
    }

    pub(crate) fn remove_name(&self, path: &Path, identity: (u64, u64)) {
        if self.identity(path).is_ok_and(|now| now == identity) {
            self.remove_socket_file(path);
        }
    }

    /// getsockname(2) or getpeername(2).
    pub(crate) fn name(&self, fd: RawFd, own: bool) -> io::Result<SockAddr> {
        let socket = self.socket_of(fd)?;
        let network = &self.world_quietly().network;
        let address = if own { network.local(socket) } else { network.remote(socket) };
        sock_addr(&check(address.ok_or(libc::ENOTCONN))?)
    }

    /// All ends belong to this process, as far as the simulation is concerned.
    pub(crate) fn peer_credentials(&self, fd: RawFd) -> io::Result<(i32, u32, u32)> {
        let socket = self.socket_of(fd)?;
        if !self.world_quietly().network.is_unix(socket) {
            return Ok((0, u32::MAX, u32::MAX));
        }
        let me = std::fs::metadata("/proc/self")?;
        Ok((std::process::id() as i32, me.uid(), me.gid()))
    }
}

fn path_address(path: &Path) -> Address {
    Address::Unix(path.as_os_str().as_bytes().to_vec())
}
