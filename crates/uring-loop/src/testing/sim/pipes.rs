//! Pipes in memory, as Linux has them (pipe(7), `fs/pipe.c`), and the operations on them. They know
//! neither rings nor descriptors.
//!
//! A write of up to `PIPE_BUF` bytes goes in as a whole or waits; of a longer one, what fits goes.

use std::collections::{BTreeMap, VecDeque};

use super::Errno;
use super::attempt::failure;
use super::prepare;
use super::request::{Outcome, Request};
use super::transfer::{gather, length, scatter};
use super::world::World;
use crate::driver::ring::{cqe_flags, opcode};

pub(super) type PipeId = u64;

/// What one write may not be torn into (`PIPE_BUF`).
const ATOMIC: usize = 4096;

/// Which end of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    Reader,
    Writer,
}

#[derive(Debug)]
pub(super) struct Pipes {
    pipes: BTreeMap<PipeId, Pipe>,
    next: PipeId,
    capacity: usize,
}

#[derive(Debug)]
struct Pipe {
    bytes: VecDeque<u8>,
    /// Whether the end is open.
    reader: bool,
    writer: bool,
}

impl Pipes {
    pub(super) fn new(capacity: usize) -> Self {
        Pipes { pipes: BTreeMap::new(), next: 1, capacity: capacity.max(ATOMIC) }
    }

    pub(super) fn create(&mut self) -> PipeId {
        let id = self.next;
        self.next += 1;
        self.pipes.insert(id, Pipe { bytes: VecDeque::new(), reader: true, writer: true });
        id
    }

    fn pipe(&self, id: PipeId) -> &Pipe {
        self.pipes.get(&id).expect("a pipe lives as long as something refers to it")
    }

    fn pipe_mut(&mut self, id: PipeId) -> &mut Pipe {
        self.pipes.get_mut(&id).expect("a pipe lives as long as something refers to it")
    }

    /// The last reference to an end is gone.
    pub(super) fn close(&mut self, id: PipeId, end: End) {
        let pipe = self.pipe_mut(id);
        match end {
            End::Reader => pipe.reader = false,
            End::Writer => pipe.writer = false,
        }
        if !pipe.reader && !pipe.writer {
            self.pipes.remove(&id);
        }
    }

    fn room(&self, id: PipeId) -> usize {
        self.capacity.saturating_sub(self.pipe(id).bytes.len())
    }

    /// Takes up to `most` bytes: none is the end, EAGAIN is "not yet".
    fn read(&mut self, id: PipeId, most: usize) -> Result<Vec<u8>, Errno> {
        let pipe = self.pipe_mut(id);
        if pipe.bytes.is_empty() {
            return if pipe.writer { Err(libc::EAGAIN) } else { Ok(Vec::new()) };
        }
        let count = most.min(pipe.bytes.len());
        Ok(pipe.bytes.drain(..count).collect())
    }

    /// Puts in what fits, and answers how much that was: EAGAIN if nothing may go in yet.
    fn write(&mut self, id: PipeId, bytes: &[u8]) -> Result<usize, Errno> {
        if !self.pipe(id).reader {
            return Err(libc::EPIPE);
        }
        if !self.takes(id, bytes.len()) {
            return Err(libc::EAGAIN);
        }
        let count = bytes.len().min(self.room(id));
        self.pipe_mut(id).bytes.extend(&bytes[..count]);
        Ok(count)
    }

    /// Whether a write of so many bytes would come to something.
    fn takes(&self, id: PipeId, length: usize) -> bool {
        !self.pipe(id).reader || self.room(id) >= length.min(ATOMIC)
    }

    /// Whether poll(2) would tell of anything.
    pub(super) fn tells(&self, id: PipeId, end: End) -> bool {
        self.events(id, end) != 0
    }

    /// The events that poll(2) would tell of (`pipe_poll`).
    fn events(&self, id: PipeId, end: End) -> u32 {
        const INPUT: i16 = libc::POLLIN | libc::POLLRDNORM;
        const OUTPUT: i16 = libc::POLLOUT | libc::POLLWRNORM;
        let pipe = self.pipe(id);
        let (ready, ready_events, gone, gone_event) = match end {
            End::Reader => (!pipe.bytes.is_empty(), INPUT, !pipe.writer, libc::POLLHUP),
            End::Writer => (self.room(id) >= ATOMIC, OUTPUT, !pipe.reader, libc::POLLERR),
        };
        let ready = if ready { ready_events as u32 } else { 0 };
        ready | if gone { gone_event as u32 } else { 0 }
    }
}

impl World {
    /// Whether an attempt on a pipe would come to something, be it an error.
    pub(super) fn pipe_is_ready(&self, request: &Request, id: PipeId, end: End) -> bool {
        match (request.sqe.opcode, end) {
            (opcode::POLL_ADD, _) => self.pipe_events(request, id, end) != 0,
            (opcode::WRITE | opcode::WRITEV, End::Writer) => {
                let pieces = self.pieces(&request.sqe);
                pieces.map_or(true, |pieces| self.pipes.takes(id, length(&pieces)))
            }
            (opcode::READ | opcode::READV | opcode::READ_MULTISHOT, End::Reader) => {
                let pipe = self.pipes.pipe(id);
                !pipe.bytes.is_empty() || !pipe.writer
            }
            _ => true,
        }
    }

    pub(super) fn pipe_events(&self, request: &Request, id: PipeId, end: End) -> u32 {
        let always = (libc::POLLERR | libc::POLLHUP) as u32;
        self.pipes.events(id, end) & (request.sqe.op_flags | always)
    }

    /// A read from one end, or a write to the other.
    pub(super) fn transfer_pipe(&mut self, request: &mut Request, id: PipeId, end: End) -> Outcome {
        let outcome = match (request.sqe.opcode, end) {
            (opcode::WRITE | opcode::WRITEV, End::Writer) => self.write_pipe(request, id),
            (opcode::READ | opcode::READV | opcode::READ_MULTISHOT, End::Reader) => {
                self.read_pipe(request, id)
            }
            (opcode::FSYNC, _) => Err(libc::EINVAL),
            _ => Err(libc::EBADF),
        };
        match outcome {
            Err(libc::EAGAIN) => Outcome::Wait,
            Err(errno) => failure(request, errno),
            Ok(outcome) => outcome,
        }
    }

    fn write_pipe(&mut self, request: &Request, id: PipeId) -> Result<Outcome, Errno> {
        let pieces = self.pieces(&request.sqe)?;
        let total = length(&pieces);
        let bytes = gather(&pieces, 0, request.cap(total))?;
        let count = self.pipes.write(id, &bytes)?;
        Ok(Outcome::Done { result: count as i32, flags: 0, failed: count < total })
    }

    fn read_pipe(&mut self, request: &Request, id: PipeId) -> Result<Outcome, Errno> {
        let pieces = self.receive_into(request)?;
        let total = length(&pieces);
        let bytes = self.pipes.read(id, request.cap(total))?;
        scatter(&pieces, 0, &bytes)?;
        Ok(self.read_outcome(request, bytes.len(), total))
    }

    /// What a read of so many bytes comes to; the buffer that was selected for it is taken.
    pub(super) fn read_outcome(
        &mut self,
        request: &Request,
        count: usize,
        total: usize,
    ) -> Outcome {
        let mut flags = 0;
        if count > 0 && request.selects_buffer() {
            let group = request.sqe.buf_index;
            let buffer = self.groups.take(group).expect("it was there a moment ago");
            flags = cqe_flags::BUFFER | (u32::from(buffer.id) << cqe_flags::BUFFER_SHIFT);
        }
        let result = count as i32;
        if prepare::is_multishot(&request.sqe) && count > 0 {
            return Outcome::Shot { result, flags };
        }
        Outcome::Done { result, flags, failed: count < total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_writes_are_whole_and_long_ones_are_not() {
        let mut pipes = Pipes::new(5000);
        let id = pipes.create();
        assert_eq!(pipes.write(id, &[1; 3000]), Ok(3000));
        assert_eq!(pipes.write(id, &[2; 3000]), Err(libc::EAGAIN));
        assert_eq!(pipes.write(id, &[3; 2000]), Ok(2000));
        assert_eq!(pipes.read(id, 4000).map(|bytes| bytes.len()), Ok(4000));
        assert_eq!(pipes.write(id, &[4; 4097]), Err(libc::EAGAIN));
        assert_eq!(pipes.read(id, 4000), Ok(vec![3; 1000]));
        assert_eq!(pipes.write(id, &[4; 6000]), Ok(5000));
    }

    #[test]
    fn an_end_that_is_gone_is_told_at_the_other() {
        let mut pipes = Pipes::new(ATOMIC);
        let id = pipes.create();
        assert_eq!(pipes.read(id, 9), Err(libc::EAGAIN));
        assert_eq!(pipes.write(id, b"last"), Ok(4));
        pipes.close(id, End::Writer);
        assert_eq!(pipes.read(id, 9), Ok(b"last".to_vec()));
        assert_eq!(pipes.read(id, 9), Ok(Vec::new()));
        let other = pipes.create();
        pipes.close(other, End::Reader);
        assert_eq!(pipes.write(other, b"x"), Err(libc::EPIPE));
        pipes.close(other, End::Writer);
        assert_eq!(pipes.pipes.len(), 1);
    }
}
