//! Operations on sockets.

use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;

use socket2::SockAddr;

use crate::driver::buf::{IoBuf, IoBufMut};
use crate::driver::fd::{Fd, Lease};
use crate::driver::op::MultishotOp;
use crate::driver::ring::{Cqe, Sqe, opcode, socket_flags};
use crate::driver::{Driver, Op};
use crate::ops::owned;

/// `IORING_OP_ACCEPT` with `IORING_ACCEPT_MULTISHOT` (5.19): connections as they come.
pub(crate) struct Accept {
    pub(crate) driver: Rc<Driver>,
    pub(crate) fd: RawFd,
}

// SAFETY: the entry has no pointer; the descriptor is the listener's, closed through the driver.
unsafe impl MultishotOp for Accept {
    type Item = io::Result<Fd>;

    fn prepare(&mut self, sqe: &mut Sqe) {
        sqe.opcode = opcode::ACCEPT;
        sqe.fd = self.fd;
        sqe.ioprio = socket_flags::ACCEPT_MULTISHOT;
        sqe.op_flags = libc::SOCK_CLOEXEC as u32;
    }

    fn item(&mut self, cqe: Cqe) -> io::Result<Fd> {
        let raw = cqe.into_result()?;
        Ok(Fd::new(self.driver.clone(), raw as RawFd))
    }
}

/// Whether it failed for want of descriptors or memory, which others may give back.
pub(crate) fn exhausted(error: &io::Error) -> bool {
    let errno = error.raw_os_error();
    matches!(errno, Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// `IORING_OP_CONNECT` (5.5).
pub(crate) struct Connect {
    pub(crate) fd: RawFd,
    pub(crate) address: SockAddr,
}

// SAFETY: the entry points to the address in `self`; the descriptor is the stream's, closed
// through the driver.
unsafe impl Op for Connect {
    type Output = io::Result<()>;
    const HOLDS_CLOCK: bool = false;

    fn prepare(&mut self, sqe: &mut Sqe) {
        sqe.opcode = opcode::CONNECT;
        sqe.fd = self.fd;
        sqe.addr = self.address.as_ptr() as u64;
        sqe.off = u64::from(self.address.len());
    }

    fn complete(self, cqe: Cqe) -> io::Result<()> {
        cqe.into_result().map(drop)
    }
}

/// `IORING_OP_SEND` (5.6) of what is left of a buffer, as much of it as the kernel takes.
pub(crate) struct Send<B> {
    pub(crate) fd: RawFd,
    pub(crate) offset: u32,
    pub(crate) buffer: B,
}

// SAFETY: the entry points into the buffer that `self` owns (`IoBuf`); the descriptor is the
// stream's, closed through the driver.
unsafe impl<B: IoBuf> Op for Send<B> {
    type Output = (io::Result<usize>, B);
    const HOLDS_CLOCK: bool = false;

    fn prepare(&mut self, sqe: &mut Sqe) {
        owned::point_to(sqe, &self.buffer.bytes()[self.offset as usize..]);
        sqe.opcode = opcode::SEND;
        sqe.fd = self.fd;
        sqe.op_flags = (libc::MSG_NOSIGNAL | libc::MSG_WAITALL) as u32;
    }

    fn complete(self, cqe: Cqe) -> (io::Result<usize>, B) {
        (cqe.into_result().map(|sent| sent as usize), self.buffer)
    }
}

/// `IORING_OP_SEND_ZC` (6.0): as [`Send`], but the kernel sends from the buffer itself. It
/// completes when nothing refers to the buffer any more: of TCP, when the peer has acknowledged it.
pub(crate) struct SendZeroCopy<B> {
    pub(crate) fd: RawFd,
    pub(crate) offset: u32,
    pub(crate) buffer: B,
}

// SAFETY: as for `Send`. The driver takes the notification for the terminal completion, so the
// buffer stays as long as the kernel refers to it.
unsafe impl<B: IoBuf> Op for SendZeroCopy<B> {
    /// What was sent; the buffer, and whether the kernel has copied it all the same.
    type Output = (io::Result<usize>, (B, bool));
    const HOLDS_CLOCK: bool = false;

    fn prepare(&mut self, sqe: &mut Sqe) {
        owned::point_to(sqe, &self.buffer.bytes()[self.offset as usize..]);
        sqe.opcode = opcode::SEND_ZC;
        sqe.fd = self.fd;
        sqe.ioprio = socket_flags::ZERO_COPY_REPORT_USAGE;
        sqe.op_flags = (libc::MSG_NOSIGNAL | libc::MSG_WAITALL) as u32;
    }

    fn complete(self, cqe: Cqe) -> Self::Output {
        // The driver has kept this bit of the notification beside the result.
        let copied = cqe.notification();
        (cqe.into_result().map(|sent| sent as usize), (self.buffer, copied))
    }
}

/// Whether a zero-copy send failed because there is none here: an opcode or flag that the kernel
/// does not know, a kind of socket that cannot, or no locked memory left (`RLIMIT_MEMLOCK`).
pub(crate) fn no_zero_copy(error: &io::Error) -> bool {
    let errno = error.raw_os_error();
    matches!(errno, Some(libc::EINVAL | libc::EOPNOTSUPP | libc::ENOMEM))
}

/// `IORING_OP_RECV` (5.6) into an owned buffer.
pub(crate) struct Recv<B> {
    pub(crate) fd: RawFd,
    pub(crate) buffer: B,
}

// SAFETY: the entry points into the buffer that `self` owns (`IoBufMut`); the descriptor is the
// stream's, closed through the driver.
unsafe impl<B: IoBufMut> Op for Recv<B> {
    type Output = (io::Result<usize>, B);
    const HOLDS_CLOCK: bool = false;

    fn prepare(&mut self, sqe: &mut Sqe) {
        owned::point_to_room(sqe, &mut self.buffer, 0);
        sqe.opcode = opcode::RECV;
        sqe.fd = self.fd;
    }

    fn complete(self, cqe: Cqe) -> (io::Result<usize>, B) {
        // SAFETY: the entry was pointed to the room of this buffer, from its start.
        unsafe { owned::filled(cqe, self.buffer, 0) }
    }
}

/// `IORING_OP_SENDMSG` (5.3): several buffers in one go, from `offset` on in their concatenation.
pub(crate) struct SendVectored<B> {
    fd: RawFd,
    buffers: Vec<B>,
    offset: usize,
    slices: Vec<libc::iovec>,
    message: libc::msghdr,
}

impl<B: IoBuf> SendVectored<B> {
    pub(crate) fn new(fd: RawFd, buffers: Vec<B>, offset: usize) -> Self {
        // SAFETY: msghdr is plain data; all zeroes names no address, no buffers, no control data.
        let message = unsafe { std::mem::zeroed() };
        SendVectored { fd, buffers, offset, slices: Vec::new(), message }
    }
}

// SAFETY: the entry points to the msghdr in `self`, which does not move, that to the iovecs on the
// heap, those into the buffers, which `self` owns. The descriptor is the stream's.
unsafe impl<B: IoBuf> Op for SendVectored<B> {
    type Output = (io::Result<usize>, Vec<B>);
    const HOLDS_CLOCK: bool = false;

    fn prepare(&mut self, sqe: &mut Sqe) {
        self.slices = owned::slices(&self.buffers, self.offset);
        self.message.msg_iov = self.slices.as_mut_ptr();
        self.message.msg_iovlen = self.slices.len();
        sqe.opcode = opcode::SENDMSG;
        sqe.fd = self.fd;
        sqe.addr = (&raw const self.message) as u64;
        sqe.len = 1;
        sqe.op_flags = (libc::MSG_NOSIGNAL | libc::MSG_WAITALL) as u32;
    }

    fn complete(self, cqe: Cqe) -> (io::Result<usize>, Vec<B>) {
        (cqe.into_result().map(|sent| sent as usize), self.buffers)
    }
}

/// `IORING_OP_SHUTDOWN` (5.11). A worker of the kernel carries it out.
pub(crate) struct Shutdown {
    fd: RawFd,
    how: i32,
    _lease: Rc<Lease>,
}

impl Shutdown {
    pub(crate) fn new(fd: RawFd, how: std::net::Shutdown, lease: Rc<Lease>) -> Self {
        let how = match how {
            std::net::Shutdown::Read => libc::SHUT_RD,
            std::net::Shutdown::Write => libc::SHUT_WR,
            std::net::Shutdown::Both => libc::SHUT_RDWR,
        };
        Shutdown { fd, how, _lease: lease }
    }
}

// SAFETY: the entry has no pointer; the descriptor is the stream's, which leaves it to the lease if
// it goes before `complete`.
unsafe impl Op for Shutdown {
    type Output = io::Result<()>;

    fn prepare(&mut self, sqe: &mut Sqe) {
        sqe.opcode = opcode::SHUTDOWN;
        sqe.fd = self.fd;
        sqe.len = self.how as u32;
    }

    fn complete(self, cqe: Cqe) -> io::Result<()> {
        cqe.into_result().map(drop)
    }
}
