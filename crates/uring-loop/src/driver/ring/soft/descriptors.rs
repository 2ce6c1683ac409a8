//! What the ring knows about descriptors: which epoll watches, who waits for each, and which are to
//! be closed.
//!
//! # How a descriptor is watched
//!
//! Once, for everything, and only changes are told (`EPOLLET`). An operation is always tried first;
//! one that would block stands in the line of its descriptor, and is tried again when an event
//! comes. Since it was tried before, whatever makes it possible comes later, and is an event. So
//! there is one `epoll_ctl` when somebody comes to an empty line, and none as long as anybody is in
//! it: for a connection with its multishot receive, one in its life.
//!
//! Who comes to an empty line cannot rely on what was watched before: the number may have been
//! closed behind our back, and belong to another file by now. `EPOLL_CTL_MOD` tells (ENOENT), and
//! has what is ready told anew. What was watched under that number before may still send events, if
//! another descriptor keeps it open: the generation in their data is an old one.
//!
//! # Closing
//!
//! An operation of the kernel's ring holds the open file, whatever becomes of the descriptor. Here
//! it needs the descriptor, so a CLOSE that finds it in use completes, but the descriptor is closed
//! when the last operation has let go of it. Until then new operations are refused (EBADF).

use std::os::fd::RawFd;

use super::requests::{Line, Requests};
use super::{Errno, errno};
use crate::sys::calls;
use crate::sys::epoll::Epoll;

#[derive(Clone, Copy, Debug)]
struct Descriptor {
    line: Line,
    /// Differs for each file that had this number.
    generation: u32,
    /// Requests that were made to wait on it, or that a helper has.
    users: u32,
    watched: bool,
    closing: bool,
}

impl Descriptor {
    const UNKNOWN: Descriptor =
        Descriptor { line: Line::EMPTY, generation: 0, users: 0, watched: false, closing: false };

    /// The number belongs to another file from now on.
    fn forget(&mut self) {
        let generation = self.generation.wrapping_add(1);
        *self = Descriptor { generation, ..Descriptor::UNKNOWN };
    }
}

/// All of them, by number.
pub(super) struct Descriptors {
    pub(super) epoll: Epoll,
    table: Vec<Descriptor>,
}

impl Descriptors {
    pub(super) fn new(epoll: Epoll) -> Self {
        Descriptors { epoll, table: Vec::new() }
    }

    /// `fd` is not negative.
    fn at(&mut self, fd: RawFd) -> &mut Descriptor {
        let index = fd as usize;
        if index >= self.table.len() {
            self.table.resize((index + 1).next_power_of_two().max(64), Descriptor::UNKNOWN);
        }
        &mut self.table[index]
    }

    /// Whether it was closed, and only operations that began before still use it.
    pub(super) fn is_closing(&self, fd: RawFd) -> bool {
        self.table.get(fd as usize).is_some_and(|descriptor| descriptor.closing)
    }

    /// Has epoll watch it, for somebody who is to stand in its line.
    ///
    /// # Errors
    ///
    /// EPERM for what cannot be waited for, as files; EBADF.
    pub(super) fn watch(&mut self, fd: RawFd) -> Result<(), Errno> {
        if fd < 0 {
            return Err(libc::EBADF);
        }
        let descriptor = *self.at(fd);
        if descriptor.watched && !descriptor.line.is_empty() {
            return Ok(());
        }
        let data = |generation: u32| u64::from(generation) << 32 | fd as u64;
        if descriptor.watched {
            match self.epoll.again(fd, data(descriptor.generation)) {
                Ok(()) => return Ok(()),
                Err(error) if errno(&error) == libc::ENOENT => {}
                Err(error) => return Err(errno(&error)),
            }
            self.at(fd).generation = descriptor.generation.wrapping_add(1);
        }
        let generation = self.at(fd).generation;
        let added = match self.epoll.add(fd, data(generation)) {
            // Watched all the same: it was closed and opened again from another descriptor of the
            // same file.
            Err(error) if errno(&error) == libc::EEXIST => self.epoll.again(fd, data(generation)),
            result => result,
        };
        self.at(fd).watched = added.is_ok();
        added.map_err(|error| errno(&error))
    }

    /// Puts a request at the end of the line of `fd`.
    pub(super) fn line_up(&mut self, requests: &mut Requests, fd: RawFd, index: u32) {
        requests.line_up(&mut self.at(fd).line, index);
    }

    pub(super) fn leave(&mut self, requests: &mut Requests, fd: RawFd, index: u32) {
        requests.leave(&mut self.at(fd).line, index);
    }

    /// The line that an event is about; `None` if it comes from a file that had this number before.
    pub(super) fn told(&self, data: u64) -> Option<Line> {
        let descriptor = self.table.get(data as u32 as usize)?;
        let same = descriptor.generation == (data >> 32) as u32;
        same.then_some(descriptor.line)
    }

    /// A request begins to use it for longer than a call.
    pub(super) fn hold(&mut self, fd: RawFd) {
        if fd >= 0 {
            self.at(fd).users += 1;
        }
    }

    /// … and is at its end.
    pub(super) fn release(&mut self, fd: RawFd) {
        if fd < 0 {
            return;
        }
        let descriptor = self.at(fd);
        descriptor.users -= 1;
        if descriptor.users == 0 && descriptor.closing {
            self.close_now(fd);
        }
    }

    /// Closes it, now or when nobody uses it any more.
    pub(super) fn close(&mut self, fd: RawFd) -> i32 {
        if fd < 0 || self.is_closing(fd) {
            return -libc::EBADF;
        }
        let descriptor = self.at(fd);
        if descriptor.users > 0 {
            descriptor.closing = true;
            return 0;
        }
        self.close_now(fd)
    }

    fn close_now(&mut self, fd: RawFd) -> i32 {
        if self.at(fd).watched {
            // If another descriptor keeps the file open, here or in another process, closing would
            // leave it watched for good. An error says that it is not watched any more.
            let _ = self.epoll.remove(fd);
        }
        self.at(fd).forget();
        calls::close(fd)
    }

    /// The end of the ring: closes what was to be closed, all of it if nobody can use it any more.
    pub(super) fn close_rest(&mut self) {
        let fds = (0..).zip(&self.table).filter(|(_, descriptor)| descriptor.closing);
        let fds: Vec<RawFd> = fds.map(|(fd, _)| fd).collect();
        for fd in fds {
            self.close_now(fd);
        }
    }
}
