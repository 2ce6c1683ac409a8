//! Beginning a request and attempting it; the operations without a socket or a file of their own:
//! NOP, TIMEOUT, POLL_ADD, CLOSE, SOCKET, MSG_RING, and what the real kernel's descriptors do.

use super::descriptors::{FIRST_VIRTUAL, Object};
use super::layout::{self, Piece};
use super::prepare::{
    self, MSG_FLAGS_PASS, NOP_INJECT, POLL_MULTI, TIMEOUT_ABS, TIMEOUT_ETIME_SUCCESS,
};
use super::request::{Outcome, Request};
use super::work::transfers;
use super::world::{Work, World};
use super::{Errno, memory, real};
use crate::driver::ring::{Cqe, Sqe, opcode, socket_flags, sqe_flags};

/// Bytes of a `struct __kernel_timespec`.
const TIMESPEC: usize = 16;
/// `IORING_ACCEPT_POLL_FIRST` (6.10).
const ACCEPT_POLL_FIRST: u16 = 1 << 2;

impl World {
    /// Looks up what the request works on, and remembers which memory is the kernel's from now on.
    pub(super) fn begin(&mut self, request: &mut Request) -> Result<(), Errno> {
        let sqe = request.sqe;
        if prepare::needs_file(sqe.opcode) {
            self.find_object(request)?;
        }
        self.pin(request)?;
        if let Some(fd) = request.real() {
            return self.watch(request, fd);
        }
        match sqe.opcode {
            opcode::TIMEOUT => {
                request.deadline = Some(self.deadline(&sqe)?);
                request.count = (sqe.off > 0).then(|| self.completions.posted() + sqe.off);
            }
            opcode::CONNECT => self.start_connecting(request)?,
            // What is always ready cannot be polled.
            opcode::READ_MULTISHOT if request.is_disk() => return Err(libc::EBADFD),
            _ if request.is_disk() => {
                let turns = self.random.below(u64::from(self.config.file_turns) + 1);
                request.gate.pass = request.gate.pass.max(self.passes + turns);
            }
            _ => {}
        }
        Ok(())
    }

    fn find_object(&mut self, request: &mut Request) -> Result<(), Errno> {
        let Sqe { fd, opcode, .. } = request.sqe;
        if request.has_flag(sqe_flags::FIXED_FILE) {
            let object = self.registered.file(fd)?;
            self.descriptors.hold(object);
            request.object = Some(object);
            return Ok(());
        }
        if !(0..FIRST_VIRTUAL).contains(&fd) {
            let object = self.descriptors.resolve(fd)?;
            self.descriptors.hold(object);
            request.object = Some(object);
            return Ok(());
        }
        if real::is_watched(opcode) { Ok(()) } else { Err(libc::EOPNOTSUPP) }
    }

    fn watch(&mut self, request: &Request, fd: std::os::fd::RawFd) -> Result<(), Errno> {
        let edge = request.sqe.len & POLL_MULTI != 0;
        let (events, edge) = match request.sqe.opcode {
            opcode::POLL_ADD => (request.sqe.op_flags, edge),
            opcode::WRITE | opcode::WRITEV => (libc::POLLOUT as u32, false),
            _ => (libc::POLLIN as u32, false),
        };
        self.real.watch(request.id, fd, events, edge)?;
        if request.sqe.opcode == opcode::READ_MULTISHOT && self.real.is_always_ready(request.id) {
            return Err(libc::EBADFD);
        }
        self.real.collect();
        Ok(())
    }

    fn pin(&self, request: &mut Request) -> Result<(), Errno> {
        let sqe = request.sqe;
        let whole = Piece { address: sqe.addr, length: u64::from(sqe.len) };
        match sqe.opcode {
            opcode::READ_FIXED | opcode::WRITE_FIXED if !self.registered.holds(&sqe) => {
                return Err(libc::EFAULT);
            }
            opcode::SEND | opcode::SEND_ZC | opcode::WRITE | opcode::WRITE_FIXED => {
                request.pin_read(whole)?;
            }
            opcode::READ_FIXED => request.pin_write(whole),
            opcode::FILES_UPDATE => {
                request.pin_read(Piece { address: sqe.addr, length: u64::from(sqe.len) * 4 })?;
            }
            opcode::RECV | opcode::READ if !request.selects_buffer() => request.pin_write(whole),
            opcode::RECVMSG if request.selects_buffer() => self.pin_header(request)?,
            opcode::SENDMSG | opcode::RECVMSG | opcode::READV | opcode::WRITEV => {
                self.pin_pieces(request)?;
            }
            opcode::CONNECT => request.pin_read(Piece { address: sqe.addr, length: sqe.off })?,
            opcode::TIMEOUT => {
                request.pin_read(Piece { address: sqe.addr, length: TIMESPEC as u64 })?;
            }
            opcode::WAITID => {
                request.pin_write(Piece { address: sqe.off, length: memory::SIGINFO as u64 });
            }
            _ if prepare::names(sqe.opcode) => self.pin_names(request)?,
            _ => {}
        }
        Ok(())
    }

    fn pin_pieces(&self, request: &mut Request) -> Result<(), Errno> {
        let sqe = request.sqe;
        if matches!(sqe.opcode, opcode::SENDMSG | opcode::RECVMSG) {
            self.pin_header(request)?;
        }
        let (array, pieces) = self.scattered(&sqe)?;
        request.pin_read(array)?;
        for piece in pieces {
            match sqe.opcode {
                opcode::SENDMSG | opcode::WRITEV => request.pin_read(piece)?,
                _ => request.pin_write(piece),
            }
        }
        Ok(())
    }

    /// The array of iovecs of an entry, and the pieces it names.
    pub(super) fn scattered(&self, sqe: &Sqe) -> Result<(Piece, Vec<Piece>), Errno> {
        let (address, count) = match sqe.opcode {
            opcode::SENDMSG | opcode::RECVMSG => {
                let header = layout::decode_header(&memory::read(sqe.addr, layout::MSGHDR)?);
                (header.iov, header.iov_count)
            }
            _ => (sqe.addr, u64::from(sqe.len)),
        };
        if count > 1024 {
            return Err(libc::EMSGSIZE);
        }
        let array = Piece { address, length: count * layout::IOVEC as u64 };
        let pieces = layout::decode_iovecs(&memory::read(array.address, array.length as usize)?);
        Ok((array, pieces))
    }

    /// The time check of `io_timeout_prep`.
    pub(super) fn check_time(&self, sqe: &Sqe) -> Result<(), Errno> {
        match sqe.opcode {
            opcode::TIMEOUT | opcode::LINK_TIMEOUT => self.deadline(sqe).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// When a TIMEOUT or LINK_TIMEOUT that starts now expires.
    pub(super) fn deadline(&self, sqe: &Sqe) -> Result<u64, Errno> {
        let time = layout::decode_timespec(&memory::read(sqe.addr, TIMESPEC)?)?;
        let absolute = sqe.op_flags & TIMEOUT_ABS != 0;
        Ok(if absolute { time } else { self.now.saturating_add(time) })
    }

    /// Tries to do a request's work.
    pub(super) fn attempt(&mut self, request: &mut Request) -> Outcome {
        if let Some(result) = request.verdict {
            return failure(request, -result);
        }
        if !self.gate_is_open(request) {
            return Outcome::Wait;
        }
        if let Some(errno) = request.ambush.fail.take() {
            self.drop_aborted(request, errno);
            if request.sqe.opcode == opcode::CLOSE {
                // What fails is the flush; the descriptor is gone (close(2)).
                let _ = self.close(request.sqe.fd);
            }
            return failure(request, errno);
        }
        if self.is_ready(request) {
            if let Some(errno) = self.strike(request) {
                self.drop_aborted(request, errno);
                return failure(request, errno);
            }
        } else if polls_first(&request.sqe) && !request.forced {
            return Outcome::Wait;
        }
        match self.perform(request) {
            // The cancel was lost, and there is nothing to succeed with: the worker was hit by a
            // signal, or saw the cancel after all.
            Outcome::Wait if request.forced => {
                let signal = self.random.chance(0.5);
                failure(request, if signal { libc::EINTR } else { libc::ECANCELED })
            }
            outcome => outcome,
        }
    }

    fn perform(&mut self, request: &mut Request) -> Outcome {
        if let Some(fd) = request.real() {
            return self.perform_real(request, fd);
        }
        let sqe = request.sqe;
        if let Some((id, end)) = request.pipe().filter(|_| transfers(sqe.opcode)) {
            return self.transfer_pipe(request, id, end);
        }
        match sqe.opcode {
            opcode::NOP if sqe.op_flags & NOP_INJECT != 0 => Outcome::done(sqe.len as i32),
            opcode::NOP => Outcome::done(0),
            opcode::TIMEOUT => self.expire(request),
            opcode::ASYNC_CANCEL => Outcome::from(self.cancel(&sqe)),
            opcode::POLL_ADD => self.poll(request),
            opcode::CLOSE if sqe.file_index > 0 => {
                Outcome::from(self.set_registered_file(sqe.file_index as u64 - 1, None).map(|()| 0))
            }
            opcode::CLOSE => Outcome::from(self.close(sqe.fd)),
            opcode::FILES_UPDATE => Outcome::from(self.update_files(&sqe)),
            opcode::SOCKET => Outcome::from(self.socket(&sqe)),
            opcode::MSG_RING => Outcome::from(self.message(request)),
            opcode::ACCEPT => self.accept(request),
            opcode::CONNECT => self.connect(request),
            opcode::SHUTDOWN => {
                let result = request.socket();
                let how = sqe.len as i32;
                Outcome::from(result.and_then(|id| self.network.shutdown(id, how)).map(|()| 0))
            }
            opcode::RECV | opcode::RECVMSG => self.receive(request),
            opcode::SEND | opcode::SENDMSG | opcode::SEND_ZC => self.send(request),
            _ if prepare::names(sqe.opcode) => self.perform_on_names(request),
            opcode::FSYNC | opcode::FALLOCATE | opcode::FTRUNCATE => self.settle_file(request),
            _ if request.is_disk() => self.transfer_file(request),
            opcode::READ | opcode::READV => self.receive(request),
            opcode::WRITE | opcode::WRITEV => self.send(request),
            _ => Outcome::done(-libc::EINVAL),
        }
    }

    fn expire(&mut self, request: &Request) -> Outcome {
        if request.count.is_some_and(|count| count <= self.completions.posted()) {
            return Outcome::done(0);
        }
        if request.deadline.is_some_and(|deadline| deadline > self.now) && !request.forced {
            return Outcome::Wait;
        }
        let failed = request.sqe.op_flags & TIMEOUT_ETIME_SUCCESS == 0;
        Outcome::Done { result: -libc::ETIME, flags: 0, failed }
    }

    fn poll(&mut self, request: &mut Request) -> Outcome {
        let multishot = request.sqe.len & POLL_MULTI != 0;
        if let Some((id, end)) = request.pipe() {
            // Of several shots, the first is the last.
            let events = self.pipe_events(request, id, end);
            return if events == 0 { Outcome::Wait } else { Outcome::done(events as i32) };
        }
        let Ok(socket) = request.socket() else {
            // Files and rings are always ready.
            let events = request.sqe.op_flags & (libc::POLLIN | libc::POLLOUT) as u32;
            return Outcome::done(events as i32);
        };
        let events = self.poll_events(request, socket);
        if events == 0 {
            return Outcome::Wait;
        }
        request.seen = Some(self.network.wakes(socket));
        if multishot {
            Outcome::Shot { result: events as i32, flags: 0 }
        } else {
            Outcome::done(events as i32)
        }
    }

    /// close(2), here or in the real kernel.
    pub(super) fn close(&mut self, fd: std::os::fd::RawFd) -> Result<i32, Errno> {
        if (0..FIRST_VIRTUAL).contains(&fd) {
            nix::unistd::close(fd).map_err(|errno| errno as Errno)?;
            return Ok(0);
        }
        let object = self.descriptors.close(fd)?;
        self.release(object);
        Ok(0)
    }

    fn socket(&mut self, sqe: &Sqe) -> Result<i32, Errno> {
        const FLAGS: i32 = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        const TYPES: i32 = 0xf;
        // SOCK_MAX of the kernel.
        const NO_TYPE: i32 = 11;
        if !matches!(sqe.fd, libc::AF_INET | libc::AF_INET6) {
            return Err(libc::EAFNOSUPPORT);
        }
        let kind = sqe.off as i32;
        if kind & !TYPES & !FLAGS != 0 || kind & TYPES >= NO_TYPE {
            return Err(libc::EINVAL);
        }
        if kind & TYPES != libc::SOCK_STREAM {
            return Err(libc::ESOCKTNOSUPPORT);
        }
        if !matches!(sqe.len as i32, 0 | libc::IPPROTO_TCP) {
            return Err(libc::EPROTONOSUPPORT);
        }
        if self.descriptors.is_full() {
            return Err(libc::EMFILE);
        }
        let socket = self.network.create();
        Ok(self.descriptors.open(Object::Socket(socket)))
    }

    /// MSG_RING to this ring: under DEFER_TASKRUN the message is completion work of the target.
    fn message(&mut self, request: &Request) -> Result<i32, Errno> {
        if request.object != Some(Object::Ring) {
            return Err(libc::EBADFD);
        }
        let sqe = &request.sqe;
        let pass = sqe.op_flags & MSG_FLAGS_PASS != 0;
        let flags = if pass { sqe.file_index as u32 } else { 0 };
        let cqe = Cqe { user_data: sqe.off, result: sqe.len as i32, flags };
        self.work.push_back(Work::Post(cqe));
        Ok(0)
    }
}

/// The end of a request by an error. What was moved before is not lost: it is the result
/// (`io_sendrecv_fail`).
pub(super) fn failure(request: &Request, errno: Errno) -> Outcome {
    let result = if request.done > 0 { request.done as i32 } else { -errno };
    Outcome::Done { result, flags: 0, failed: true }
}

fn polls_first(sqe: &Sqe) -> bool {
    match sqe.opcode {
        opcode::RECV | opcode::RECVMSG | opcode::SEND | opcode::SENDMSG | opcode::SEND_ZC => {
            sqe.ioprio & socket_flags::POLL_FIRST != 0
        }
        opcode::ACCEPT => sqe.ioprio & ACCEPT_POLL_FIRST != 0,
        _ => false,
    }
}
