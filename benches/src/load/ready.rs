//! The engine on epoll: one read and one write per message, as most clients in the world do it.

use std::io::{ErrorKind, Read, Write};

use anyhow::Context;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::session::{Engine, Piece, Session, TICK};

/// Receives and sends by readiness.
#[derive(Debug)]
pub(super) struct Ready {
    epoll: Epoll,
    events: Vec<EpollEvent>,
    buffer: Vec<u8>,
    /// What a connection could not send yet: it then waits for EPOLLOUT as well.
    stuck: Vec<Option<Piece>>,
}

impl Ready {
    pub(super) fn new(connections: usize, buffer: usize) -> anyhow::Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            events: vec![EpollEvent::empty(); 1024],
            buffer: vec![0; buffer],
            stuck: vec![None; connections],
        })
    }

    #[inline]
    fn send(
        &mut self,
        session: &mut Session<'_>,
        number: usize,
        mut next: Option<Piece>,
    ) -> anyhow::Result<()> {
        while let Some((position, length)) = next {
            let mut stream = &session.streams[number];
            next = match stream.write(session.script.asked().at(position, length)) {
                Ok(sent) => session.sent(number, sent),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.stuck[number] = Some((position, length));
                    return self.watch(session, number, EpollFlags::EPOLLOUT);
                }
                e => e.map(|_| None).with_context(|| format!("sending on connection {number}"))?,
            };
        }
        Ok(())
    }

    fn receive(&mut self, session: &mut Session<'_>, number: usize) -> anyhow::Result<()> {
        let mut stream = &session.streams[number];
        let read = match stream.read(&mut self.buffer) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            read => read.with_context(|| format!("receiving on connection {number}"))?,
        };
        let piece = session.received(number, &self.buffer[..read])?;
        self.send(session, number, piece)
    }

    fn watch(&self, session: &Session<'_>, number: usize, more: EpollFlags) -> anyhow::Result<()> {
        let mut event = EpollEvent::new(EpollFlags::EPOLLIN | more, number as u64);
        Ok(self.epoll.modify(&session.streams[number], &mut event)?)
    }
}

impl Engine for Ready {
    fn begin(&mut self, session: &mut Session<'_>, number: usize) -> anyhow::Result<()> {
        let stream = &session.streams[number];
        stream.set_nonblocking(true)?;
        self.epoll.add(stream, EpollEvent::new(EpollFlags::EPOLLIN, number as u64))?;
        let piece = session.first(number);
        self.send(session, number, piece)
    }

    fn turn(&mut self, session: &mut Session<'_>) -> anyhow::Result<()> {
        let timeout =
            if session.plan.spin { EpollTimeout::ZERO } else { EpollTimeout::try_from(TICK)? };
        let ready = match self.epoll.wait(&mut self.events, timeout) {
            Err(Errno::EINTR) => 0,
            ready => ready?,
        };
        session.tick();
        for index in 0..ready {
            let event = self.events[index];
            let number = event.data() as usize;
            if event.events().contains(EpollFlags::EPOLLOUT)
                && let Some(piece) = self.stuck[number].take()
            {
                self.watch(session, number, EpollFlags::empty())?;
                self.send(session, number, Some(piece))?;
            }
            if event.events().intersects(!EpollFlags::EPOLLOUT) {
                self.receive(session, number)?;
            }
        }
        Ok(())
    }
}
