//! The waist over io_uring itself.

use std::io;

use io_uring::squeue;

use super::{Cqe, Hints, Sqe};
use crate::sys::uring::{Uring, Wait};

const _: () = assert!(
    size_of::<Sqe>() == size_of::<squeue::Entry>()
        && align_of::<Sqe>() == align_of::<squeue::Entry>()
);

/// A ring of the kernel with the entries not yet handed over counted.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(super) uring: Uring,
    unsubmitted: u32,
}

impl Kernel {
    pub(super) fn new(uring: Uring) -> Self {
        Kernel { uring, unsubmitted: 0 }
    }

    /// Puts an entry on the queue; `false` when it is full.
    pub(super) fn push(&mut self, sqe: &Sqe) -> bool {
        #[cfg(any(test, feature = "testing"))]
        let sqe = &self.uring.older.map_or(*sqe, |older| older.entry(*sqe));
        // SAFETY: `Sqe` and `squeue::Entry` are both `repr(C)` images of `struct io_uring_sqe`:
        // same size and alignment (asserted above), all integers, every bit pattern valid.
        let entry = unsafe { &*std::ptr::from_ref(sqe).cast::<squeue::Entry>() };
        // SAFETY: the driver pushes entries of ops only, whose contract (`Op::prepare`) is that
        // what the entry points to lives until the terminal completion.
        let pushed = unsafe { self.uring.ring.submission().push(entry) }.is_ok();
        self.unsubmitted += u32::from(pushed);
        pushed
    }

    pub(super) fn pop(&mut self) -> Option<Cqe> {
        let entry = self.uring.ring.completion().next()?;
        Some(Cqe { user_data: entry.user_data(), result: entry.result(), flags: entry.flags() })
    }

    pub(super) fn unsubmitted(&self) -> u32 {
        self.unsubmitted
    }

    pub(super) fn enter(&mut self, wait: Wait) -> io::Result<()> {
        let consumed = self.uring.enter(self.unsubmitted, wait)?;
        self.unsubmitted -= consumed.min(self.unsubmitted);
        Ok(())
    }

    pub(super) fn hints(&mut self) -> Hints {
        let completions = !self.uring.ring.completion().is_empty();
        let queue = self.uring.ring.submission();
        Hints { taskrun: queue.taskrun(), overflow: queue.cq_overflow(), completions }
    }
}
