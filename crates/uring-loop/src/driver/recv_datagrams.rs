//! Receiving datagrams with their senders (`IORING_OP_RECVMSG`, 5.3; multishot: 6.0).
//!
//! A multishot receive lays each datagram out in its buffer: a header of four numbers (`struct
//! io_uring_recvmsg_out`: lengths of name, control data and payload, and the flags), then room for
//! the name, room for the control data, then the payload. How much room there is the entry says.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::rc::Rc;

use socket2::{SockAddr, SockAddrStorage};

use super::bufpool::{self, BufPool, Chain};
use super::op::{Op, Resident};
use super::recv::Sort;
use super::recvbuf::RecvBuf;
use super::ring::{Cqe, Sqe, opcode, socket_flags};
use crate::ops::control::{Arrived, Control};
use crate::ops::message::{Message, RecvMessage, no_header};

/// `struct io_uring_recvmsg_out`.
const HEADER: usize = 16;

/// Datagrams.
#[derive(Debug)]
pub(crate) struct Datagrams;

/// How much room a datagram needs beside its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// For the name of its sender.
    pub(crate) name: u16,
    /// Whether the kernel may have joined several, and says of what size they are.
    pub(crate) joined: bool,
}

impl Room {
    pub(crate) fn control(self) -> Control {
        // One `int`: `UDP_GRO`.
        if self.joined { Control::room_for(size_of::<i32>()) } else { Control::NONE }
    }

    /// Where the payload begins in a buffer of the pool.
    fn before_payload(self) -> usize {
        HEADER + usize::from(self.name) + self.control().raw().1
    }
}

/// A datagram that was received.
#[derive(Debug)]
pub(crate) struct Received {
    /// Its payload, as much of it as there was room for.
    pub(crate) bytes: RecvBuf,
    /// How long it was when it was sent.
    pub(crate) length: usize,
    pub(crate) name: Option<SockAddr>,
    /// It is several datagrams of this size, the last one perhaps shorter.
    pub(crate) segment: Option<u16>,
}

/// What lies where in a buffer that the kernel has laid out.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) control: &'a [u8],
    /// Where the payload begins.
    pub(crate) payload: usize,
    /// How long the datagram was when it was sent.
    pub(crate) length: usize,
}

/// Looks at such a buffer. The lengths in its header may be more than there was room for.
pub(crate) fn split(bytes: &[u8], room: Room) -> Parts<'_> {
    let number = |at: usize| match bytes.get(at * 4..).and_then(<[u8]>::first_chunk) {
        Some(chunk) => u32::from_ne_bytes(*chunk) as usize,
        None => 0,
    };
    let (name_length, control_length, length) = (number(0), number(1), number(2));
    let most = if mutant!("names-beyond-their-room") { usize::MAX / 2 } else { room.name.into() };
    let names = HEADER..HEADER + name_length.min(most);
    let begin = HEADER + usize::from(room.name);
    let control = begin..begin + control_length.min(room.control().raw().1);
    Parts {
        name: bytes.get(names).unwrap_or_default(),
        control: bytes.get(control).unwrap_or_default(),
        payload: room.before_payload().min(bytes.len()),
        length,
    }
}

/// Reads a buffer that the kernel has laid out.
fn parse(mut bytes: RecvBuf, room: Room) -> Received {
    let Parts { name, control, payload, length } = split(&bytes, room);
    let name = (!name.is_empty()).then(|| sock_addr(name));
    // SAFETY: the kernel has written it for this datagram. It is read once: the buffer is parsed
    // when it is taken, and then moves on to the payload.
    let arrived = unsafe { Arrived::read(control) };
    bytes.advance(payload);
    let length = if mutant!("datagrams-cut-in-silence") { bytes.len() } else { length };
    Received { bytes, length, name, segment: arrived.segment }
}

/// An address of the kernel's, from bytes.
pub(crate) fn sock_addr(bytes: &[u8]) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    let length = bytes.len().min(size_of::<SockAddrStorage>());
    // SAFETY: both are valid for `length` bytes, and the storage is ours alone. The kernel wrote
    // an address of this length.
    unsafe {
        (&raw mut storage).cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), length);
        SockAddr::new(storage, length as libc::socklen_t)
    }
}

/// The multishot receive in its slot.
pub(crate) struct Streaming {
    pool: Rc<BufPool>,
    /// Datagrams that came after the chain was long enough, copied out.
    spill: VecDeque<RecvBuf>,
    chain: Chain,
    stopping: bool,
    fd: RawFd,
    room: Room,
    header: libc::msghdr,
}

impl Resident for Streaming {
    const MULTISHOT: bool = true;
    const HOLDS_CLOCK: bool = false;

    fn prepare(&mut self, sqe: &mut Sqe) {
        // Of a multishot receive the kernel reads only how long these two are.
        self.header.msg_namelen = self.room.name.into();
        self.header.msg_controllen = self.room.control().raw().1;
        sqe.opcode = opcode::RECVMSG;
        sqe.fd = self.fd;
        sqe.addr = (&raw const self.header) as u64;
        sqe.len = 1;
        sqe.ioprio = socket_flags::RECV_MULTISHOT;
        // The length of a datagram is told even where the buffer has no room for it.
        sqe.op_flags = libc::MSG_TRUNC as u32;
        bufpool::select(sqe);
    }

    fn more(&mut self, cqe: Cqe) -> bool {
        let Some(id) = cqe.buffer_id() else { return false };
        if !self.spill.is_empty() || self.chain.count() >= self.pool.may_be_held() {
            let lent = bufpool::lend_completed(&self.pool, cqe);
            self.spill.extend(lent.map(|lent| RecvBuf::copied(&self.pool, &lent)));
            return !mem::replace(&mut self.stopping, true);
        }
        self.chain.push(&self.pool, id, cqe.result.max(0) as u32);
        false
    }

    fn reclaim(mut self, cqe: Cqe) {
        while self.chain.pop(&self.pool).is_some() {}
        drop(bufpool::lend_completed(&self.pool, cqe));
    }
}

/// A receive into a buffer of our own, of the pool's size.
pub(crate) struct Private(RecvMessage<Whole>);

/// A buffer of our own, for the kernel to fill from its start.
pub(crate) struct Whole(RecvBuf);

// SAFETY: heap memory that stays where it is, ours alone.
unsafe impl super::buf::IoBuf for Whole {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

// SAFETY: as above.
unsafe impl super::buf::IoBufMut for Whole {
    fn spare(&mut self) -> (*mut u8, usize) {
        (self.0.base(), self.0.capacity() as usize)
    }

    unsafe fn set_filled(&mut self, length: usize) {
        self.0.set_end(length as u32);
    }
}

// SAFETY: the inner op's.
unsafe impl Op for Private {
    type Output = io::Result<Received>;
    const HOLDS_CLOCK: bool = false;

    fn prepare(&mut self, sqe: &mut Sqe) {
        self.0.prepare(sqe);
    }

    fn complete(self, cqe: Cqe) -> io::Result<Received> {
        let (message, Whole(bytes)) = self.0.complete(cqe);
        let Message { count, cut_from, name, arrived, .. } = message?;
        Ok(Received { bytes, length: cut_from.unwrap_or(count), name, segment: arrived.segment })
    }
}

impl Sort for Datagrams {
    type Item = Received;
    type Options = Room;
    type Streaming = Streaming;
    type Private = Private;

    fn streaming(pool: &Rc<BufPool>, fd: RawFd, room: Room) -> Streaming {
        Streaming {
            pool: pool.clone(),
            spill: VecDeque::new(),
            chain: Chain::EMPTY,
            stopping: false,
            fd,
            room,
            header: no_header(),
        }
    }

    fn private(pool: &Rc<BufPool>, fd: RawFd, room: Room) -> Private {
        let buffer = Whole(RecvBuf::private(pool));
        Private(RecvMessage::of_datagrams(fd, buffer, room.control()))
    }

    fn take(streaming: &mut Streaming) -> Option<Received> {
        let Streaming { pool, chain, spill, room, .. } = streaming;
        let bytes = chain.pop(pool).or_else(|| spill.pop_front())?;
        Some(parse(bytes, *room))
    }

    fn holds(streaming: &Streaming) -> bool {
        streaming.chain.count() > 0 || !streaming.spill.is_empty()
    }

    fn end(_: &Rc<BufPool>) -> Option<Received> {
        None
    }

    fn is_end(_: &Received) -> bool {
        false
    }
}
