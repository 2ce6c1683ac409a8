//! The bell of the door: an eventfd that wakes a loop parked in the kernel.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::probe::Refused;

/// An eventfd (eventfd(2)). Any thread may ring it; only the loop's ring listens.
#[derive(Debug)]
pub(crate) struct Bell(EventFd);

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        let made = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
        Ok(Bell(made.map_err(|errno| Refused::descriptor("eventfd", &errno.into()))?))
    }

    /// Adds one. The only possible failure is EAGAIN at 2^64 - 2 unread rings, and then the
    /// counter is not zero, which is all that a listener needs.
    pub(crate) fn ring(&self) {
        let _ = self.0.write(1);
    }

    /// Forgets the rings so far, for the next who listens: a poll of a bell that was rung would
    /// complete at once.
    pub(crate) fn silence(&self) {
        // EAGAIN: it was silent.
        let _ = self.0.read();
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    impl Bell {
        /// Whether whoever listens would hear it.
        pub(crate) fn is_rung(&self) -> bool {
            let mut watched = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            poll(&mut watched, PollTimeout::ZERO).expect("no signal without a wait") == 1
        }
    }

    #[test]
    fn a_silenced_bell_has_not_been_rung() {
        let bell = Bell::new().expect("a descriptor");
        bell.silence();
        assert!(!bell.is_rung());
        bell.ring();
        bell.ring();
        assert!(bell.is_rung());
        bell.silence();
        assert!(!bell.is_rung());
        bell.ring();
        assert!(bell.is_rung());
    }
}
