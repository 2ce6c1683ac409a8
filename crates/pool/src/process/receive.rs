//! `Worker`, the other direction: what comes from a worker process, put in order.
//!
//! The socket is read before the ring is looked at. So when a frame of the socket is looked at,
//! every answer before it has been taken from the ring: the worker put those in first.

use std::mem;
use std::os::fd::OwnedFd;
use std::time::Instant;

use super::call::Answer;
use super::link::{Reply, Worker};
use super::ring::Wake;
use super::sys;
use super::wire::{Garbled, Header, Kind};

/// What one look at the socket gave.
struct Read {
    bytes: usize,
    /// There may be more.
    more: bool,
    /// Its other end is closed.
    ended: bool,
}

impl Worker {
    /// Receives what has come, and hands each answer to `answer`. The socket is read if `socket`
    /// says that there is something on it, or if the next answer comes by it. With `arm`, the
    /// worker wakes whoever sleeps in that way from now on.
    pub(super) fn receive(
        &mut self,
        socket: bool,
        arm: Option<Wake>,
        mut answer: impl FnMut(Reply),
    ) {
        let mut unread = socket;
        if arm.is_none() {
            self.answers.stay_awake(self.page.answers());
        }
        loop {
            let mut read = Read { bytes: 0, more: false, ended: false };
            if unread || self.follows {
                read = self.fill_inbox();
                unread = read.more;
            }
            // Also when it has ended: what it sent before counts.
            if self.take_all(&mut answer).is_err() || read.ended {
                self.lost = true;
                return;
            }
            if read.bytes > 0 && (unread || self.follows) {
                continue;
            }
            // What comes by the socket needs no bell; the one who receives it arms it again.
            let Some(wake) = arm.filter(|_| !self.follows) else { return };
            if self.answers.may_sleep(self.page.answers(), wake) {
                return;
            }
        }
    }

    /// Reads the socket once.
    fn fill_inbox(&mut self) -> Read {
        let room = self.inbox.room();
        let size = room.len();
        let held = self.arrived.fds.len();
        match sys::receive(&self.socket, room, &mut self.arrived, false) {
            Ok(Some(bytes)) if bytes > 0 => {
                self.inbox.received(bytes);
                // Bytes with descriptors are received singly: there may be more behind them.
                let more = bytes == size || self.arrived.fds.len() > held;
                Read { bytes, more, ended: false }
            }
            Ok(None) => Read { bytes: 0, more: false, ended: false },
            Ok(_) | Err(_) => Read { bytes: 0, more: false, ended: true },
        }
    }

    fn take_all(&mut self, answer: &mut impl FnMut(Reply)) -> Result<(), Garbled> {
        loop {
            while !self.follows {
                let mut payload = mem::take(&mut self.payload);
                let frame = self.answers.pop(self.page.answers(), &mut payload)?;
                let Some(header) = frame else {
                    self.payload = payload;
                    break;
                };
                self.expect(header)?;
                if header.kind == Kind::Follows {
                    self.follows = true;
                } else {
                    self.end_call(header, payload, Vec::new(), answer)?;
                }
            }
            let Some((header, payload)) = self.inbox.next()? else { return Ok(()) };
            if header.kind == Kind::Look {
                continue;
            }
            let payload = payload.to_vec();
            self.expect(header)?;
            let fds = self.arrived.take(header.fds).ok_or(Garbled)?;
            if header.kind == Kind::Partial {
                let sent = self.sent.front_mut().ok_or(Garbled)?;
                sent.partial.bytes.extend_from_slice(&payload);
                sent.partial.fds.extend(fds);
                sent.items = header.value;
            } else if mem::take(&mut self.follows) {
                self.end_call(header, payload, fds, answer)?;
            } else {
                return Err(Garbled);
            }
        }
    }

    /// It answers the oldest call first, and nothing else.
    fn expect(&self, header: Header) -> Result<(), Garbled> {
        let asked = self.sent.front().is_some_and(|sent| sent.ticket == header.ticket);
        if asked { Ok(()) } else { Err(Garbled) }
    }

    fn end_call(
        &mut self,
        header: Header,
        bytes: Vec<u8>,
        fds: Vec<OwnedFd>,
        answer: &mut impl FnMut(Reply),
    ) -> Result<(), Garbled> {
        if !header.kind.is_answer() {
            return Err(Garbled);
        }
        let sent = self.sent.pop_front().ok_or(Garbled)?;
        let last = Answer { bytes, fds };
        let payload = if header.kind == Kind::Done && sent.items > 0 {
            Answer::joined(sent.partial, last)
        } else {
            last
        };
        answer(Reply { kind: header.kind, job: sent.job, payload });
        self.answered += u64::from(header.kind != Kind::Skipped);
        if self.sent.is_empty() {
            self.idle_since = Instant::now();
        }
        Ok(())
    }
}
