//! A descriptor owned by a loop.

use std::cell::Cell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr;
use std::rc::Rc;

use super::Driver;

/// Closes its descriptor through the ring, behind every operation that was submitted on it. That
/// is why no operation needs to count as a user of it (see "Order" in `driver/mod.rs`).
pub(crate) struct Fd {
    driver: Rc<Driver>,
    raw: RawFd,
}

impl Fd {
    /// Takes over a descriptor of the kernel, or of the simulated ring.
    pub(crate) fn new(driver: Rc<Driver>, raw: RawFd) -> Self {
        Fd { driver, raw }
    }

    pub(crate) fn from_owned(driver: Rc<Driver>, owned: OwnedFd) -> Self {
        Fd { driver, raw: owned.into_raw_fd() }
    }

    /// The driver and the descriptor, which the caller closes.
    pub(super) fn into_parts(self) -> (Rc<Driver>, RawFd) {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is neither dropped nor used again, so the count moves from there to here.
        (unsafe { ptr::read(&raw const this.driver) }, this.raw)
    }

    /// The descriptor was closed already.
    pub(crate) fn forget(self) {
        drop(self.into_parts().0);
    }

    /// Gives the descriptor out: it is the caller's to close.
    pub(crate) fn into_owned(self) -> OwnedFd {
        let (_, raw) = self.into_parts();
        // SAFETY: owned so far, and nobody else's from here on.
        unsafe { OwnedFd::from_raw_fd(raw) }
    }

    pub(crate) fn driver(&self) -> &Rc<Driver> {
        &self.driver
    }
}

impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        self.raw
    }
}

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: owned, hence open as long as `self` lives.
        unsafe { BorrowedFd::borrow_raw(self.raw) }
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        if !mutant!("descriptor-never-closed") {
            self.driver.close(self.raw);
        }
    }
}

/// Keeps the descriptor of a stream open for operations that the kernel hands to a worker at once,
/// as SHUTDOWN: the worker looks the descriptor up only when it begins, perhaps behind a CLOSE, and
/// would find whatever has its number by then (measured on 6.18: 1334 of 2000 times).
///
/// Such an operation holds the lease, and so does the stream. A stream that goes while others hold
/// it puts its descriptor in; it is closed when the last of them has let go.
#[derive(Default)]
pub(crate) struct Lease(Cell<Option<Fd>>);

impl Lease {
    /// The stream goes: from now on the descriptor is the lease's.
    pub(super) fn keep(&self, fd: Fd) {
        self.0.set(Some(fd));
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lease")
    }
}

impl fmt::Debug for Fd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fd({})", self.raw)
    }
}
