//! epoll(7): what the soft ring waits with.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use super::check;
use super::probe::Refused;

/// All that a descriptor can tell, each only when it changes (`EPOLLET`). Errors and hang-ups are
/// told without being asked for.
const ALL: u32 = (libc::EPOLLIN
    | libc::EPOLLPRI
    | libc::EPOLLOUT
    | libc::EPOLLRDNORM
    | libc::EPOLLRDBAND
    | libc::EPOLLWRNORM
    | libc::EPOLLWRBAND
    | libc::EPOLLRDHUP
    | libc::EPOLLET) as u32;

/// Events that one wait brings at most.
const BATCH: usize = 256;

/// An epoll instance.
#[derive(Debug)]
pub(crate) struct Epoll {
    instance: OwnedFd,
    events: Vec<libc::epoll_event>,
    /// epoll_pwait2(2) (5.11) is there, whose time is in nanoseconds.
    precise: Cell<bool>,
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes a number.
        let raw = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }.into())
            .map_err(|error| Refused::descriptor("epoll_create1", &error))?;
        // SAFETY: fresh from the kernel, and nobody else's.
        let instance = unsafe { OwnedFd::from_raw_fd(raw as RawFd) };
        Ok(Epoll { instance, events: Vec::with_capacity(BATCH), precise: Cell::new(true) })
    }

    /// Watches a descriptor, whose events are told with `data`. If it is ready now, that is told
    /// first.
    pub(crate) fn add(&self, fd: RawFd, data: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, data)
    }

    /// The same of one that is watched already: what it is ready for is told anew.
    pub(crate) fn again(&self, fd: RawFd, data: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, data)
    }

    pub(crate) fn remove(&self, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0)
    }

    fn control(&self, what: libc::c_int, fd: RawFd, data: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: ALL, u64: data };
        // SAFETY: `event` outlives the call.
        let result =
            unsafe { libc::epoll_ctl(self.instance.as_raw_fd(), what, fd, &raw mut event) };
        check(result.into()).map(drop)
    }

    /// Waits until something happens, for so many nanoseconds at most, and answers how many events
    /// there are; see [`event`](Self::event).
    pub(crate) fn wait(&mut self, most: Option<u64>) -> io::Result<usize> {
        self.events.clear();
        if most.is_some_and(|most| most > 0) && self.precise.get() {
            match self.wait_precisely(most) {
                // Older kernels, and sandboxes that do not know it.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                    self.precise.set(false);
                }
                result => return result,
            }
        }
        let milliseconds = match most {
            None => -1,
            // Not before its time.
            Some(ns) => i32::try_from(ns.div_ceil(1_000_000)).unwrap_or(i32::MAX),
        };
        // SAFETY: there is room for so many events, of which the kernel writes as many as it says.
        let result = unsafe {
            libc::epoll_wait(
                self.instance.as_raw_fd(),
                self.events.as_mut_ptr(),
                BATCH as libc::c_int,
                milliseconds,
            )
        };
        self.arrived(result.into())
    }

    fn wait_precisely(&mut self, most: Option<u64>) -> io::Result<usize> {
        let time = most.map(super::clock::Timespec::from_ns);
        let time = time.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: as in `wait`; the time outlives the call, and there is no mask of signals.
        let result = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.instance.as_raw_fd(),
                self.events.as_mut_ptr(),
                BATCH,
                time,
                ptr::null::<libc::sigset_t>(),
                0,
            )
        };
        self.arrived(result)
    }

    fn arrived(&mut self, result: libc::c_long) -> io::Result<usize> {
        let count = check(result)? as usize;
        // SAFETY: the kernel has written so many, for which there was room.
        unsafe { self.events.set_len(count) };
        Ok(count)
    }

    /// One of the events of the last wait: its data, and what happened.
    pub(crate) fn event(&self, index: usize) -> (u64, u32) {
        let event = self.events[index];
        (event.u64, event.events)
    }
}
