//! The operations on sockets and files: accept, connect, receive, send, read, write.

use super::attempt::failure;
use super::descriptors::Object;
use super::layout::{self, Piece};
use super::message::write_back_header;
use super::network::{Address, Dial, SocketId};
use super::prepare;
use super::request::{Outcome, Request};
use super::world::World;
use super::{Errno, memory};
use crate::driver::ring::{Sqe, cqe_flags, opcode};

/// The longest sockaddr (`struct __kernel_sockaddr_storage`).
const LONGEST_ADDRESS: u64 = 128;

impl World {
    pub(super) fn accept(&mut self, request: &Request) -> Outcome {
        // The descriptor comes first: a full table fails even an accept that would wait.
        if self.descriptors.is_full() {
            return Outcome::done(-libc::EMFILE);
        }
        let listener = match request.socket() {
            Ok(listener) => listener,
            Err(errno) => return Outcome::done(-errno),
        };
        let accepted = match self.network.accept(listener) {
            Err(libc::EAGAIN) if request.forced => {
                self.network.phantom(listener).ok_or(libc::EINVAL)
            }
            Err(libc::EAGAIN) => return Outcome::Wait,
            result => result,
        };
        let fd = accepted.and_then(|accepted| self.admit(&request.sqe, accepted));
        let more = self.network.has_unread(listener);
        let flags = if more { cqe_flags::SOCK_NONEMPTY } else { 0 };
        match fd {
            Err(errno) => Outcome::done(-errno),
            Ok(result) if prepare::is_multishot(&request.sqe) => Outcome::Shot { result, flags },
            Ok(result) => Outcome::Done { result, flags, failed: false },
        }
    }

    /// Gives a new connection a descriptor, and its address to who asked for it.
    fn admit(&mut self, sqe: &Sqe, accepted: SocketId) -> Result<i32, Errno> {
        let remote = self.network.remote(accepted).expect("an accepted socket is connected");
        if let Err(errno) = tell_address(sqe, &layout::encode_address(remote)) {
            self.network.close(accepted);
            return Err(errno);
        }
        Ok(self.descriptors.open(Object::Socket(accepted)))
    }

    /// An accept that fails with ECONNABORTED has lost the connection it was about.
    pub(super) fn drop_aborted(&mut self, request: &Request, errno: Errno) {
        let accepts = request.sqe.opcode == opcode::ACCEPT && errno == libc::ECONNABORTED;
        let Some(listener) = request.socket().ok().filter(|_| accepts) else { return };
        if let Ok(lost) = self.network.accept(listener) {
            self.network.reset(lost);
            self.network.close(lost);
        }
    }

    pub(super) fn start_connecting(&mut self, request: &mut Request) -> Result<(), Errno> {
        let sqe = request.sqe;
        if sqe.off > LONGEST_ADDRESS {
            return Err(libc::EINVAL);
        }
        let address = layout::decode_address(&memory::read(sqe.addr, sqe.off as usize)?)?;
        let socket = request.socket()?;
        if self.network.is_unix(socket) != matches!(address, Address::Unix(_)) {
            return Err(libc::EINVAL);
        }
        request.dialing = Some(address);
        if self.network.is_for_datagrams(socket) {
            return Ok(());
        }
        self.network.start_connecting(socket)?;
        let turns = self.random.below(u64::from(self.config.connect_turns) + 1);
        request.gate.pass = request.gate.pass.max(self.passes + turns);
        Ok(())
    }

    pub(super) fn connect(&mut self, request: &Request) -> Outcome {
        let (Ok(socket), Some(address)) = (request.socket(), request.dialing.clone()) else {
            return Outcome::done(-libc::ENOTSOCK);
        };
        if self.network.is_for_datagrams(socket) {
            let connected = self.network.connect_datagrams(socket, address);
            return Outcome::from(connected.map(|()| 0));
        }
        match self.network.connect(socket, address) {
            Dial::Established => Outcome::done(0),
            Dial::Refused => Outcome::done(-libc::ECONNREFUSED),
            Dial::Missing => Outcome::done(-libc::ENOENT),
            Dial::Silence => Outcome::Wait,
        }
    }

    pub(super) fn receive(&mut self, request: &mut Request) -> Outcome {
        let socket = match request.socket() {
            Ok(socket) => socket,
            Err(errno) => return Outcome::done(-errno),
        };
        if self.network.is_for_datagrams(socket) {
            return self.receive_datagram(request, socket);
        }
        let pieces = match self.receive_into(request) {
            Ok(pieces) => pieces,
            Err(errno) => return failure(request, errno),
        };
        let flags = message_flags(&request.sqe);
        let total = length(&pieces);
        let most = request.cap(total - request.done);
        match self.network.receive(socket, most, flags & libc::MSG_PEEK != 0) {
            Err(libc::EAGAIN) if flags & libc::MSG_DONTWAIT == 0 => Outcome::Wait,
            Err(errno) => failure(request, errno),
            Ok((bytes, descriptors)) => match scatter(&pieces, request.done, &bytes) {
                Ok(()) => {
                    if request.sqe.opcode == opcode::RECVMSG {
                        write_back_header(request, &[], descriptors);
                    }
                    self.received(request, socket, total, bytes.len())
                }
                Err(errno) => failure(request, errno),
            },
        }
    }

    /// Where a receive's bytes go: the entry's memory, or the next provided buffer.
    pub(super) fn receive_into(&mut self, request: &Request) -> Result<Vec<Piece>, Errno> {
        let sqe = &request.sqe;
        if !request.selects_buffer() {
            return self.pieces(sqe);
        }
        let buffer = self.groups.peek(sqe.buf_index).ok_or(libc::ENOBUFS)?;
        let all = sqe.len == 0 || sqe.opcode == opcode::RECVMSG;
        let length = if all { buffer.length } else { buffer.length.min(sqe.len) };
        Ok(vec![Piece { address: buffer.address, length: u64::from(length) }])
    }

    fn received(
        &mut self,
        request: &mut Request,
        socket: SocketId,
        total: usize,
        count: usize,
    ) -> Outcome {
        let sqe = request.sqe;
        let waits_for_all = message_flags(&sqe) & libc::MSG_WAITALL != 0;
        request.done += count;
        let whole = request.done >= total;
        if waits_for_all && count > 0 && !whole && request.ambush.short.is_none() {
            return Outcome::Wait;
        }
        let mut flags = 0;
        if count > 0 && request.selects_buffer() {
            let buffer = self.groups.take(sqe.buf_index).expect("it was there a moment ago");
            flags |= cqe_flags::BUFFER | (u32::from(buffer.id) << cqe_flags::BUFFER_SHIFT);
        }
        let message = matches!(sqe.opcode, opcode::RECV | opcode::RECVMSG);
        if message && self.network.has_unread(socket) {
            flags |= cqe_flags::SOCK_NONEMPTY;
        }
        let result = request.done as i32;
        if prepare::is_multishot(&sqe) && count > 0 {
            request.done = 0;
            return Outcome::Shot { result, flags };
        }
        let failed = !whole && (waits_for_all || !message);
        Outcome::Done { result, flags, failed }
    }

    pub(super) fn send(&mut self, request: &mut Request) -> Outcome {
        let socket = match request.socket() {
            Ok(socket) => socket,
            Err(errno) => return Outcome::done(-errno),
        };
        if self.network.is_for_datagrams(socket) {
            return self.send_datagram(request, socket);
        }
        let flags = message_flags(&request.sqe);
        let pieces = match self.pieces(&request.sqe) {
            Ok(pieces) => pieces,
            Err(errno) => return failure(request, errno),
        };
        let total = length(&pieces);
        let most = request.cap(total - request.done);
        let sent = gather(&pieces, request.done, most)
            .and_then(|bytes| self.send_bytes(request, socket, &bytes));
        match sent {
            Err(libc::EAGAIN) if flags & libc::MSG_DONTWAIT == 0 => Outcome::Wait,
            Err(errno) => failure(request, errno),
            Ok(count) => {
                request.done += count;
                let whole = request.done >= total;
                let waits_for_all = flags & libc::MSG_WAITALL != 0;
                if waits_for_all && !whole && request.ambush.short.is_none() {
                    return Outcome::Wait;
                }
                let message = !matches!(request.sqe.opcode, opcode::WRITE | opcode::WRITEV);
                let failed = !whole && (waits_for_all || !message);
                Outcome::Done { result: request.done as i32, flags: 0, failed }
            }
        }
    }

    /// READ, READV, WRITE and WRITEV of a file. A short transfer breaks a chain.
    pub(super) fn transfer_file(&mut self, request: &mut Request) -> Outcome {
        let Some(Object::File(file)) = request.object else { return Outcome::done(-libc::EBADF) };
        self.files.tree.now = self.now;
        let sqe = request.sqe;
        let reads = matches!(sqe.opcode, opcode::READ | opcode::READV | opcode::READ_FIXED);
        let pieces = if reads { self.receive_into(request) } else { self.pieces(&sqe) };
        let moved = pieces.and_then(|pieces| {
            let total = length(&pieces);
            let places = pieces.iter().map(|piece| (piece.address, piece.length));
            self.files.check_direct(file, sqe.off, places)?;
            let most = self.files.cut(file, request.cap(total)).min(total);
            let count = if reads {
                let bytes = self.files.read(file, sqe.off, most)?;
                scatter(&pieces, 0, &bytes)?;
                bytes.len()
            } else {
                self.files.write(file, sqe.off, &gather(&pieces, 0, most)?)?
            };
            Ok((count, total))
        });
        let (count, total) = match moved {
            Ok(moved) => moved,
            Err(errno) => return Outcome::done(-errno),
        };
        let mut flags = 0;
        if request.selects_buffer() && count > 0 {
            let buffer = self.groups.take(sqe.buf_index).expect("it was there a moment ago");
            flags = cqe_flags::BUFFER | (u32::from(buffer.id) << cqe_flags::BUFFER_SHIFT);
        }
        Outcome::Done { result: count as i32, flags, failed: count < total }
    }

    /// The memory of a transfer: one piece, or those of an array of iovecs.
    pub(super) fn pieces(&self, sqe: &Sqe) -> Result<Vec<Piece>, Errno> {
        match sqe.opcode {
            opcode::SENDMSG | opcode::RECVMSG | opcode::READV | opcode::WRITEV => {
                Ok(self.scattered(sqe)?.1)
            }
            _ => Ok(vec![Piece { address: sqe.addr, length: u64::from(sqe.len) }]),
        }
    }
}

/// `MSG_*`; read and write have other flags in that place.
pub(super) fn message_flags(sqe: &Sqe) -> i32 {
    match sqe.opcode {
        opcode::READ | opcode::READV | opcode::WRITE | opcode::WRITEV => 0,
        _ => sqe.op_flags as i32,
    }
}

pub(super) fn length(pieces: &[Piece]) -> usize {
    pieces.iter().map(|piece| piece.length as usize).sum()
}

/// The parts of `pieces` after the first `skip` bytes, up to `most` bytes.
fn parts(pieces: &[Piece], mut skip: usize, mut most: usize) -> Vec<Piece> {
    let mut parts = Vec::new();
    for piece in pieces {
        let skipped = skip.min(piece.length as usize);
        skip -= skipped;
        let length = most.min(piece.length as usize - skipped);
        most -= length;
        if length > 0 {
            parts.push(Piece { address: piece.address + skipped as u64, length: length as u64 });
        }
    }
    parts
}

pub(super) fn gather(pieces: &[Piece], skip: usize, most: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::with_capacity(most);
    for part in parts(pieces, skip, most) {
        bytes.extend(memory::read(part.address, part.length as usize)?);
    }
    Ok(bytes)
}

pub(super) fn scatter(pieces: &[Piece], skip: usize, mut bytes: &[u8]) -> Result<(), Errno> {
    for part in parts(pieces, skip, bytes.len()) {
        let (now, later) = bytes.split_at(part.length as usize);
        memory::write(part.address, now)?;
        bytes = later;
    }
    Ok(())
}

/// accept(2)'s way to hand out an address: what fits of it, and how long it really is.
fn tell_address(sqe: &Sqe, address: &[u8]) -> Result<(), Errno> {
    if sqe.addr == 0 {
        return Ok(());
    }
    let room = memory::read(sqe.off, size_of::<u32>())?;
    let room = u32::from_ne_bytes(room.try_into().expect("four bytes")) as usize;
    memory::write(sqe.addr, &address[..room.min(address.len())])?;
    memory::write(sqe.off, &(address.len() as u32).to_ne_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_go_on_where_the_last_attempt_ended() {
        let pieces = [
            Piece { address: 0x1000, length: 3 },
            Piece { address: 0x2000, length: 0 },
            Piece { address: 0x3000, length: 5 },
        ];
        let part = |address, length| Piece { address, length };
        assert_eq!(parts(&pieces, 0, 2), [part(0x1000, 2)]);
        assert_eq!(parts(&pieces, 1, 4), [part(0x1001, 2), part(0x3000, 2)]);
        assert_eq!(parts(&pieces, 4, 99), [part(0x3001, 4)]);
        assert_eq!(parts(&pieces, 8, 1), []);
    }
}
