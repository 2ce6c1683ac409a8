//! Messages: bytes together with an address or control data (`IORING_OP_SENDMSG`,
//! `IORING_OP_RECVMSG`, 5.3).

use std::io;
use std::mem;
use std::os::fd::RawFd;

use socket2::{SockAddr, SockAddrStorage};

use super::control::{Arrived, Control};
use crate::driver::Op;
use crate::driver::buf::{IoBuf, IoBufMut};
use crate::driver::ring::{Cqe, Sqe, opcode};

/// A header that names nothing.
pub(crate) fn no_header() -> libc::msghdr {
    // SAFETY: msghdr is plain data; all zeroes names no address, no buffers, no control data.
    unsafe { mem::zeroed() }
}

/// `IORING_OP_SENDMSG` of one buffer, to an address or with control data. `keeps` stays in the
/// operation until it is over: what the control data refers to.
pub(crate) struct SendMessage<B, K> {
    fd: RawFd,
    buffer: B,
    keeps: K,
    name: Option<SockAddr>,
    control: Control,
    slice: libc::iovec,
    header: libc::msghdr,
}

impl<B, K> SendMessage<B, K> {
    pub(crate) fn new(
        fd: RawFd,
        buffer: B,
        name: Option<SockAddr>,
        control: Control,
        keeps: K,
    ) -> Self {
        let slice = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        SendMessage { fd, buffer, keeps, name, control, slice, header: no_header() }
    }
}

// SAFETY: the entry points to the msghdr in `self`, which does not move, that to the iovec and the
// name in `self`, to control data on the heap that `self` owns, the iovec into the buffer, which
// `self` owns. The descriptor is the socket's, closed through the driver; those in the control
// data belong to `keeps`.
unsafe impl<B: IoBuf, K: 'static> Op for SendMessage<B, K> {
    type Output = (io::Result<usize>, (B, K));
    const HOLDS_CLOCK: bool = false;

    fn prepare(&mut self, sqe: &mut Sqe) {
        let bytes = self.buffer.bytes();
        self.slice.iov_base = bytes.as_ptr().cast_mut().cast();
        self.slice.iov_len = bytes.len();
        self.header.msg_iov = &raw mut self.slice;
        self.header.msg_iovlen = 1;
        if let Some(name) = &self.name {
            self.header.msg_name = name.as_ptr().cast_mut().cast();
            self.header.msg_namelen = name.len();
        }
        (self.header.msg_control, self.header.msg_controllen) = self.control.raw();
        sqe.opcode = opcode::SENDMSG;
        sqe.fd = self.fd;
        sqe.addr = (&raw const self.header) as u64;
        sqe.len = 1;
        sqe.op_flags = libc::MSG_NOSIGNAL as u32;
    }

    fn complete(self, cqe: Cqe) -> Self::Output {
        (cqe.into_result().map(|sent| sent as usize), (self.buffer, self.keeps))
    }
}

/// What a received message was.
#[derive(Debug)]
pub(crate) struct Message {
    /// Bytes in the buffer.
    pub(crate) count: usize,
    /// Of a datagram: how long it was, if the buffer had no room for all of it.
    pub(crate) cut_from: Option<usize>,
    /// Who sent it.
    pub(crate) name: Option<SockAddr>,
    pub(crate) arrived: Arrived,
    /// Some control data, descriptors perhaps, found no room and was dropped.
    pub(crate) control_lost: bool,
}

/// `IORING_OP_RECVMSG` into an owned buffer, with the sender's address and control data.
pub(crate) struct RecvMessage<B> {
    fd: RawFd,
    buffer: B,
    flags: i32,
    name: SockAddrStorage,
    control: Control,
    slice: libc::iovec,
    header: libc::msghdr,
}

impl<B> RecvMessage<B> {
    /// From a stream.
    pub(crate) fn of_stream(fd: RawFd, buffer: B, control: Control) -> Self {
        let slice = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        let (flags, name, header) =
            (libc::MSG_CMSG_CLOEXEC, SockAddrStorage::zeroed(), no_header());
        RecvMessage { fd, buffer, flags, name, control, slice, header }
    }

    /// A datagram, whose whole length is told even if the buffer has no room for it.
    pub(crate) fn of_datagrams(fd: RawFd, buffer: B, control: Control) -> Self {
        let mut this = Self::of_stream(fd, buffer, control);
        this.flags |= libc::MSG_TRUNC;
        this.header.msg_namelen = this.name.size_of();
        this
    }
}

// SAFETY: as for `SendMessage`, with the kernel writing to the name, the control data and the
// buffer, all of which `self` owns and nobody looks at before `complete`.
unsafe impl<B: IoBufMut> Op for RecvMessage<B> {
    type Output = (io::Result<Message>, B);
    const HOLDS_CLOCK: bool = false;

    fn prepare(&mut self, sqe: &mut Sqe) {
        let (pointer, length) = self.buffer.spare();
        self.slice.iov_base = pointer.cast();
        self.slice.iov_len = length;
        self.header.msg_iov = &raw mut self.slice;
        self.header.msg_iovlen = 1;
        if self.header.msg_namelen > 0 {
            self.header.msg_name = (&raw mut self.name).cast();
        }
        (self.header.msg_control, self.header.msg_controllen) = self.control.raw();
        sqe.opcode = opcode::RECVMSG;
        sqe.fd = self.fd;
        sqe.addr = (&raw const self.header) as u64;
        sqe.len = 1;
        sqe.op_flags = self.flags as u32;
    }

    fn complete(mut self, cqe: Cqe) -> (io::Result<Message>, B) {
        let length = match cqe.into_result() {
            Ok(length) => length as usize,
            Err(error) => return (Err(error), self.buffer),
        };
        let header = &self.header;
        // SAFETY: the kernel has written so much control data for this message; nobody else reads
        // it.
        let arrived = unsafe { Arrived::read(&self.control.bytes(header.msg_controllen)) };
        let count = length.min(self.slice.iov_len);
        // SAFETY: the kernel wrote so many bytes, at most what `spare` offered.
        unsafe { self.buffer.set_filled(count) };
        let message = Message {
            count,
            cut_from: (header.msg_flags & libc::MSG_TRUNC != 0).then_some(length),
            name: name(self.name, header.msg_namelen),
            arrived,
            control_lost: header.msg_flags & libc::MSG_CTRUNC != 0,
        };
        (Ok(message), self.buffer)
    }
}

/// The address that the kernel has written, if it has.
fn name(storage: SockAddrStorage, length: libc::socklen_t) -> Option<SockAddr> {
    let fits = length > 0 && length <= storage.size_of();
    // SAFETY: the kernel has written an address of this length, for which there was room.
    fits.then(|| unsafe { SockAddr::new(storage, length) })
}
