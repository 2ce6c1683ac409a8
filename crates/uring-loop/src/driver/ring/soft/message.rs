//! SENDMSG and RECVMSG.

use super::super::check::is_multishot;
use super::super::{Sqe, sqe_flags};
use super::attempt::{INPUT, Kit, Outcome, failure};
use super::blocking::behind;
use super::buffers::Buffer;
use super::requests::Request;
use crate::sys::calls;

/// `struct io_uring_recvmsg_out`: the lengths of name, control data and payload, the flags.
const MULTISHOT_HEADER: usize = 16;

/// What a message's header says is in its pieces, after the first `skip` bytes.
fn rest(header: &libc::msghdr, skip: usize) -> Vec<libc::iovec> {
    let array = header.msg_iov.expose_provenance() as u64;
    // SAFETY: the header of an entry names an array of so many (`Op`).
    behind(unsafe { calls::pieces(array, header.msg_iovlen) }, skip)
}

fn room(header: &libc::msghdr) -> usize {
    let array = header.msg_iov.expose_provenance() as u64;
    // SAFETY: as in `rest`.
    unsafe { calls::pieces(array, header.msg_iovlen) }.iter().map(|piece| piece.iov_len).sum()
}

impl Kit {
    pub(super) fn send_message(&mut self, request: &mut Request) -> Outcome {
        let sqe = request.sqe;
        let flags = sqe.op_flags as i32 & !libc::MSG_WAITALL | libc::MSG_DONTWAIT;
        loop {
            // SAFETY: the entry points to a header (`Op`).
            let mut header = unsafe { calls::header(sqe.addr) };
            let left = room(&header) - request.done;
            let mut pieces = Vec::new();
            if request.done > 0 {
                pieces = rest(&header, request.done);
                (header.msg_iov, header.msg_iovlen) = (pieces.as_mut_ptr(), pieces.len());
                // It went with the first bytes.
                (header.msg_control, header.msg_controllen) = (std::ptr::null_mut(), 0);
            }
            // SAFETY: the entry's header and what it names (`Op`).
            let result = unsafe { calls::send_message(request.fd, &header, flags) };
            drop(pieces);
            if let Some(outcome) = self.sent(request, result, left) {
                return outcome;
            }
        }
    }

    pub(super) fn receive_message(&mut self, request: &mut Request) -> Outcome {
        let sqe = request.sqe;
        if request.has_flag(sqe_flags::BUFFER_SELECT) {
            return self.receive_selecting(request);
        }
        let flags = sqe.op_flags as i32 & !libc::MSG_WAITALL | libc::MSG_DONTWAIT;
        // SAFETY: the entry points to a header (`Op`).
        let mut header = unsafe { calls::header(sqe.addr) };
        let (result, room) = if request.done == 0 {
            // SAFETY: the entry's header and what it names (`Op`).
            let result = unsafe { calls::receive_message_at(request.fd, sqe.addr, flags) };
            (result, if result > 0 { room(&header) } else { 0 })
        } else {
            let mut pieces = rest(&header, request.done);
            let room = pieces.iter().map(|piece| piece.iov_len).sum();
            (header.msg_iov, header.msg_iovlen) = (pieces.as_mut_ptr(), pieces.len());
            (header.msg_control, header.msg_controllen) = (std::ptr::null_mut(), 0);
            // SAFETY: as above; the pieces are parts of those in the entry's header.
            (unsafe { calls::receive_message(request.fd, &mut header, flags) }, room)
        };
        if let Some(outcome) = self.unready(request, result, INPUT) {
            return outcome;
        }
        if result < 0 {
            return failure(request, result);
        }
        self.received(request, result as usize, room)
    }

    /// A message into a provided buffer.
    fn receive_selecting(&mut self, request: &mut Request) -> Outcome {
        let sqe = request.sqe;
        let buffer = match self.buffer(&sqe) {
            Ok(buffer) => buffer,
            Err(errno) => return failure(request, -errno),
        };
        let received =
            if is_multishot(&sqe) { lay_out(request, buffer) } else { put_down(request, buffer) };
        let (result, count) = match received {
            Ok(received) => received,
            Err(errno) => {
                return match self.unready(request, -errno, INPUT) {
                    Some(outcome) => outcome,
                    None => failure(request, -errno),
                };
            }
        };
        let flags = self.use_up(&sqe, buffer);
        if is_multishot(&sqe) && count > 0 {
            return Outcome::Shot { result, flags };
        }
        Outcome::Done { result, flags, failed: false }
    }
}

fn flags(sqe: &Sqe) -> i32 {
    sqe.op_flags as i32 & !libc::MSG_WAITALL | libc::MSG_DONTWAIT
}

/// One shot of many: lengths, name, control data and payload in one buffer
/// (`io_recvmsg_multishot`). Answers how long that is, and how long the payload was.
fn lay_out(request: &Request, buffer: Buffer) -> Result<(i32, usize), i32> {
    let sqe = &request.sqe;
    // SAFETY: the entry points to a header (`Op`), of which the lengths count.
    let wanted = unsafe { calls::header(sqe.addr) };
    let (names, controls) = (wanted.msg_namelen as usize, wanted.msg_controllen);
    let begin = MULTISHOT_HEADER + names + controls;
    let room = (buffer.length as usize).checked_sub(begin).ok_or(libc::EFAULT)?;
    let part = |skip: usize, length| calls::piece(buffer.address + skip as u64, length);
    let mut payload = part(begin, room);
    let mut header = wanted;
    header.msg_name = part(MULTISHOT_HEADER, names).iov_base;
    header.msg_control = part(MULTISHOT_HEADER + names, controls).iov_base;
    (header.msg_iov, header.msg_iovlen) = (&raw mut payload, 1);
    // SAFETY: parts of a provided buffer, which is the kernel's part now.
    let result = unsafe { calls::receive_message(request.fd, &mut header, flags(sqe)) };
    if result < 0 {
        return Err(-result);
    }
    let length = result as usize;
    let numbers =
        [header.msg_namelen, header.msg_controllen as u32, length as u32, header.msg_flags as u32];
    // SAFETY: the buffer begins with room for these.
    unsafe { calls::put_numbers(buffer.address, numbers) };
    Ok(((begin + length.min(room)) as i32, length))
}

/// A single receive: the payload in the buffer, the rest where the entry's header says.
fn put_down(request: &Request, buffer: Buffer) -> Result<(i32, usize), i32> {
    // SAFETY: the entry points to a header (`Op`).
    let mut header = unsafe { calls::header(request.sqe.addr) };
    let mut payload = calls::piece(buffer.address, buffer.length as usize);
    (header.msg_iov, header.msg_iovlen) = (&raw mut payload, 1);
    // SAFETY: a provided buffer, and what the entry's header names (`Op`).
    let result = unsafe { calls::receive_message(request.fd, &mut header, flags(&request.sqe)) };
    if result < 0 { Err(-result) } else { Ok((result, result as usize)) }
}
