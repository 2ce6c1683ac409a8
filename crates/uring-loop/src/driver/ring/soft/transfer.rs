//! Moving bytes: RECV, SEND, READ, WRITE and their like.

use std::os::fd::RawFd;

use super::super::check::is_multishot;
use super::super::{Sqe, opcode, sqe_flags};
use super::attempt::{ALWAYS, INPUT, Kit, OUTPUT, Outcome, failure, help};
use super::blocking;
use super::requests::Request;
use crate::sys::calls::{self, Direction};

/// `RWF_NOWAIT`: fails with EAGAIN where it would block, with EOPNOTSUPP where the kernel cannot
/// tell (4.14; of pipes 6.5).
const NOWAIT: u32 = 0x8;

/// `RWF_DSYNC` and `RWF_SYNC`.
const SYNC: u32 = 0x2 | 0x4;

/// What a pipe that has room at all takes without blocking (`PIPE_BUF`, pipe(7)).
const SURE: usize = 4096;

impl Kit {
    pub(super) fn receive(&mut self, request: &mut Request) -> Outcome {
        let sqe = request.sqe;
        let selects = request.has_flag(sqe_flags::BUFFER_SELECT);
        let (address, room) = if selects {
            match self.buffer(&sqe) {
                Ok(buffer) => (buffer.address, buffer.length as usize),
                Err(errno) => return failure(request, -errno),
            }
        } else {
            (sqe.addr + request.done as u64, sqe.len as usize - request.done)
        };
        let flags = sqe.op_flags as i32 & !libc::MSG_WAITALL | libc::MSG_DONTWAIT;
        // SAFETY: the entry's memory (`Op`), or a provided buffer, which is the kernel's part now.
        let result = unsafe { calls::receive(request.fd, address, room, flags) };
        if let Some(outcome) = self.unready(request, result, INPUT) {
            return outcome;
        }
        let count = result.max(0) as usize;
        if result < 0 {
            return failure(request, result);
        }
        if !selects {
            return self.received(request, count, room);
        }
        if count == 0 {
            return Outcome::done(0);
        }
        let Ok(buffer) = self.buffer(&sqe) else { return failure(request, -libc::ENOBUFS) };
        let flags = self.use_up(&sqe, buffer);
        if !is_multishot(&sqe) {
            return Outcome::Done { result, flags, failed: false };
        }
        if count < room && is_empty(request) {
            Outcome::LastShot { result, flags }
        } else {
            Outcome::Shot { result, flags }
        }
    }

    /// Bytes came into the entry's own memory. With MSG_WAITALL it goes on until that is full.
    pub(super) fn received(&mut self, request: &mut Request, count: usize, room: usize) -> Outcome {
        request.done += count;
        let waits_for_all = request.sqe.op_flags & libc::MSG_WAITALL as u32 != 0;
        if waits_for_all && count > 0 && count < room {
            return match request.sqe.opcode {
                opcode::RECV => self.receive(request),
                _ => self.receive_message(request),
            };
        }
        let failed = waits_for_all && count < room;
        Outcome::Done { result: request.done as i32, flags: 0, failed }
    }

    /// What EAGAIN and EINTR mean to a request that may wait.
    pub(super) fn unready(&self, request: &Request, result: i32, events: u32) -> Option<Outcome> {
        match -result {
            libc::EAGAIN if request.sqe.op_flags & libc::MSG_DONTWAIT as u32 != 0 => {
                Some(failure(request, result))
            }
            libc::EAGAIN | libc::EINTR => Some(Outcome::Wait(events)),
            _ => None,
        }
    }

    pub(super) fn send(&mut self, request: &mut Request) -> Outcome {
        let sqe = request.sqe;
        let flags = sqe.op_flags as i32 & !libc::MSG_WAITALL | libc::MSG_DONTWAIT;
        loop {
            let room = sqe.len as usize - request.done;
            let address = sqe.addr + request.done as u64;
            // SAFETY: the entry's memory (`Op`).
            let result = unsafe { calls::send(request.fd, address, room, flags) };
            match self.sent(request, result, room) {
                Some(outcome) => return outcome,
                None => continue,
            }
        }
    }

    /// What a send has brought: `None` to go on.
    pub(super) fn sent(
        &mut self,
        request: &mut Request,
        result: i32,
        room: usize,
    ) -> Option<Outcome> {
        if let Some(outcome) = self.unready(request, result, OUTPUT) {
            return Some(outcome);
        }
        if result < 0 {
            return Some(failure(request, result));
        }
        request.done += result as usize;
        let waits_for_all = request.sqe.op_flags & libc::MSG_WAITALL as u32 != 0;
        if waits_for_all && (result as usize) < room {
            return None;
        }
        Some(Outcome::done(request.done as i32))
    }

    /// READ, WRITE and their like: a file is tried, and left to a helper if it has to wait for its
    /// disk; anything else waits until it is ready.
    pub(super) fn transfer(&mut self, request: &mut Request) -> Outcome {
        let sqe = request.sqe;
        if !self.tables.holds(&sqe) {
            return Outcome::done(-libc::EFAULT);
        }
        if request.has_flag(sqe_flags::BUFFER_SELECT) {
            return self.read_selecting(request);
        }
        if request.traits.always_ready {
            // It was tried before that was known.
            return help(request);
        }
        if request.traits.polled_first {
            return self.transfer_when_ready(request);
        }
        // Who names a place means a file.
        if sqe.off != u64::MAX && waits_for_disk(request) {
            return help(request);
        }
        loop {
            let (result, room) = self.try_once(&sqe, request.fd, request.done);
            match result {
                ..0 => return self.held_up(request, result),
                0 => return whole(request, room),
                _ => request.done += result as usize,
            }
            // Less than asked for: the end of a file, or the edge of what is in memory; of what has
            // no places, all there is.
            if result as usize == room || sqe.off == u64::MAX {
                return whole(request, room - result as usize);
            }
        }
    }

    /// One try without blocking, and how much was asked for.
    fn try_once(&self, sqe: &Sqe, fd: RawFd, done: usize) -> (i32, usize) {
        let direction = blocking::direction(sqe.opcode);
        let flags = sqe.op_flags | NOWAIT;
        if matches!(sqe.opcode, opcode::READV | opcode::WRITEV) {
            // SAFETY: the entry's memory (`Op`).
            let (pieces, offset) = unsafe { blocking::memory(sqe, done) };
            let room = pieces.iter().map(|piece| piece.iov_len).sum();
            // SAFETY: as above.
            return (unsafe { calls::transfer(direction, fd, &pieces, offset, flags) }, room);
        }
        let room = sqe.len as usize - done;
        let piece = [calls::piece(sqe.addr + done as u64, room)];
        let offset = if sqe.off == u64::MAX { sqe.off } else { sqe.off.wrapping_add(done as u64) };
        // SAFETY: as above.
        (unsafe { calls::transfer(direction, fd, &piece, offset, flags) }, room)
    }

    /// A try has failed.
    fn held_up(&mut self, request: &mut Request, result: i32) -> Outcome {
        let events = match blocking::direction(request.sqe.opcode) {
            Direction::Read => INPUT,
            Direction::Write => OUTPUT,
        };
        match -result {
            libc::EAGAIN | libc::EINTR if !request.traits.always_ready => Outcome::Wait(events),
            libc::EAGAIN | libc::EINTR => help(request),
            // Or it is a flag of the entry's own that the kernel does not know: then the next try,
            // without ours, tells.
            libc::EOPNOTSUPP | libc::EINVAL | libc::ENOSYS if request.traits.always_ready => {
                help(request)
            }
            libc::EOPNOTSUPP | libc::ENOSYS => {
                request.traits.polled_first = true;
                Outcome::Wait(events)
            }
            _ => failure(request, result),
        }
    }

    /// What cannot be tried without blocking, as a terminal or a pipe of an older kernel: it is
    /// ready, so the call does not block, if nobody else uses the same.
    fn transfer_when_ready(&mut self, request: &mut Request) -> Outcome {
        let sqe = request.sqe;
        let direction = blocking::direction(sqe.opcode);
        let events = if direction == Direction::Read { INPUT } else { OUTPUT };
        match calls::poll(request.fd, events) {
            0 => return Outcome::Wait(events),
            errno @ ..0 => return failure(request, errno),
            _ => {}
        }
        // SAFETY: the entry's memory (`Op`).
        let (mut pieces, offset) = unsafe { blocking::memory(&sqe, request.done) };
        let room: usize = pieces.iter().map(|piece| piece.iov_len).sum();
        if direction == Direction::Write {
            pieces.truncate(1);
            pieces.iter_mut().for_each(|piece| piece.iov_len = piece.iov_len.min(SURE));
        }
        // SAFETY: parts of the entry's memory.
        let result =
            unsafe { calls::transfer(direction, request.fd, &pieces, offset, sqe.op_flags) };
        match result {
            _ if result == -libc::EINTR || result == -libc::EAGAIN => Outcome::Wait(events),
            ..0 => failure(request, result),
            _ => {
                request.done += result as usize;
                // A worker of the kernel's would wait until it has written everything.
                let more = direction == Direction::Write && (result as usize) < room && result > 0;
                if more { Outcome::Wait(events) } else { whole(request, room - result as usize) }
            }
        }
    }

    /// A read that takes one provided buffer.
    fn read_selecting(&mut self, request: &mut Request) -> Outcome {
        let sqe = request.sqe;
        let buffer = match self.buffer(&sqe) {
            Ok(buffer) => buffer,
            Err(errno) => return Outcome::done(-errno),
        };
        let piece = [calls::piece(buffer.address, buffer.length as usize)];
        // A file that waits for its disk has the loop wait with it here: its buffer cannot be given
        // to a helper, for the ring of buffers may be used by others meanwhile.
        let blocks = request.traits.always_ready || request.traits.polled_first;
        if blocks && !request.traits.always_ready && calls::poll(request.fd, INPUT) == 0 {
            return Outcome::Wait(INPUT);
        }
        let flags = sqe.op_flags | if blocks { 0 } else { NOWAIT };
        // SAFETY: a provided buffer, which is the kernel's part now.
        let result =
            unsafe { calls::transfer(Direction::Read, request.fd, &piece, sqe.off, flags) };
        match result {
            ..0 => self.held_up(request, result),
            0 => Outcome::done(0),
            _ => {
                let flags = self.use_up(&sqe, buffer);
                if is_multishot(&sqe) {
                    Outcome::Shot { result, flags }
                } else {
                    let failed = (result as u32) < buffer.length;
                    Outcome::Done { result, flags, failed }
                }
            }
        }
    }

    /// READ_MULTISHOT. What is always ready cannot be polled (`io_read_mshot`).
    pub(super) fn read_again(&mut self, request: &mut Request) -> Outcome {
        if request.traits.always_ready {
            return Outcome::done(-libc::EBADFD);
        }
        self.read_selecting(request)
    }
}

fn waits_for_disk(request: &Request) -> bool {
    request.sqe.op_flags & SYNC != 0 || calls::waits_for_disk(request.fd)
}

/// The end of a transfer that lacks so many bytes. A short one breaks a chain.
fn whole(request: &Request, lacking: usize) -> Outcome {
    Outcome::Done { result: request.done as i32, flags: 0, failed: lacking > 0 }
}

/// Whether a socket that gave less than asked for has nothing left: a TCP socket, of which bytes
/// were told, but no end, error or urgent byte (epoll(7), questions and answers). What comes later
/// is an event. Who was told nothing came by himself, and knows nothing: the end may have been told
/// to others, and is not told again.
fn is_empty(request: &mut Request) -> bool {
    let more = ALWAYS | libc::POLLPRI as u32;
    if request.told & INPUT == 0 || request.told & more != 0 {
        return false;
    }
    let ask = || calls::option(request.fd, libc::SO_PROTOCOL) == Ok(libc::IPPROTO_TCP);
    *request.traits.tcp.get_or_insert_with(ask)
}
