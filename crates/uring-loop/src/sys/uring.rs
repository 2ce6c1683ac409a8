//! Setting a ring up by trying, entering it, and registering things with it.
//!
//! The ladder: the best set of flags is tried first, then the same less what is new. A version
//! string is never asked, since distributions carry features back and take them away.

use std::cell::OnceCell;
use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;

use io_uring::{IoUring, Probe};

use super::clock::Timespec;
use super::older::Older;
use super::opcode;
use super::probe::Refused;
use super::{check, probe};

/// A rung of the ladder: which set-up flags the kernel took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// `COOP_TASKRUN`: 5.19 and later.
    CoopTaskrun,
    /// `SINGLE_ISSUER | DEFER_TASKRUN`: 6.1 and later. Completions arrive only when the loop
    /// enters the kernel, so nothing interrupts the tasks.
    DeferTaskrun,
    /// The same and `NO_SQARRAY`: 6.6 and later. One indirection less per submission.
    NoSqarray,
}

impl Rung {
    /// Best first.
    pub(crate) const LADDER: [Rung; 3] = [Rung::NoSqarray, Rung::DeferTaskrun, Rung::CoopTaskrun];

    fn build(self, entries: u32, completions: u32) -> io::Result<IoUring> {
        let mut builder = IoUring::builder();
        builder.setup_clamp().setup_cqsize(completions).setup_submit_all().setup_taskrun_flag();
        builder.dontfork();
        match self {
            Rung::NoSqarray => {
                builder.setup_r_disabled().setup_single_issuer().setup_defer_taskrun();
                builder.setup_no_sqarray();
            }
            Rung::DeferTaskrun => {
                builder.setup_r_disabled().setup_single_issuer().setup_defer_taskrun();
            }
            Rung::CoopTaskrun => {
                builder.setup_r_disabled().setup_coop_taskrun();
            }
        }
        builder.build(entries)
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rung::NoSqarray => "SINGLE_ISSUER + DEFER_TASKRUN + NO_SQARRAY (6.6)",
            Rung::DeferTaskrun => "SINGLE_ISSUER + DEFER_TASKRUN (6.1)",
            Rung::CoopTaskrun => "COOP_TASKRUN (5.19)",
        })
    }
}

/// How the set-up went: the rung taken, and why the higher ones were not.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The flags the kernel took.
    pub rung: Rung,
    /// Entries of the submission queue, as the kernel gave them.
    pub submissions: u32,
    /// Entries of the completion queue, as the kernel gave them.
    pub completions: u32,
    /// Whether the ring's descriptor is registered (5.18), which saves a look-up per enter.
    pub registered_descriptor: bool,
    /// Whether a wait takes an absolute deadline (`IORING_ENTER_ABS_TIMER`, 6.12).
    pub absolute_deadlines: bool,
    /// Whether io-wq's workers could be bounded and pinned with the loop (5.15 and 5.14).
    pub bounded_workers: bool,
    /// The rungs above that were refused, with the error.
    pub refused: Vec<(Rung, String)>,
}

/// What this machine grants a loop, found out by making a ring and throwing it away.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Examination {
    /// How the set-up went.
    pub setup: Setup,
    /// The opcodes that this crate uses and the kernel lacks.
    pub missing: Vec<&'static str>,
}

/// Tries to set a ring up, as [`EventLoop::new`](crate::EventLoop::new) would.
///
/// # Errors
///
/// The refusal, with its cause and fix.
pub fn examine() -> io::Result<Examination> {
    let ring = Uring::new(&Wanted::default())?;
    let missing = ring.missing(opcode::USED)?;
    Ok(Examination {
        setup: ring.setup.clone(),
        missing: missing.into_iter().map(opcode::name).collect(),
    })
}

/// What the caller wants of a ring.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) submissions: u32,
    pub(crate) completions: u32,
    /// Start no higher than here; for tests of the lower rungs.
    pub(crate) top: Rung,
    /// Bounds for io-wq: workers for regular files, and for everything else.
    pub(crate) workers: [u32; 2],
}

impl Default for Wanted {
    fn default() -> Self {
        Wanted { submissions: 1024, completions: 4096, top: Rung::NoSqarray, workers: [4, 8] }
    }
}

impl Wanted {
    /// Below this, shorter queues are no help.
    const SHORTEST: u32 = 32;

    /// A quarter of the queues; `false` if they are short already.
    fn shrink(&mut self) -> bool {
        if self.submissions / 4 < Self::SHORTEST {
            return false;
        }
        self.submissions /= 4;
        self.completions = (self.completions / 4).max(self.submissions);
        true
    }
}

mod enter_flags {
    pub(super) const GETEVENTS: u32 = 1 << 0;
    pub(super) const EXT_ARG: u32 = 1 << 3;
    pub(super) const REGISTERED_RING: u32 = 1 << 4;
    pub(super) const ABS_TIMER: u32 = 1 << 5;
    pub(super) const NO_IOWAIT: u32 = 1 << 7;
}

const REGISTER_RING_FDS: u32 = 20;
const UNREGISTER_RING_FDS: u32 = 21;

/// `struct io_uring_getevents_arg`.
#[repr(C)]
struct GetEventsArg {
    sigmask: u64,
    sigmask_size: u32,
    min_wait_usec: u32,
    timespec: u64,
}

/// `struct io_uring_rsrc_update`.
#[repr(C)]
struct ResourceUpdate {
    offset: u32,
    reserved: u32,
    data: u64,
}

/// How long an enter may wait for completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all, and leave deferred completion work alone.
    Submit,
    /// Not at all, but run the completion work that is due.
    Poll,
    /// Until something completes.
    Forever,
    /// Until something completes or `CLOCK_MONOTONIC` reaches this many nanoseconds.
    Until(u64),
}

/// A ring of the kernel. Owned and entered by one thread (`SINGLE_ISSUER`).
pub(crate) struct Uring {
    pub(crate) ring: IoUring,
    pub(crate) setup: Setup,
    /// The registered index, or the descriptor.
    enter_fd: i32,
    enter_flags: u32,
    /// What the kernel knows, once somebody has asked.
    probe: OnceCell<Option<Probe>>,
    /// What the kernel is taken for in a test.
    pub(crate) older: Option<Older>,
}

impl Uring {
    /// Goes down the ladder until the kernel takes a rung. If it has no memory for the queues, they
    /// are tried at a quarter of their sizes, and again.
    ///
    /// # Errors
    ///
    /// A refusal that no lower rung can mend (EPERM, ENOMEM, ENOSYS, EMFILE …) ends the search;
    /// the error names the likely cause and the fix, as [`Refused`].
    pub(crate) fn new(wanted: &Wanted) -> io::Result<Self> {
        let mut smaller = wanted.clone();
        loop {
            match Self::climb(&smaller) {
                Err(error) if error.raw_os_error() == Some(libc::ENOMEM) && smaller.shrink() => {}
                Err(error) => {
                    let ours = error.raw_os_error().is_none();
                    return Err(if ours { error } else { Refused::ring(&error).into() });
                }
                Ok(ring) => return Ok(ring),
            }
        }
    }

    /// The same with the sizes that are wanted, and the kernel's own errors.
    fn climb(wanted: &Wanted) -> io::Result<Self> {
        let mut refused = Vec::new();
        let older = Older::wanted()?;
        for rung in Rung::LADDER.into_iter().filter(|rung| *rung <= wanted.top) {
            if older.is_some_and(|older| !older.takes(rung)) {
                refused.push((rung, "as URING_LOOP_KERNEL".into()));
                continue;
            }
            match rung.build(wanted.submissions, wanted.completions) {
                Ok(ring) => return Self::finish(ring, rung, refused, wanted),
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                    refused.push((rung, error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::from_raw_os_error(libc::EINVAL))
    }

    fn finish(
        ring: IoUring,
        rung: Rung,
        refused: Vec<(Rung, String)>,
        wanted: &Wanted,
    ) -> io::Result<Self> {
        let params = ring.params();
        if !params.is_feature_nodrop() || !params.is_feature_ext_arg() {
            return Err(Refused::old("IORING_FEAT_NODROP and IORING_FEAT_EXT_ARG (5.11)").into());
        }
        let mut flags = 0;
        if params.is_feature_no_iowait() {
            flags |= enter_flags::NO_IOWAIT;
        }
        let setup = Setup {
            rung,
            submissions: params.sq_entries(),
            completions: params.cq_entries(),
            registered_descriptor: false,
            absolute_deadlines: false,
            bounded_workers: false,
            refused,
        };
        let enter_fd = ring.as_raw_fd();
        let probe = OnceCell::new();
        let older = Older::wanted()?;
        let mut ring = Uring { ring, setup, enter_fd, enter_flags: flags, probe, older };
        ring.ring.submitter().register_enable_rings()?;
        ring.setup.bounded_workers = ring.bound_workers(wanted.workers);
        ring.register_descriptor();
        let absolute = ring.probe_absolute_deadlines()?;
        ring.setup.absolute_deadlines = absolute && older.is_none_or(Older::has_absolute_deadlines);
        Ok(ring)
    }

    /// Without bounds io-wq may start a thread per blocked request, on any core, and undo "one
    /// loop per core".
    fn bound_workers(&self, workers: [u32; 2]) -> bool {
        let submitter = self.ring.submitter();
        let bounded = submitter.register_iowq_max_workers(&mut { workers }).is_ok();
        let Ok(mask) = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)) else {
            return false;
        };
        // SAFETY: cpu_set_t is plain data; all zeroes is the empty set.
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        for cpu in (0..nix::sched::CpuSet::count()).filter(|cpu| mask.is_set(*cpu) == Ok(true)) {
            // SAFETY: `cpu` is below CpuSet::count(), which is the size of cpu_set_t in bits.
            unsafe { libc::CPU_SET(cpu, &mut set) };
        }
        bounded && submitter.register_iowq_aff(&set).is_ok()
    }

    /// `IORING_REGISTER_RING_FDS` (5.18). A failure costs a descriptor look-up per enter, no more.
    fn register_descriptor(&mut self) {
        let mut update =
            ResourceUpdate { offset: u32::MAX, reserved: 0, data: self.ring.as_raw_fd() as u64 };
        // SAFETY: the argument is one io_uring_rsrc_update that outlives the call, as this
        // registration asks (io_uring_register(2)).
        let result = unsafe { self.register(REGISTER_RING_FDS, (&raw mut update).cast(), 1) };
        if matches!(result, Ok(1)) {
            self.enter_fd = update.offset as i32;
            self.enter_flags |= enter_flags::REGISTERED_RING;
            self.setup.registered_descriptor = true;
        }
    }

    /// An enter that waits until a deadline long past: ETIME if the flag is known, EINVAL if not.
    /// A filter that lets rings be made, but not entered, is met here.
    fn probe_absolute_deadlines(&mut self) -> io::Result<bool> {
        self.setup.absolute_deadlines = true;
        match self.enter(0, Wait::Until(1)) {
            Err(error) => match error.raw_os_error() {
                Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => Err(error),
                errno => Ok(errno == Some(libc::ETIME)),
            },
            Ok(_) => Ok(false),
        }
    }

    /// `io_uring_register(2)` with an opcode the `io-uring` crate doesn't wrap.
    ///
    /// # Safety
    ///
    /// `arg` and `count` must be what the opcode asks for.
    unsafe fn register(&self, opcode: u32, arg: *mut libc::c_void, count: u32) -> io::Result<u32> {
        // SAFETY: the caller's promise; the descriptor is this ring's.
        check(unsafe {
            libc::syscall(libc::SYS_io_uring_register, self.ring.as_raw_fd(), opcode, arg, count)
        })
    }

    /// `io_uring_enter(2)`: hands `submissions` entries to the kernel and waits as told.
    /// Answers how many entries it consumed.
    pub(crate) fn enter(&self, submissions: u32, wait: Wait) -> io::Result<u32> {
        match wait {
            Wait::Submit => self.enter_raw(submissions, 0, 0, None),
            Wait::Poll => self.enter_raw(submissions, 0, enter_flags::GETEVENTS, None),
            Wait::Forever => self.enter_raw(submissions, 1, enter_flags::GETEVENTS, None),
            Wait::Until(deadline) if self.setup.absolute_deadlines => {
                let flags = enter_flags::GETEVENTS | enter_flags::ABS_TIMER;
                self.enter_raw(submissions, 1, flags, Some(Timespec::from_ns(deadline)))
            }
            Wait::Until(deadline) => {
                let left = deadline.saturating_sub(super::clock::monotonic_ns());
                let timeout = Timespec::from_ns(left);
                self.enter_raw(submissions, 1, enter_flags::GETEVENTS, Some(timeout))
            }
        }
    }

    fn enter_raw(
        &self,
        submissions: u32,
        completions: u32,
        flags: u32,
        timeout: Option<Timespec>,
    ) -> io::Result<u32> {
        let argument = GetEventsArg {
            sigmask: 0,
            sigmask_size: 0,
            min_wait_usec: 0,
            timespec: timeout.as_ref().map_or(0, |timeout| ptr::from_ref(timeout) as u64),
        };
        let (pointer, size, extended) = match timeout {
            Some(_) => (&raw const argument, size_of::<GetEventsArg>(), enter_flags::EXT_ARG),
            None => (ptr::null(), 0, 0),
        };
        // SAFETY: `argument` and the timespec it points to outlive the call. The entries between
        // the published head and tail were pushed under the promise of `Op`: what they point to
        // stays valid until their terminal completion.
        check(unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.enter_fd,
                submissions,
                completions,
                flags | extended | self.enter_flags,
                pointer,
                size,
            )
        })
    }

    /// Which of `opcodes` this kernel lacks (`IORING_REGISTER_PROBE`, 5.6).
    fn missing(&self, opcodes: &[u8]) -> io::Result<Vec<u8>> {
        let mut probe = Probe::new();
        self.ring.submitter().register_probe(&mut probe)?;
        Ok(opcodes.iter().copied().filter(|opcode| !probe.is_supported(*opcode)).collect())
    }

    /// Whether this kernel has an opcode. One that does not even answer has none that is asked for.
    pub(crate) fn supports(&self, opcode: u8) -> bool {
        let probe = self.probe.get_or_init(|| {
            let mut probe = Probe::new();
            self.ring.submitter().register_probe(&mut probe).is_ok().then_some(probe)
        });
        self.older.is_none_or(|older| older.knows(opcode))
            && probe.as_ref().is_some_and(|probe| probe.is_supported(opcode))
    }

    /// Registers a ring of provided buffers (`IORING_REGISTER_PBUF_RING`, 5.19).
    ///
    /// # Safety
    ///
    /// `address` must be page-aligned memory for `entries` (a power of two) `io_uring_buf`s that
    /// stays mapped until the group is unregistered or the ring is closed.
    pub(crate) unsafe fn register_buffers(
        &self,
        address: u64,
        entries: u16,
        group: u16,
    ) -> io::Result<()> {
        // SAFETY: the caller's promise is the callee's requirement.
        unsafe { self.ring.submitter().register_buf_ring_with_flags(address, entries, group, 0) }
            .map_err(|error| probe::Refused::buffers(&error, entries).into())
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        if !self.setup.registered_descriptor {
            return;
        }
        // The table of registered rings belongs to the thread and has 16 places: a loop that is
        // closed must give its place back.
        let mut update = ResourceUpdate { offset: self.enter_fd as u32, reserved: 0, data: 0 };
        // SAFETY: as in `register_descriptor`.
        let _ = unsafe { self.register(UNREGISTER_RING_FDS, (&raw mut update).cast(), 1) };
    }
}

impl fmt::Debug for Uring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uring")
            .field("fd", &self.ring.as_raw_fd())
            .field("setup", &self.setup)
            .finish()
    }
}
