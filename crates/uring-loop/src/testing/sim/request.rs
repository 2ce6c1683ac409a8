//! A request in flight: its entry, what it holds, and what it waits for.
//!
//! Life: **prepared** (its entry was checked, it may stand in a chain behind others) → **waiting**
//! (it was issued; it holds its object and its entry's memory is the kernel's) → **decided** (a
//! cancel has struck: the verdict is due at the next pass) → gone, in the moment its terminal
//! completion is posted. Whoever drops a `Request` drops the only copy of its addresses.

use std::collections::VecDeque;
use std::os::fd::RawFd;

use super::descriptors::Object;
use super::faults::Fault;
use super::layout::Piece;
use super::network::{Address, SocketId, Wakes};
use super::pipes::{End, PipeId};
use super::{Errno, memory, prepare};
use crate::driver::ring::{Sqe, opcode, sqe_flags};

/// An entry that was checked, and what the check said.
#[derive(Clone, Copy)]
pub(super) struct Prepared {
    pub(super) sqe: Sqe,
    pub(super) verdict: Result<(), Errno>,
}

/// What an attempt to do a request's work came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing yet.
    Wait,
    /// One result of several.
    Shot { result: i32, flags: u32 },
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

/// A LINK_TIMEOUT that watches a request.
pub(super) struct Guard {
    pub(super) sqe: Sqe,
    pub(super) deadline: u64,
}

/// Memory that belongs to the kernel while the request is in flight.
struct Pin {
    piece: Piece,
    /// What the bytes were at the start, where the kernel only reads them.
    fingerprint: Option<u64>,
}

/// When a request may go on at the earliest.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gate {
    pub(super) pass: u64,
    pub(super) time: u64,
}

/// The faults that lie in wait for one request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ambush {
    pub(super) fail: Option<Errno>,
    pub(super) short: Option<u32>,
    pub(super) end_multishot: bool,
    pub(super) lose_cancel: bool,
    pub(super) no_descriptor: bool,
}

pub(super) struct Request {
    /// Position in the order of issue.
    pub(super) id: u64,
    pub(super) sqe: Sqe,
    pub(super) object: Option<Object>,
    /// What follows by link.
    pub(super) rest: VecDeque<Prepared>,
    pub(super) guard: Option<Guard>,
    pub(super) ambush: Ambush,
    pub(super) gate: Gate,
    /// Bytes moved by earlier attempts (`MSG_WAITALL`).
    pub(super) done: usize,
    /// When a TIMEOUT expires, and at which count of completions it is content.
    pub(super) deadline: Option<u64>,
    pub(super) count: Option<u64>,
    /// A CONNECT has marked its socket as connecting, to this address.
    pub(super) dialing: Option<Address>,
    /// The wakes a multishot poll has told of.
    pub(super) seen: Option<Wakes>,
    /// A cancel has struck: the result.
    pub(super) verdict: Option<i32>,
    /// A cancel came too late: it has to end at the next attempt.
    pub(super) forced: bool,
    pins: Vec<Pin>,
}

impl Request {
    pub(super) fn new(id: u64, sqe: Sqe, rest: VecDeque<Prepared>) -> Self {
        Request {
            id,
            sqe,
            object: None,
            rest,
            guard: None,
            ambush: Ambush::default(),
            gate: Gate::default(),
            done: 0,
            deadline: None,
            count: None,
            dialing: None,
            seen: None,
            verdict: None,
            forced: false,
            pins: Vec::new(),
        }
    }

    pub(super) fn has_flag(&self, flag: u8) -> bool {
        self.sqe.flags & flag != 0
    }

    pub(super) fn selects_buffer(&self) -> bool {
        self.has_flag(sqe_flags::BUFFER_SELECT)
    }

    pub(super) fn socket(&self) -> Result<SocketId, Errno> {
        match self.object {
            Some(Object::Socket(id)) => Ok(id),
            _ => Err(libc::ENOTSOCK),
        }
    }

    /// The end of a pipe that it works on.
    pub(super) fn pipe(&self) -> Option<(PipeId, End)> {
        match self.object {
            Some(Object::Pipe(id, end)) => Some((id, end)),
            _ => None,
        }
    }

    /// A request that a worker or a disk carries out, and that no cancel can take back.
    pub(super) fn is_disk(&self) -> bool {
        matches!(self.object, Some(Object::File(_))) || prepare::names(self.sqe.opcode)
    }

    /// The real descriptor that is watched instead of an object.
    pub(super) fn real(&self) -> Option<RawFd> {
        let watched = super::real::is_watched(self.sqe.opcode);
        (watched && self.object.is_none()).then_some(self.sqe.fd)
    }

    /// At most so many bytes move in one go.
    pub(super) fn cap(&self, bytes: usize) -> usize {
        self.ambush.short.map_or(bytes, |short| bytes.min(short.max(1) as usize))
    }

    pub(super) fn set(&mut self, fault: Fault, pass: u64, now: u64) {
        match fault {
            Fault::Fail(errno) => self.ambush.fail = Some(errno),
            Fault::Short(bytes) => self.ambush.short = Some(bytes),
            // The pass of the enter at hand comes first.
            Fault::Delay(enters) => self.gate.pass = pass + 1 + u64::from(enters),
            Fault::Latency(ns) => self.gate.time = now.saturating_add(ns),
            Fault::EndMultishot => self.ambush.end_multishot = true,
            Fault::LoseCancel => self.ambush.lose_cancel = true,
            Fault::NoDescriptor => self.ambush.no_descriptor = true,
        }
    }

    /// Remembers memory that the kernel reads until the end: it must not change.
    pub(super) fn pin_read(&mut self, piece: Piece) -> Result<(), Errno> {
        let bytes = memory::read(piece.address, piece.length as usize)?;
        self.pins.push(Pin { piece, fingerprint: Some(memory::fingerprint(&bytes)) });
        Ok(())
    }

    /// Remembers memory that the kernel may write until the end.
    pub(super) fn pin_write(&mut self, piece: Piece) {
        self.pins.push(Pin { piece, fingerprint: None });
    }

    /// The last touch: called at the terminal completion. What was freed too early is found here,
    /// by ASan or Miri as an invalid read, and without them if the bytes have changed.
    ///
    /// # Panics
    ///
    /// Memory that the kernel was only to read has changed.
    pub(super) fn check_pins(&self) {
        for Pin { piece, fingerprint } in &self.pins {
            let Some(before) = fingerprint else {
                memory::touch(piece.address, piece.length as usize);
                continue;
            };
            let now = memory::read(piece.address, piece.length as usize);
            assert!(
                now.is_ok_and(|bytes| memory::fingerprint(&bytes) == *before),
                "the memory of {:?} changed while it was in flight: {} bytes at {:#x}",
                self.sqe,
                piece.length,
                piece.address
            );
        }
    }

    /// The pieces that the kernel may fill with whatever it likes before the end.
    pub(super) fn writable_pieces(&self) -> impl Iterator<Item = Piece> {
        self.pins.iter().filter(|pin| pin.fingerprint.is_none()).map(|pin| pin.piece)
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sqe = &self.sqe;
        write!(f, "{} {:#x} fd={}", opcode::name(sqe.opcode), sqe.user_data, sqe.fd)?;
        for (on, word) in [
            (self.verdict.is_some(), " cancelled"),
            (self.forced, " cancel lost"),
            (self.guard.is_some(), " with timeout"),
            (!self.rest.is_empty(), " with links"),
        ] {
            f.write_str(if on { word } else { "" })?;
        }
        if self.gate.pass > 0 || self.gate.time > 0 {
            write!(f, " not before pass {} and {} ns", self.gate.pass, self.gate.time)?;
        }
        self.deadline.map_or(Ok(()), |deadline| write!(f, " until {deadline} ns"))
    }
}
