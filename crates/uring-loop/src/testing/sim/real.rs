//! Requests on descriptors of the real kernel: the bell of the loop under test, pipes, pidfds.
//!
//! Each request watches its descriptor through an epoll instance of its own, because epoll wakes
//! as the ring's poll does: level-triggered for one shot, edge-triggered for multishot, where a
//! second write to an eventfd that nobody has read is an event again. All of them hang in one
//! outer instance, which can be waited on.

use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use nix::errno::Errno as NixErrno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::attempt::failure;
use super::request::{Outcome, Request};
use super::transfer::{gather, length};
use super::world::World;
use super::{Errno, memory};
use crate::driver::ring::opcode;

/// What may go into a pipe that has room at all (`PIPE_BUF`). More might wait in the real kernel,
/// on a descriptor in blocking mode.
const SURE: usize = 4096;

/// What can be done with a descriptor of the real kernel.
pub(super) fn is_watched(opcode: u8) -> bool {
    matches!(
        opcode,
        opcode::POLL_ADD
            | opcode::READ
            | opcode::READ_MULTISHOT
            | opcode::WRITE
            | opcode::WRITEV
            | opcode::WAITID
    )
}

#[derive(Debug, Default)]
pub(super) struct Real {
    outer: Option<Epoll>,
    watches: BTreeMap<u64, Watch>,
    /// Events seen and not yet taken.
    fired: BTreeMap<u64, u32>,
}

#[derive(Debug)]
enum Watch {
    Epoll {
        inner: Epoll,
        edge: bool,
    },
    /// A file that epoll refuses (EPERM) is always ready, with these events.
    Always(u32),
}

impl Real {
    /// Watches `fd` for the request `id`.
    pub(super) fn watch(
        &mut self,
        id: u64,
        fd: RawFd,
        events: u32,
        edge: bool,
    ) -> Result<(), Errno> {
        let descriptor = memory::borrow_descriptor(fd);
        let inner = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(|errno| errno as Errno)?;
        let mut flags = EpollFlags::from_bits_truncate(events as i32) | EpollFlags::EPOLLRDHUP;
        flags.set(EpollFlags::EPOLLET, edge);
        match inner.add(descriptor, EpollEvent::new(flags, id)) {
            Ok(()) => {}
            Err(NixErrno::EPERM) => {
                self.watches.insert(id, Watch::Always(events));
                return Ok(());
            }
            Err(errno) => return Err(errno as Errno),
        }
        let outer = match self.outer.take() {
            Some(outer) => outer,
            None => Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(|errno| errno as Errno)?,
        };
        let added = outer.add(&inner.0, EpollEvent::new(EpollFlags::EPOLLIN, id));
        self.outer = Some(outer);
        added.map_err(|errno| errno as Errno)?;
        self.watches.insert(id, Watch::Epoll { inner, edge });
        Ok(())
    }

    /// Whether what the request watches cannot be polled.
    pub(super) fn is_always_ready(&self, id: u64) -> bool {
        matches!(self.watches.get(&id), Some(Watch::Always(_)))
    }

    /// The request is over.
    pub(super) fn forget(&mut self, id: u64) {
        self.watches.remove(&id);
        self.fired.remove(&id);
    }

    /// Whether anything is watched at all.
    pub(super) fn is_idle(&self) -> bool {
        self.watches.is_empty()
    }

    /// Asks the kernel, without waiting, what has happened.
    pub(super) fn collect(&mut self) {
        // A level may have gone down again; an edge is kept until somebody takes it.
        let watches = &self.watches;
        self.fired.retain(|id, _| matches!(watches.get(id), Some(Watch::Epoll { edge: true, .. })));
        for id in self.ready_watches(Duration::ZERO) {
            if let Some(Watch::Epoll { inner, .. }) = self.watches.get(&id) {
                let mut events = [EpollEvent::empty()];
                if let Ok(1) = inner.wait(&mut events, EpollTimeout::ZERO) {
                    *self.fired.entry(id).or_default() |= events[0].events().bits() as u32;
                }
            }
        }
        for (id, watch) in &self.watches {
            if let Watch::Always(events) = watch {
                self.fired.insert(*id, *events);
            }
        }
    }

    /// Waits in the real kernel until something happens; `false` if nothing did in time.
    pub(super) fn block(&mut self, most: Duration) -> bool {
        let end = Instant::now() + most;
        loop {
            // It may come back early, with nothing (EINTR): where there are children, there are
            // signals.
            let left = end.saturating_duration_since(Instant::now());
            if !self.ready_watches(left).is_empty() || left.is_zero() {
                return !left.is_zero();
            }
        }
    }

    fn ready_watches(&self, wait: Duration) -> Vec<u64> {
        let Some(outer) = self.outer.as_ref().filter(|_| !self.watches.is_empty()) else {
            return Vec::new();
        };
        let mut events = vec![EpollEvent::empty(); self.watches.len()];
        let timeout = EpollTimeout::try_from(wait).unwrap_or(EpollTimeout::MAX);
        // EINTR and other failures are "nothing yet": the caller comes again.
        let count = outer.wait(&mut events, timeout).unwrap_or(0);
        events[..count].iter().map(EpollEvent::data).collect()
    }

    pub(super) fn any_fired(&self) -> bool {
        !self.fired.is_empty()
    }

    pub(super) fn fired(&self, id: u64) -> bool {
        self.fired.contains_key(&id)
    }

    pub(super) fn take(&mut self, id: u64) -> Option<u32> {
        self.fired.remove(&id)
    }
}

impl World {
    /// Does a request's work on the descriptor that it watches, if that is ready.
    pub(super) fn perform_real(&mut self, request: &Request, fd: RawFd) -> Outcome {
        let Some(events) = self.real.take(request.id) else { return Outcome::Wait };
        let moved = match request.sqe.opcode {
            opcode::POLL_ADD if super::prepare::is_multishot(&request.sqe) => {
                return Outcome::Shot { result: events as i32, flags: 0 };
            }
            opcode::POLL_ADD => return Outcome::done(events as i32),
            opcode::WAITID => memory::reap(fd, request.sqe.off).map(|()| Outcome::done(0)),
            opcode::READ | opcode::READ_MULTISHOT => self.read_real(request, fd),
            _ => self.write_real(request, fd),
        };
        match moved {
            Err(libc::EAGAIN | libc::EINTR) => Outcome::Wait,
            Err(errno) => failure(request, errno),
            Ok(outcome) => outcome,
        }
    }

    fn read_real(&mut self, request: &Request, fd: RawFd) -> Result<Outcome, Errno> {
        let pieces = self.receive_into(request)?;
        let total = length(&pieces);
        let address = pieces.first().map_or(0, |piece| piece.address);
        let count = memory::read_descriptor(fd, address, request.cap(total))?;
        Ok(self.read_outcome(request, count, total))
    }

    fn write_real(&mut self, request: &Request, fd: RawFd) -> Result<Outcome, Errno> {
        let pieces = self.pieces(&request.sqe)?;
        let total = length(&pieces);
        let bytes = gather(&pieces, 0, request.cap(total).min(SURE))?;
        let count = nix::unistd::write(memory::borrow_descriptor(fd), &bytes);
        let count = count.map_err(|errno| errno as Errno)?;
        Ok(Outcome::Done { result: count as i32, flags: 0, failed: count < total })
    }
}
