//! The engine on a bare ring: multishot recv into provided buffers, sends straight from the
//! script.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsRawFd;

use anyhow::Context;
use io_uring::{cqueue, opcode, types};

use super::session::{Engine, Piece, Session, TICK};
use crate::uring::{Buffers, Parts};

const GROUP: u16 = 0;
const RECV: u64 = 0;
const SEND: u64 = 1;
const TIMER: u64 = 2;

/// Receives and sends through `parts`.
#[allow(missing_debug_implementations, reason = "the ring's parts have none")]
pub(super) struct Ring<'run> {
    parts: Parts<'run>,
    buffers: &'run mut Buffers,
    starved: VecDeque<usize>,
}

impl<'run> Ring<'run> {
    /// # Safety
    ///
    /// `buffers`, and the script and streams of every session this engine serves, must be dropped
    /// after the ring behind `parts`.
    pub(super) unsafe fn new(
        mut parts: Parts<'run>,
        buffers: &'run mut Buffers,
    ) -> anyhow::Result<Self> {
        // SAFETY: the caller's promise.
        unsafe { buffers.register(&parts.submitter, GROUP)? };
        let every = types::Timespec::from(TICK);
        let timer = opcode::Timeout::new(&raw const every)
            .flags(types::TimeoutFlags::MULTISHOT)
            .count(0)
            .build();
        // SAFETY: the kernel reads the timespec while it takes the entry: below.
        unsafe { parts.push(&timer.user_data(TIMER))? };
        parts.enter(0)?;
        Ok(Self { parts, buffers, starved: VecDeque::new() })
    }

    fn receive(&mut self, session: &Session<'_>, number: usize) -> anyhow::Result<()> {
        let fd = types::Fd(session.streams[number].as_raw_fd());
        let entry = opcode::RecvMulti::new(fd, GROUP).build();
        // SAFETY: the kernel writes to provided buffers only, which outlive the ring.
        unsafe { self.parts.push(&entry.user_data((number as u64) << 8 | RECV))? };
        Ok(())
    }

    #[inline]
    fn send(&mut self, session: &Session<'_>, number: usize, piece: Piece) -> anyhow::Result<()> {
        let fd = types::Fd(session.streams[number].as_raw_fd());
        let bytes = session.script.asked().at(piece.0, piece.1);
        let entry = opcode::Send::new(fd, bytes.as_ptr(), bytes.len() as u32)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build();
        // SAFETY: the script is never written and outlives the ring.
        unsafe { self.parts.push(&entry.user_data((number as u64) << 8 | SEND))? };
        Ok(())
    }

    #[inline]
    fn received(
        &mut self,
        session: &mut Session<'_>,
        number: usize,
        result: i32,
        flags: u32,
    ) -> anyhow::Result<()> {
        if !cqueue::more(flags) {
            self.starved.push_back(number);
        }
        if result == -libc::ENOBUFS {
            return Ok(());
        }
        let length = check(result).with_context(|| format!("receiving on connection {number}"))?;
        let piece = match cqueue::buffer_select(flags) {
            Some(id) => {
                let piece = session.received(number, self.buffers.lent(id, length))?;
                self.buffers.give(id);
                piece
            }
            None => session.received(number, &[])?,
        };
        piece.map_or(Ok(()), |piece| self.send(session, number, piece))
    }
}

impl Engine for Ring<'_> {
    fn begin(&mut self, session: &mut Session<'_>, number: usize) -> anyhow::Result<()> {
        self.receive(session, number)?;
        session.first(number).map_or(Ok(()), |piece| self.send(session, number, piece))
    }

    fn turn(&mut self, session: &mut Session<'_>) -> anyhow::Result<()> {
        if session.plan.spin {
            self.parts.spin(1_000_000)?;
        } else {
            self.parts.enter(1)?;
        }
        session.tick();
        while let Some(done) = self.parts.done.next() {
            let number = (done.user_data() >> 8) as usize;
            match done.user_data() & 0xff {
                RECV => self.received(session, number, done.result(), done.flags())?,
                SEND => {
                    let sent = check(done.result())
                        .with_context(|| format!("sending on connection {number}"))?;
                    if let Some(piece) = session.sent(number, sent) {
                        self.send(session, number, piece)?;
                    }
                }
                _ => {} // the timer has done its work by waking us
            }
        }
        self.buffers.publish();
        while let Some(number) = self.starved.pop_front() {
            self.receive(session, number)?;
        }
        Ok(())
    }
}

fn check(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}
