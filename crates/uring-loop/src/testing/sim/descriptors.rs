//! Descriptors, and what they stand for. A number is never given twice, so that a use after close
//! is a clear EBADF, and every descriptor left at the end is a leak that can be named.

use std::collections::BTreeMap;
use std::os::fd::RawFd;

use super::Errno;
use super::files::OpenFileId;
use super::network::SocketId;
use super::pipes::{End, PipeId};

/// Numbers from here on are simulated; those below belong to the real kernel.
pub(super) const FIRST_VIRTUAL: RawFd = 1_000_000_000;

/// What a descriptor of the simulation stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DescriptorKind {
    /// The simulated ring itself; a target for MSG_RING.
    Ring,
    /// A socket that is not connected.
    Socket,
    /// A listening socket.
    Listener,
    /// One end of a connection.
    Stream,
    /// A socket for datagrams.
    Datagrams,
    /// A file.
    File,
    /// One end of a pipe.
    Pipe,
}

/// The thing behind descriptors and requests. It lives until the last of them lets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Object {
    Ring,
    Socket(SocketId),
    File(OpenFileId),
    Pipe(PipeId, End),
}

#[derive(Debug)]
pub(super) struct Descriptors {
    table: BTreeMap<RawFd, Object>,
    references: BTreeMap<Object, u32>,
    next: RawFd,
    limit: usize,
}

impl Descriptors {
    pub(super) fn new(limit: usize) -> Self {
        Descriptors {
            table: BTreeMap::new(),
            references: BTreeMap::new(),
            next: FIRST_VIRTUAL,
            limit,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.table.len() >= self.limit
    }

    /// A new descriptor for `object`, beyond any limit: who is limited asks `is_full` before.
    pub(super) fn open(&mut self, object: Object) -> RawFd {
        let fd = self.next;
        self.next = fd.checked_add(1).expect("a simulation opens fewer than 1.1e9 descriptors");
        self.table.insert(fd, object);
        self.hold(object);
        fd
    }

    pub(super) fn resolve(&self, fd: RawFd) -> Result<Object, Errno> {
        self.table.get(&fd).copied().ok_or(libc::EBADF)
    }

    /// Removes a descriptor and answers with what it stood for; the caller releases that.
    pub(super) fn close(&mut self, fd: RawFd) -> Result<Object, Errno> {
        self.table.remove(&fd).ok_or(libc::EBADF)
    }

    pub(super) fn hold(&mut self, object: Object) {
        *self.references.entry(object).or_default() += 1;
    }

    /// Lets go of an object; `true` if that was the last reference.
    pub(super) fn release(&mut self, object: Object) -> bool {
        let count = self.references.get_mut(&object).expect("released what was held");
        *count -= 1;
        let last = *count == 0;
        if last {
            self.references.remove(&object);
        }
        last
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (RawFd, Object)> {
        self.table.iter().map(|(fd, object)| (*fd, *object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_never_given_twice() {
        let mut descriptors = Descriptors::new(8);
        let first = descriptors.open(Object::Socket(1));
        assert_eq!(descriptors.close(first), Ok(Object::Socket(1)));
        assert!(descriptors.open(Object::Socket(2)) > first);
        assert_eq!(descriptors.resolve(first), Err(libc::EBADF));
        assert_eq!(descriptors.close(first), Err(libc::EBADF));
    }

    #[test]
    fn an_object_lives_as_long_as_a_request_holds_it() {
        let mut descriptors = Descriptors::new(8);
        let object = Object::Socket(1);
        let fd = descriptors.open(object);
        descriptors.hold(object);
        assert_eq!(descriptors.close(fd), Ok(object));
        assert!(!descriptors.release(object));
        assert!(descriptors.release(object));
    }
}
