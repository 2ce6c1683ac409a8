//! A ring in user space: io_uring's entries and completions without io_uring.
//!
//! [`Soft`] takes the entries that the driver pushes and does what the kernel would do with them:
//! each is tried without blocking; one that would block waits for its descriptor by epoll, or for
//! its time; what has no readiness, files and names, goes to a few helper threads. Everything above
//! the waist is the same code as on the kernel's ring. It costs a system call per operation where
//! the kernel takes many in one.
//!
//! Nothing happens behind the loop's back: as with `DEFER_TASKRUN`, completions come only in an
//! enter, all on the loop's thread.
//!
//! Its odd results are the kernel's: what a cancel answers, when a chain breaks, what ends a
//! multishot. `testing/sim` plays the same rules in memory, `check.rs` is common to both, and the
//! differential tests run the same programs on all three.
//!
//! What is different, and can be seen:
//!
//! * An open file is not held, but its descriptor is (`descriptors.rs`): who closes one behind the
//!   ring's back while an operation waits on it, and opens another file under its number, has that
//!   operation wait for the other file.
//! * A cancel by descriptor means the number, not the open file.
//! * A listener is put into non-blocking mode.
//! * What a helper has begun with is not interrupted by a cancel.
//! * Operations that this crate does not use are refused (EINVAL).
//!
//! By file: `course` (the way of a request), `attempt`, `transfer`, `message` (what each operation
//! does), `cancel`, `requests`, `descriptors`, `buffers`, `tables`, `helpers` and `blocking`.

mod attempt;
mod blocking;
mod buffers;
mod cancel;
mod course;
mod descriptors;
mod helpers;
mod message;
mod requests;
mod tables;
mod transfer;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;

use super::completions::Completions;
use super::{Cqe, Hints, Sqe, Wait, opcode};
use crate::sys;
use crate::sys::clock::monotonic_ns;
use crate::sys::epoll::Epoll;
use crate::sys::uring::Wanted;
use attempt::Kit;
use descriptors::Descriptors;
use helpers::Helpers;
use requests::{NONE, Name, Requests};

/// A number of errno(3), positive.
type Errno = i32;

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().unwrap_or(libc::EIO)
}

/// The data of the helpers' bell: no descriptor has this number.
const BELL: u64 = u64::MAX;

/// A look at the descriptors is left out when there are completions already, but not more often
/// than this in a row: else who always has some would keep the others from theirs.
const LEFT_OUT: u32 = 4;

/// After so many hints without an enter there is to be one: nothing else would tell a loop that is
/// busy with its tasks what has become ready meanwhile.
const HINTS: u32 = 4;

/// Why a moment is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    /// A request goes on.
    Request,
    /// A LINK_TIMEOUT over it expires.
    Guard,
}

/// The ring.
pub(crate) struct Soft {
    capacity: u32,
    submissions: VecDeque<Sqe>,
    completions: Completions,
    requests: Requests,
    descriptors: Descriptors,
    helpers: Helpers,
    timers: BTreeMap<(u64, Name), Timer>,
    /// Rests of chains, to be started.
    chains: VecDeque<VecDeque<Sqe>>,
    /// Requests that go on in the next pass.
    due: VecDeque<Name>,
    kit: Kit,
    left_out: u32,
    hints: u32,
}

impl Soft {
    /// # Errors
    ///
    /// No descriptors are left (EMFILE, ENFILE), or no memory.
    pub(crate) fn new(wanted: &Wanted) -> io::Result<Self> {
        Ok(Soft {
            capacity: wanted.submissions,
            submissions: VecDeque::with_capacity(wanted.submissions as usize),
            completions: Completions::new(wanted.completions as usize),
            requests: Requests::new(),
            descriptors: Descriptors::new(Epoll::new()?),
            helpers: Helpers::new(wanted.workers),
            timers: BTreeMap::new(),
            chains: VecDeque::new(),
            due: VecDeque::new(),
            kit: Kit::default(),
            left_out: 0,
            hints: 0,
        })
    }

    // What every turn calls is not inlined, so that the kernel's ring stays as small as it was
    // where both are possible.
    #[inline(never)]
    pub(super) fn push(&mut self, sqe: &Sqe) -> bool {
        let room = self.submissions.len() < self.capacity as usize;
        if room {
            self.submissions.push_back(*sqe);
        }
        room
    }

    #[inline(never)]
    pub(super) fn pop(&mut self) -> Option<Cqe> {
        self.completions.pop()
    }

    #[inline(never)]
    pub(super) fn capacity(&self) -> u32 {
        self.capacity
    }

    #[inline(never)]
    pub(super) fn unsubmitted(&self) -> u32 {
        self.submissions.len() as u32
    }

    /// As io_uring_enter(2).
    #[inline(never)]
    pub(super) fn enter(&mut self, wait: Wait) -> io::Result<()> {
        self.submit();
        if wait == Wait::Submit {
            return Ok(());
        }
        self.hints = 0;
        self.completions.flush();
        self.run_due();
        loop {
            self.take_results();
            self.expire();
            if !self.completions.is_empty() && self.left_out < LEFT_OUT {
                self.left_out += 1;
                return Ok(());
            }
            self.look(self.patience(wait))?;
            // What goes on now may make others ready that were not when we looked.
            let looks_again = !self.due.is_empty();
            self.run_due();
            if !self.completions.is_empty() || wait == Wait::Poll && !looks_again {
                return Ok(());
            }
            if let Wait::Until(deadline) = wait
                && deadline <= monotonic_ns()
            {
                return Err(io::Error::from_raw_os_error(libc::ETIME));
            }
        }
    }

    /// How long a look at the descriptors may take, in nanoseconds.
    fn patience(&self, wait: Wait) -> Option<u64> {
        let busy = !self.due.is_empty() || !self.chains.is_empty() || !self.completions.is_empty();
        let deadline = match wait {
            _ if busy => return Some(0),
            Wait::Submit | Wait::Poll => return Some(0),
            Wait::Until(deadline) => Some(deadline),
            Wait::Forever => None,
        };
        let timer = self.timers.keys().next().map(|(moment, _)| *moment);
        let first = [deadline, timer].into_iter().flatten().min();
        first.map(|moment| moment.saturating_sub(monotonic_ns()))
    }

    /// Waits for descriptors, and marks as due who waits for them.
    fn look(&mut self, most: Option<u64>) -> io::Result<()> {
        self.left_out = 0;
        let count = self.descriptors.epoll.wait(most)?;
        for index in 0..count {
            let (data, events) = self.descriptors.epoll.event(index);
            if data == BELL {
                self.take_results();
            } else if let Some(line) = self.descriptors.told(data) {
                let mut at = line.first;
                while at != NONE {
                    let next = self.requests.behind(at);
                    self.tell(at, events);
                    at = next;
                }
            }
        }
        self.expire();
        Ok(())
    }

    fn tell(&mut self, index: u32, events: u32) {
        let Some(request) = self.requests.get(index) else { return };
        if let requests::Place::Line { events: wanted } = request.place
            && events & (wanted | attempt::ALWAYS) != 0
        {
            self.make_due(index, events);
        }
    }

    #[inline(never)]
    pub(super) fn hints(&mut self) -> Hints {
        self.hints += 1;
        let may_have_come = self.hints > HINTS && self.requests.count() > 0;
        let taskrun = may_have_come
            || !self.due.is_empty()
            || !self.chains.is_empty()
            || self.helpers.has_results();
        let completions = !self.completions.is_empty();
        Hints { taskrun, overflow: self.completions.overflowed(), completions }
    }

    /// The hints of one who has nothing else to do than to look.
    pub(super) fn glance(&mut self) -> Hints {
        // An error comes again where there is somebody to tell.
        let _ = self.look(Some(0));
        self.hints = 0;
        self.hints()
    }

    /// Registers a ring of provided buffers.
    ///
    /// # Safety
    ///
    /// Page-aligned memory of `entries` descriptors, changed by this thread alone; it and the
    /// buffers put into it stay mapped until this ring is closed.
    pub(super) unsafe fn register_buffers(
        &mut self,
        address: u64,
        entries: u16,
        group: u16,
    ) -> Result<(), Errno> {
        // SAFETY: handed on.
        unsafe { self.kit.groups.register(address, entries, group) }
    }

    pub(super) fn register_buffer_table(&mut self, places: u16) -> io::Result<()> {
        self.kit.tables.make_buffers(places).map_err(io::Error::from_raw_os_error)
    }

    pub(super) fn set_buffer(&mut self, place: u16, address: u64, length: u32) -> io::Result<()> {
        self.kit.tables.set_buffer(place, address, length).map_err(io::Error::from_raw_os_error)
    }

    pub(super) fn register_file_table(&mut self, places: u16) -> io::Result<()> {
        self.kit.tables.make_files(places).map_err(io::Error::from_raw_os_error)
    }

    /// Whether there is an operation.
    pub(super) fn supports(&self, opcode: u8) -> bool {
        opcode != opcode::MSG_RING && opcode::name(opcode) != opcode::UNKNOWN
    }
}

impl fmt::Debug for Soft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requests: Vec<_> = self.requests.iter().map(|(_, request)| request.sqe).collect();
        f.debug_struct("Soft")
            .field("unsubmitted", &self.submissions.len())
            .field("in_flight", &requests)
            .finish_non_exhaustive()
    }
}

impl Drop for Soft {
    fn drop(&mut self) {
        // A helper may still use what was closed meanwhile: then it stays open, as the memory that
        // the helper uses stays (see `helpers.rs`).
        if !self.helpers.busy() {
            self.descriptors.close_rest();
        }
        self.kit.tables.take_files().for_each(sys::close);
    }
}
