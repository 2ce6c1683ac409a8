//! The waist of the driver: everything that the crate says to a kernel goes through [`Ring`].
//!
//! Push an entry, pop a completion, enter. Behind it stand the kernel's io_uring, a ring in user
//! space for where there is none, and, under the `testing` feature, a simulated one; everything
//! above is the shipped code in every test. An enum and not a generic, so that nothing leaks into
//! signatures.
//!
//! Not here: what an entry means (`ops/`), who waits for it (`driver/`).

pub(crate) mod check;
pub(crate) mod completions;
mod entry;
mod kernel;
#[cfg(any(test, feature = "testing"))]
mod older;
mod soft;

use std::io;

pub use crate::sys::opcode;
pub use entry::{Cqe, Sqe, cancel_flags, cqe_flags, socket_flags, sqe_flags};
pub(crate) use kernel::Kernel;
pub(crate) use soft::Soft;

use crate::sys::probe::Refused;
pub(crate) use crate::sys::uring::Wait;
use crate::sys::uring::{Setup, Uring, Wanted};

/// What the queues say without a system call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    /// Completion work waits in the kernel for an enter (`IORING_SQ_TASKRUN`).
    pub(crate) taskrun: bool,
    /// Completions wait in the kernel for room in the queue (`IORING_SQ_CQ_OVERFLOW`).
    pub(crate) overflow: bool,
    /// Completions can be popped now.
    pub(crate) completions: bool,
}

impl Hints {
    /// Whether an enter or a reap would bring something.
    pub(crate) fn any(self) -> bool {
        let overflow = self.overflow && !mutant!("overflow-not-looked-at");
        self.taskrun || overflow || self.completions
    }
}

/// Which ring a loop has; see [`Statistics::ring`](crate::Statistics::ring).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RingKind {
    /// The kernel's io_uring.
    #[default]
    Kernel,
    /// One in user space.
    Soft,
    /// A simulated one, for tests.
    Simulated,
    /// None any more: the loop is closed.
    Closed,
}

/// A ring: the kernel's, one in user space, a simulated one, or what is left after shutdown.
#[derive(Debug)]
pub(crate) enum Ring {
    Kernel(Box<Kernel>),
    Soft(Box<Soft>),
    #[cfg(any(test, feature = "testing"))]
    Sim(Box<crate::testing::sim::Sim>),
    /// Shut down. Takes nothing, gives nothing.
    Closed,
}

impl Ring {
    /// A ring of the kernel, by the ladder of [`Uring::new`].
    pub(crate) fn kernel(wanted: &Wanted) -> io::Result<Self> {
        Ok(Ring::Kernel(Box::new(Kernel::new(Uring::new(wanted)?))))
    }

    /// A ring in user space.
    pub(crate) fn soft(wanted: &Wanted) -> io::Result<Self> {
        Ok(Ring::Soft(Box::new(Soft::new(wanted)?)))
    }

    /// Puts an entry on the submission queue; `false` when it is full.
    pub(crate) fn push(&mut self, sqe: &Sqe) -> bool {
        match self {
            Ring::Kernel(ring) => ring.push(sqe),
            Ring::Soft(ring) => ring.push(sqe),
            #[cfg(any(test, feature = "testing"))]
            Ring::Sim(ring) => ring.push(sqe),
            Ring::Closed => false,
        }
    }

    /// Takes the oldest completion.
    pub(crate) fn pop(&mut self) -> Option<Cqe> {
        match self {
            Ring::Kernel(ring) => ring.pop(),
            Ring::Soft(ring) => ring.pop(),
            #[cfg(any(test, feature = "testing"))]
            Ring::Sim(ring) => ring.pop(),
            Ring::Closed => None,
        }
    }

    /// Entries that the submission queue has room for when it is empty.
    pub(crate) fn capacity(&self) -> u32 {
        match self {
            Ring::Kernel(ring) => ring.uring.ring.params().sq_entries(),
            Ring::Soft(ring) => ring.capacity(),
            #[cfg(any(test, feature = "testing"))]
            Ring::Sim(ring) => ring.capacity(),
            Ring::Closed => 0,
        }
    }

    /// Entries pushed and not yet consumed by an enter.
    pub(crate) fn unsubmitted(&self) -> u32 {
        match self {
            Ring::Kernel(ring) => ring.unsubmitted(),
            Ring::Soft(ring) => ring.unsubmitted(),
            #[cfg(any(test, feature = "testing"))]
            Ring::Sim(ring) => ring.unsubmitted(),
            Ring::Closed => 0,
        }
    }

    /// Submits what was pushed and waits as told. Fails as io_uring_enter(2) does: EINTR, EBUSY,
    /// EAGAIN and ETIME are ordinary and mean "reap, then come again".
    pub(crate) fn enter(&mut self, wait: Wait) -> io::Result<()> {
        match self {
            Ring::Kernel(ring) => ring.enter(wait),
            Ring::Soft(ring) => ring.enter(wait),
            #[cfg(any(test, feature = "testing"))]
            Ring::Sim(ring) => ring.enter(wait),
            Ring::Closed => Err(io::Error::from_raw_os_error(libc::ENXIO)),
        }
    }

    /// What waits on the other side, read from shared memory.
    pub(crate) fn hints(&mut self) -> Hints {
        match self {
            Ring::Kernel(ring) => ring.hints(),
            Ring::Soft(ring) => ring.hints(),
            #[cfg(any(test, feature = "testing"))]
            Ring::Sim(ring) => ring.hints(),
            Ring::Closed => Hints::default(),
        }
    }

    /// The same for one who spins: where nothing is shared with a kernel, it is asked.
    pub(crate) fn glance(&mut self) -> Hints {
        match self {
            Ring::Soft(ring) => ring.glance(),
            ring => ring.hints(),
        }
    }

    /// Registers a ring of provided buffers.
    ///
    /// # Safety
    ///
    /// As [`Uring::register_buffers`]: page-aligned memory of `entries` descriptors that stays
    /// mapped until this ring is closed.
    // Once per loop: it is not to be inlined where every receive goes by.
    #[cold]
    pub(crate) unsafe fn register_buffers(
        &mut self,
        address: u64,
        entries: u16,
        group: u16,
    ) -> io::Result<()> {
        match self {
            // SAFETY: handed on.
            Ring::Kernel(ring) => unsafe { ring.uring.register_buffers(address, entries, group) },
            Ring::Soft(ring) => {
                // SAFETY: handed on; the driver and this ring are on one thread.
                let registered = unsafe { ring.register_buffers(address, entries, group) };
                let refused =
                    |errno| Refused::buffers(&io::Error::from_raw_os_error(errno), entries).into();
                registered.map_err(refused)
            }
            #[cfg(any(test, feature = "testing"))]
            // SAFETY: handed on.
            Ring::Sim(ring) => unsafe { ring.register_buffers(address, entries, group) },
            Ring::Closed => Err(io::Error::from_raw_os_error(libc::ENXIO)),
        }
    }

    /// Makes an empty table of registered buffers.
    pub(crate) fn register_buffer_table(&mut self, places: u16) -> io::Result<()> {
        match self {
            Ring::Kernel(ring) => {
                ring.uring.ring.submitter().register_buffers_sparse(places.into())
            }
            Ring::Soft(ring) => ring.register_buffer_table(places),
            #[cfg(any(test, feature = "testing"))]
            Ring::Sim(ring) => ring.register_buffer_table(places),
            Ring::Closed => Err(io::Error::from_raw_os_error(libc::ENXIO)),
        }
    }

    /// Puts memory into a place of that table, or nothing in place of what was there.
    ///
    /// # Safety
    ///
    /// The memory stays mapped as long as it is in the table.
    pub(crate) unsafe fn set_buffer(
        &mut self,
        place: u16,
        address: u64,
        length: u32,
    ) -> io::Result<()> {
        match self {
            Ring::Kernel(ring) => {
                let start = std::ptr::with_exposed_provenance_mut(address as usize);
                let piece = libc::iovec { iov_base: start, iov_len: length as usize };
                let submitter = ring.uring.ring.submitter();
                // SAFETY: handed on.
                unsafe { submitter.register_buffers_update(place.into(), &[piece], None) }
            }
            Ring::Soft(ring) => ring.set_buffer(place, address, length),
            #[cfg(any(test, feature = "testing"))]
            Ring::Sim(ring) => ring.set_buffer(place, address, length),
            Ring::Closed => Err(io::Error::from_raw_os_error(libc::ENXIO)),
        }
    }

    /// Makes an empty table of registered files.
    pub(crate) fn register_file_table(&mut self, places: u16) -> io::Result<()> {
        match self {
            Ring::Kernel(ring) => ring.uring.ring.submitter().register_files_sparse(places.into()),
            Ring::Soft(ring) => ring.register_file_table(places),
            #[cfg(any(test, feature = "testing"))]
            Ring::Sim(ring) => ring.register_file_table(places),
            Ring::Closed => Err(io::Error::from_raw_os_error(libc::ENXIO)),
        }
    }

    /// Whether the kernel has an opcode.
    pub(crate) fn supports(&self, opcode: u8) -> bool {
        match self {
            Ring::Kernel(ring) => ring.uring.supports(opcode),
            Ring::Soft(ring) => ring.supports(opcode),
            #[cfg(any(test, feature = "testing"))]
            Ring::Sim(ring) => ring.supports(opcode),
            // Whatever is submitted now is cancelled at once.
            Ring::Closed => true,
        }
    }

    /// Which one it is.
    pub(crate) fn kind(&self) -> RingKind {
        match self {
            Ring::Kernel(_) => RingKind::Kernel,
            Ring::Soft(_) => RingKind::Soft,
            #[cfg(any(test, feature = "testing"))]
            Ring::Sim(_) => RingKind::Simulated,
            Ring::Closed => RingKind::Closed,
        }
    }

    /// How the kernel's ring was set up; `None` for the others.
    pub(crate) fn setup(&self) -> Option<&Setup> {
        match self {
            Ring::Kernel(ring) => Some(&ring.uring.setup),
            _ => None,
        }
    }
}
