//! The operations on sockets for datagrams, and the test's side of them.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;

use super::attempt::failure;
use super::descriptors::Object;
use super::handle::{SimHandle, check};
use super::layout::{self, Piece};
use super::message::{header, write_back};
use super::network::{Address, Packet, SocketId};
use super::prepare;
use super::request::{Outcome, Request};
use super::transfer::{gather, length, message_flags, scatter};
use super::world::World;
use super::{Errno, memory};
use crate::driver::ring::{Sqe, cqe_flags, opcode};

/// `struct io_uring_recvmsg_out`: the lengths of name, control data and payload, the flags.
const MULTISHOT_HEADER: usize = 16;

impl World {
    pub(super) fn send_datagram(&mut self, request: &mut Request, socket: SocketId) -> Outcome {
        let sent = self.pieces(&request.sqe).and_then(|pieces| {
            let bytes = gather(&pieces, 0, length(&pieces))?;
            let (to, segment) = match request.sqe.opcode {
                opcode::SENDMSG => destination(&request.sqe)?,
                _ => (None, None),
            };
            self.network.send_datagram(socket, to, &bytes, segment)
        });
        match sent {
            Ok(count) => Outcome::done(count as i32),
            Err(errno) => failure(request, errno),
        }
    }

    pub(super) fn receive_datagram(&mut self, request: &mut Request, socket: SocketId) -> Outcome {
        let pieces = match self.receive_into(request) {
            Ok(pieces) => pieces,
            Err(errno) => return failure(request, errno),
        };
        let flags = message_flags(&request.sqe);
        let packet = match self.network.receive_datagram(socket, flags & libc::MSG_PEEK != 0) {
            Err(libc::EAGAIN) if flags & libc::MSG_DONTWAIT == 0 => return Outcome::Wait,
            Err(errno) => return failure(request, errno),
            Ok(packet) => packet,
        };
        let laid_out = match prepare::is_multishot(&request.sqe) {
            true => lay_out(request, &pieces, &packet),
            false => put_down(request, &pieces, &packet),
        };
        let mut outcome = match laid_out {
            Ok(result) => result,
            Err(errno) => return failure(request, errno),
        };
        if request.selects_buffer() {
            let buffer = self.groups.take(request.sqe.buf_index).expect("it was there");
            let named = cqe_flags::BUFFER | (u32::from(buffer.id) << cqe_flags::BUFFER_SHIFT);
            if let Outcome::Shot { flags, .. } | Outcome::Done { flags, .. } = &mut outcome {
                *flags |= named;
            }
        }
        outcome
    }
}

/// What a message says of its way: an address, and the size of the pieces it is cut into.
fn destination(sqe: &Sqe) -> Result<(Option<Address>, Option<usize>), Errno> {
    let header = header(sqe)?;
    let name = memory::read(header.name.address, header.name.length as usize)?;
    let to = if name.is_empty() { None } else { Some(layout::decode_address(&name)?) };
    let control = memory::read(header.control.address, header.control.length as usize)?;
    let items = layout::decode_control(&control)?;
    let segment = items.iter().find(|item| (item.0, item.1) == (libc::SOL_UDP, libc::UDP_SEGMENT));
    let size = segment.and_then(|item| item.2.first_chunk());
    Ok((to, size.map(|size| u16::from_ne_bytes(*size).into())))
}

/// The name of a sender; an unnamed Unix socket has none at all.
fn sender(packet: &Packet) -> Vec<u8> {
    match &packet.from {
        Address::Unix(name) if name.is_empty() => Vec::new(),
        from => layout::encode_address(from.clone()),
    }
}

/// One shot of many: header, name, control data and payload in one buffer. An empty datagram is the
/// last of its request (`io_recvmsg_multishot`).
fn lay_out(request: &Request, pieces: &[Piece], packet: &Packet) -> Result<Outcome, Errno> {
    let header = header(&request.sqe)?;
    let (names, controls) = (header.name.length as usize, header.control.length as usize);
    let begin = MULTISHOT_HEADER + names + controls;
    let room = length(pieces).checked_sub(begin).ok_or(libc::EFAULT)?;
    let count = packet.bytes.len().min(room);
    let truncated = if count < packet.bytes.len() { libc::MSG_TRUNC } else { 0 };
    let tells_all = message_flags(&request.sqe) & libc::MSG_TRUNC != 0;
    let told = if tells_all { packet.bytes.len() } else { count };
    let name = sender(packet);
    let numbers = [name.len() as u32, 0, told as u32, truncated as u32];
    let mut bytes: Vec<u8> = numbers.into_iter().flat_map(u32::to_ne_bytes).collect();
    bytes.extend(&name[..name.len().min(names)]);
    bytes.resize(begin, 0);
    bytes.extend(&packet.bytes[..count]);
    scatter(pieces, 0, &bytes)?;
    let result = bytes.len() as i32;
    Ok(match packet.bytes.is_empty() {
        true => Outcome::Done { result, flags: 0, failed: false },
        false => Outcome::Shot { result, flags: 0 },
    })
}

/// A single receive: the payload where the entry says, the rest in the header.
fn put_down(request: &Request, pieces: &[Piece], packet: &Packet) -> Result<Outcome, Errno> {
    let count = packet.bytes.len().min(length(pieces));
    scatter(pieces, 0, &packet.bytes[..count])?;
    let truncated = if count < packet.bytes.len() { libc::MSG_TRUNC } else { 0 };
    if request.sqe.opcode == opcode::RECVMSG {
        write_back(&request.sqe, &header(&request.sqe)?, &sender(packet), &[], truncated);
    }
    let tells_all = message_flags(&request.sqe) & libc::MSG_TRUNC != 0;
    let told = if tells_all { packet.bytes.len() } else { count };
    Ok(Outcome::done(told as i32))
}

impl SimHandle {
    /// A UDP socket outside, for the program under test to talk to; port 0 asks for any.
    ///
    /// # Errors
    ///
    /// EADDRINUSE if somebody is bound there.
    pub fn peer_udp(&self, address: SocketAddr) -> io::Result<PeerUdp> {
        let mut world = self.world();
        let socket = world.network.create_datagrams(false);
        match world.network.bind_datagrams(socket, address.into()) {
            Ok(()) => Ok(PeerUdp { handle: self.clone(), socket }),
            Err(errno) => {
                world.network.close(socket);
                Err(io::Error::from_raw_os_error(errno))
            }
        }
    }

    /// A bound UDP socket of the program under test.
    pub(crate) fn udp(&self, address: &SocketAddr) -> io::Result<RawFd> {
        self.open_datagrams(false, Some((*address).into()))
    }

    pub(super) fn open_datagrams(&self, unix: bool, at: Option<Address>) -> io::Result<RawFd> {
        let world = &mut *self.world();
        if world.descriptors.is_full() {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let socket = world.network.create_datagrams(unix);
        if let Some(at) = at
            && let Err(errno) = world.network.bind_datagrams(socket, at)
        {
            world.network.close(socket);
            return check(Err(errno));
        }
        Ok(world.descriptors.open(Object::Socket(socket)))
    }
}

/// A UDP socket outside, in the hands of a test. Dropping it closes it.
pub struct PeerUdp {
    handle: SimHandle,
    socket: SocketId,
}

impl PeerUdp {
    /// Sends a datagram.
    ///
    /// # Errors
    ///
    /// EMSGSIZE for one that is too long.
    pub fn send_to(&self, bytes: impl AsRef<[u8]>, to: SocketAddr) -> io::Result<()> {
        let mut world = self.handle.world();
        let sent = world.network.send_datagram(self.socket, Some(to.into()), bytes.as_ref(), None);
        check(sent).map(drop)
    }

    /// The oldest datagram that has arrived, and who sent it.
    pub fn recv(&self) -> Option<(Vec<u8>, SocketAddr)> {
        let packet = self.handle.world().network.receive_datagram(self.socket, false).ok()?;
        Some((packet.bytes, packet.from.inet()?))
    }

    /// Where it is bound.
    pub fn local_addr(&self) -> SocketAddr {
        let local = self.handle.world_quietly().network.local(self.socket);
        local.and_then(|local| local.inet()).expect("it is bound")
    }
}

impl Drop for PeerUdp {
    fn drop(&mut self) {
        self.handle.world().network.close(self.socket);
    }
}

impl fmt::Debug for PeerUdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerUdp").field("socket", &self.socket).finish_non_exhaustive()
    }
}
