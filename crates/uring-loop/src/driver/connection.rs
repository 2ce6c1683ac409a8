//! A connected socket, or what else bytes come from, in 24 bytes, since every idle connection has
//! one: its descriptor, its driver, its armed receive, and a place for what few connections need
//! besides.

use std::fmt;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::ptr;
use std::rc::Rc;

use super::Driver;
use super::fd::Fd;
use super::owner::Owner;
use super::recv::Receiver;
use super::recv_bytes::Bytes;
use super::source::{Socket, Source};

/// Dropped, it cancels what it receives with and closes the descriptor behind that, as an [`Fd`]
/// does.
pub(crate) struct Connection<E, S: Source = Socket> {
    owner: Owner<E>,
    pub(crate) receiver: Receiver<Bytes<S>>,
    /// Negative once the descriptor is somebody else's to close.
    raw: RawFd,
}

impl<E, S: Source> Connection<E, S> {
    pub(crate) fn new(fd: Fd) -> Self {
        Self::with(fd, Receiver::new())
    }

    /// One that receives in a way of its own.
    pub(crate) fn with(fd: Fd, receiver: Receiver<Bytes<S>>) -> Self {
        let (driver, raw) = fd.into_parts();
        Connection { owner: Owner::new(driver), receiver, raw }
    }

    /// Its descriptor, without what it receives with: that is cancelled.
    pub(crate) fn into_fd(self) -> Fd {
        let this = ManuallyDrop::new(self);
        this.receiver.abandon(this.owner.driver());
        // SAFETY: `this` is neither dropped nor used again; what is left of it has no drop.
        let owner = unsafe { ptr::read(&raw const this.owner) };
        Fd::new(owner.shared_driver(), this.raw)
    }

    pub(crate) fn driver(&self) -> &Driver {
        self.owner.driver()
    }

    /// A count of one's own.
    pub(crate) fn shared_driver(&self) -> Rc<Driver> {
        self.owner.shared_driver()
    }

    /// From now on somebody else closes the descriptor.
    pub(crate) fn disown(&mut self) {
        self.raw = -1;
    }

    /// What this connection needs besides, if it ever did.
    pub(crate) fn extra(&self) -> Option<&E> {
        self.owner.extra()
    }

    /// The same, made now if it was never asked for.
    pub(crate) fn extra_or_default(&self) -> &E
    where
        E: Default,
    {
        self.owner.extra_or_default()
    }
}

impl<E, S: Source> AsRawFd for Connection<E, S> {
    fn as_raw_fd(&self) -> RawFd {
        self.raw
    }
}

impl<E, S: Source> AsFd for Connection<E, S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: owned, hence open as long as `self` lives.
        unsafe { BorrowedFd::borrow_raw(self.raw) }
    }
}

impl<E, S: Source> Drop for Connection<E, S> {
    fn drop(&mut self) {
        self.receiver.abandon(self.owner.driver());
        if self.raw >= 0 {
            self.owner.driver().close(self.raw);
        }
    }
}

impl<E, S: Source> fmt::Debug for Connection<E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fd({})", self.raw)
    }
}
