//! Trying to do a request's work without blocking.

use std::os::fd::RawFd;

use super::super::check::{
    NOP_INJECT, POLL_MULTI, TIMEOUT_ABS, TIMEOUT_ETIME_SUCCESS, is_multishot, names,
};
use super::super::{Sqe, cqe_flags, opcode, socket_flags};
use super::buffers::{Buffer, Groups};
use super::helpers::Lane;
use super::requests::Request;
use super::tables::Tables;
use super::{Errno, blocking};
use crate::sys::calls;
use crate::sys::clock::monotonic_ns;

/// What is told without being asked for (`IO_POLL_UNMASK` of io_uring/poll.c).
pub(super) const ALWAYS: u32 = (libc::POLLERR | libc::POLLHUP | libc::POLLRDHUP) as u32;
pub(super) const INPUT: u32 = libc::POLLIN as u32;
pub(super) const OUTPUT: u32 = libc::POLLOUT as u32;

/// `IORING_ACCEPT_POLL_FIRST` (6.10).
const ACCEPT_POLL_FIRST: u16 = 1 << 2;

/// How long a Unix socket whose listener has no room is left alone: nothing tells when there is
/// some.
const NO_ROOM: u64 = 1_000_000;

/// What an attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing yet: until the descriptor has one of these events.
    Wait(u32),
    /// Nothing yet: until this moment.
    Until(u64),
    /// It may block, and nothing tells when it would not.
    Help(Lane),
    /// One result of several.
    Shot { result: i32, flags: u32 },
    /// The same, and it is known that there is no more for now.
    LastShot { result: i32, flags: u32 },
    /// The end. A failure breaks a chain of links; a short transfer can be one too.
    Done { result: i32, flags: u32, failed: bool },
}

impl Outcome {
    pub(super) fn done(result: i32) -> Self {
        Outcome::Done { result, flags: 0, failed: result < 0 }
    }
}

impl From<Result<i32, Errno>> for Outcome {
    fn from(result: Result<i32, Errno>) -> Self {
        Outcome::done(result.unwrap_or_else(|errno| -errno))
    }
}

/// The end of a request by an error. What was moved before is not lost: it is the result
/// (`io_sendrecv_fail`).
pub(super) fn failure(request: &Request, result: i32) -> Outcome {
    let result = if request.done > 0 { request.done as i32 } else { result };
    Outcome::Done { result, flags: 0, failed: true }
}

/// What attempts need beside the request.
#[derive(Debug, Default)]
pub(super) struct Kit {
    pub(super) groups: Groups,
    pub(super) tables: Tables,
    /// Completions ever posted; what the count of a TIMEOUT looks at.
    pub(super) posted: u64,
}

impl Kit {
    /// Tries to do a request's work.
    pub(super) fn attempt(&mut self, request: &mut Request) -> Outcome {
        let sqe = request.sqe;
        let fd = request.fd;
        match sqe.opcode {
            opcode::NOP if sqe.op_flags & NOP_INJECT != 0 => Outcome::done(sqe.len as i32),
            opcode::NOP => Outcome::done(0),
            opcode::TIMEOUT => self.expire(request),
            opcode::POLL_ADD => poll(request),
            opcode::SOCKET => Outcome::done(calls::socket(sqe.fd, sqe.off as i32, sqe.len as i32)),
            opcode::SHUTDOWN => Outcome::done(calls::shutdown(fd, sqe.len as i32)),
            opcode::ACCEPT => accept(request),
            opcode::CONNECT => connect(request),
            opcode::RECV => self.receive(request),
            opcode::RECVMSG => self.receive_message(request),
            opcode::SEND | opcode::SEND_ZC => self.send(request),
            opcode::SENDMSG => self.send_message(request),
            opcode::WAITID => {
                // SAFETY: the entry names room for what is told (`Op`).
                match unsafe { calls::wait_for(fd, sqe.off, sqe.file_index) } {
                    errno if errno == -libc::EAGAIN => Outcome::Wait(INPUT),
                    result => Outcome::done(result),
                }
            }
            _ if names(sqe.opcode) => Outcome::Help(Lane::Others),
            opcode::FSYNC | opcode::FALLOCATE | opcode::FTRUNCATE => Outcome::Help(Lane::Files),
            opcode::READ_MULTISHOT => self.read_again(request),
            _ => self.transfer(request),
        }
    }

    fn expire(&mut self, request: &mut Request) -> Outcome {
        let sqe = &request.sqe;
        if request.deadline.is_none() {
            match deadline(sqe) {
                Ok(deadline) => request.deadline = Some(deadline),
                Err(errno) => return Outcome::done(-errno),
            }
            request.count = (sqe.off > 0).then(|| self.posted + sqe.off);
        }
        if request.count.is_some_and(|count| count <= self.posted) {
            return Outcome::done(0);
        }
        match request.deadline {
            Some(deadline) if deadline > monotonic_ns() => Outcome::Until(deadline),
            _ => {
                let failed = request.sqe.op_flags & TIMEOUT_ETIME_SUCCESS == 0;
                Outcome::Done { result: -libc::ETIME, flags: 0, failed }
            }
        }
    }

    /// The buffer that a receive is to use: of those provided, if the entry says so.
    pub(super) fn buffer(&mut self, sqe: &Sqe) -> Result<Buffer, Errno> {
        let mut buffer = self.groups.next(sqe.buf_index).ok_or(libc::ENOBUFS)?;
        if sqe.len > 0 && sqe.opcode != opcode::RECVMSG {
            buffer.length = buffer.length.min(sqe.len);
        }
        Ok(buffer)
    }

    /// The buffer was used: it is named in the completion.
    pub(super) fn use_up(&mut self, sqe: &Sqe, buffer: Buffer) -> u32 {
        self.groups.take(sqe.buf_index);
        cqe_flags::BUFFER | u32::from(buffer.id) << cqe_flags::BUFFER_SHIFT
    }
}

/// When a TIMEOUT or LINK_TIMEOUT that starts now expires.
pub(super) fn deadline(sqe: &Sqe) -> Result<u64, Errno> {
    if sqe.addr == 0 {
        return Err(libc::EFAULT);
    }
    // SAFETY: the entry points to a time (`Op`).
    let [seconds, nanoseconds] = unsafe { calls::time(sqe.addr) };
    if seconds < 0 || nanoseconds < 0 {
        return Err(libc::EINVAL);
    }
    let time = (seconds as u64).saturating_mul(1_000_000_000).saturating_add(nanoseconds as u64);
    let absolute = sqe.op_flags & TIMEOUT_ABS != 0;
    Ok(if absolute { time } else { monotonic_ns().saturating_add(time) })
}

fn poll(request: &mut Request) -> Outcome {
    let wanted = request.sqe.op_flags | ALWAYS;
    if request.sqe.len & POLL_MULTI != 0 && request.told & wanted != 0 {
        return Outcome::LastShot { result: (request.told & wanted) as i32, flags: 0 };
    }
    if request.traits.always_ready {
        let events = request.sqe.op_flags & (INPUT | OUTPUT);
        return Outcome::done(events as i32);
    }
    // What was told may have been used up by others since.
    match calls::poll(request.fd, wanted) {
        0 => Outcome::Wait(wanted),
        events if events > 0 && is_multishot(&request.sqe) => {
            Outcome::LastShot { result: events & wanted as i32, flags: 0 }
        }
        result => Outcome::done(result),
    }
}

fn accept(request: &mut Request) -> Outcome {
    let Sqe { addr, off, op_flags, .. } = request.sqe;
    // SAFETY: null, or room for a name and its length (`Op`).
    let result = unsafe { calls::accept(request.fd, addr, off, op_flags as i32) };
    match result {
        errno if errno == -libc::EAGAIN => Outcome::Wait(INPUT),
        // The kernel hands these out too, or tries again, as it likes (accept(2)).
        errno if errno == -libc::EINTR => Outcome::Wait(INPUT),
        0.. if is_multishot(&request.sqe) => Outcome::Shot { result, flags: 0 },
        _ => Outcome::done(result),
    }
}

/// When the socket tells that something has come of it, the same call says what: only that ends the
/// state of connecting (`inet_stream_connect` of net/ipv4/af_inet.c).
fn connect(request: &mut Request) -> Outcome {
    let Sqe { addr, off, .. } = request.sqe;
    // SAFETY: the entry points to a name of this length (`Op`).
    let result = unsafe { calls::connect(request.fd, addr, off as u32) };
    match -result {
        libc::EINPROGRESS => {
            request.dialing = true;
            Outcome::Wait(OUTPUT)
        }
        libc::EALREADY if request.dialing => Outcome::Wait(OUTPUT),
        libc::EISCONN if request.dialing => Outcome::done(0),
        libc::EAGAIN => Outcome::Until(monotonic_ns() + NO_ROOM),
        _ => Outcome::done(result),
    }
}

/// What an operation works on by its entry.
pub(super) fn descriptor(sqe: &Sqe) -> RawFd {
    match sqe.opcode {
        opcode::NOP | opcode::TIMEOUT | opcode::SOCKET => -1,
        _ => sqe.fd,
    }
}

/// What an operation is to wait for before it is tried, if it says so.
pub(super) fn polled_first(sqe: &Sqe) -> Option<u32> {
    let first = sqe.ioprio & socket_flags::POLL_FIRST != 0;
    match sqe.opcode {
        opcode::RECV | opcode::RECVMSG if first => Some(INPUT),
        opcode::SEND | opcode::SENDMSG | opcode::SEND_ZC if first => Some(OUTPUT),
        opcode::ACCEPT if sqe.ioprio & ACCEPT_POLL_FIRST != 0 => Some(INPUT),
        _ => None,
    }
}

/// The lane of an operation that turned out to be one for helpers.
pub(super) fn help(request: &Request) -> Outcome {
    Outcome::Help(blocking::lane(request.sqe.opcode))
}
