//! Messages: the header, the address and the control data that SENDMSG and RECVMSG have beside
//! their bytes.

use std::os::fd::{IntoRawFd, OwnedFd, RawFd};

use super::descriptors::FIRST_VIRTUAL;
use super::layout::{self, MessageHeader, Piece};
use super::network::SocketId;
use super::request::Request;
use super::world::World;
use super::{Errno, memory};
use crate::driver::ring::{Sqe, opcode};

pub(super) fn header(sqe: &Sqe) -> Result<MessageHeader, Errno> {
    Ok(layout::decode_header(&memory::read(sqe.addr, layout::MSGHDR)?))
}

impl World {
    /// Remembers the header of a message and what it points to.
    pub(super) fn pin_header(&self, request: &mut Request) -> Result<(), Errno> {
        let sqe = request.sqe;
        // The name's length, the control's length and the flags are written at the end.
        for (offset, length) in [(0, 8), (16, 24)] {
            request.pin_read(Piece { address: sqe.addr + offset, length })?;
        }
        let header = header(&sqe)?;
        for piece in [header.name, header.control].into_iter().filter(|piece| piece.address != 0) {
            match sqe.opcode {
                opcode::SENDMSG => request.pin_read(piece)?,
                _ => request.pin_write(piece),
            }
        }
        Ok(())
    }

    /// Sends bytes on a stream, and with their first the descriptors in the control data.
    pub(super) fn send_bytes(
        &mut self,
        request: &Request,
        socket: SocketId,
        bytes: &[u8],
    ) -> Result<usize, Errno> {
        let with_header = request.sqe.opcode == opcode::SENDMSG && request.done == 0;
        let descriptors = match self.network.is_unix(socket) && with_header {
            true => passed_descriptors(&header(&request.sqe)?)?,
            false => Vec::new(),
        };
        let count = self.network.send(socket, bytes, request.forced)?;
        if count > 0 && !descriptors.is_empty() {
            self.network.attach(socket, count, descriptors);
        }
        Ok(count)
    }
}

/// What `SCM_RIGHTS` names: copies of descriptors of the real kernel, since the receiver will own
/// what it gets as such. Others cannot be passed here.
fn passed_descriptors(header: &MessageHeader) -> Result<Vec<OwnedFd>, Errno> {
    let control = memory::read(header.control.address, header.control.length as usize)?;
    let mut descriptors = Vec::new();
    for (level, kind, data) in layout::decode_control(&control)? {
        if (level, kind) != (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            continue;
        }
        for number in data.chunks_exact(4) {
            let number = RawFd::from_ne_bytes(number.try_into().expect("four bytes"));
            if !(0..FIRST_VIRTUAL).contains(&number) {
                return Err(libc::EBADF);
            }
            let copy = memory::borrow_descriptor(number).try_clone_to_owned();
            descriptors.push(copy.map_err(|_| libc::EBADF)?);
        }
    }
    Ok(descriptors)
}

/// recvmsg(2) tells in the header who sent, what came along and whether something was cut off.
pub(super) fn write_back_header(request: &Request, name: &[u8], descriptors: Vec<OwnedFd>) {
    let header = header(&request.sqe).expect("it was read at the start");
    let most = layout::control_room(header.control.length) / size_of::<RawFd>();
    let most = if request.ambush.no_descriptor { 0 } else { most };
    let flags = if descriptors.len() > most { libc::MSG_CTRUNC } else { 0 };
    let numbers: Vec<u8> = descriptors
        .into_iter()
        .take(most)
        .map(IntoRawFd::into_raw_fd)
        .flat_map(RawFd::to_ne_bytes)
        .collect();
    let control = match numbers.is_empty() {
        true => Vec::new(),
        false => layout::encode_control(
            libc::SOL_SOCKET,
            libc::SCM_RIGHTS,
            &numbers,
            header.control.length as usize,
        ),
    };
    write_back(&request.sqe, &header, name, &control, flags);
}

/// The name, the control data and the flags of a message, and how long the first two are.
pub(super) fn write_back(
    sqe: &Sqe,
    header: &MessageHeader,
    name: &[u8],
    control: &[u8],
    flags: i32,
) {
    let fits = name.len().min(header.name.length as usize);
    let written: [(u64, &[u8]); 4] = [
        (header.name.address, &name[..fits]),
        (header.control.address, control),
        (sqe.addr + layout::MSG_CONTROLLEN, &(control.len() as u64).to_ne_bytes()),
        (sqe.addr + layout::MSG_FLAGS, &flags.to_ne_bytes()),
    ];
    for (address, bytes) in written.into_iter().filter(|(_, bytes)| !bytes.is_empty()) {
        // The header was read from there, and says that the rest is good.
        let _ = memory::write(address, bytes);
    }
    if header.name.address != 0 {
        let length = (name.len() as u32).to_ne_bytes();
        let _ = memory::write(sqe.addr + layout::MSG_NAMELEN, &length);
    }
}
