//! Signals: a handler that counts, and rings.
//!
//! Not signalfd(2): that needs the signal blocked in *every* thread of the process, those made
//! before the loop too, and a thread that has it unblocked takes it away with the default action;
//! a blocked mask is also handed to the programs the process starts. A handler has neither
//! trouble.
//!
//! # Protocol
//!
//! The handler, in whatever thread the kernel picked, adds one to the count of its signal
//! (`Release`) and calls the ring function, which notifies every loop that listens. A listener
//! keeps the count it saw last; that the present one differs is its news (`Acquire`). Counts only
//! grow, so no listener takes a signal from another. A loop listens *before* it reads the count
//! for the first time, and reads it again after every notice: a signal comes before such a reading,
//! which sees it, or after it, and then its notice is still to come. What the handler calls is
//! async-signal-safe (signal-safety(7)): atomics, and write(2) on an eventfd.

use std::collections::BTreeMap;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Signals are numbered from 1 to 64 (signal(7)).
const MOST: usize = 64;

static COUNTS: [AtomicU32; MOST + 1] = [const { AtomicU32::new(0) }; MOST + 1];
static TOTAL: AtomicU32 = AtomicU32::new(0);
static RING: OnceLock<fn()> = OnceLock::new();

/// Whether a second SIGINT that comes while nobody has seen the first ends the process.
static FORCE: AtomicBool = AtomicBool::new(false);
static INTERRUPTS_SEEN: AtomicU32 = AtomicU32::new(0);

/// What was installed before us, and how many listen to ours.
struct Installed {
    before: libc::sigaction,
    users: usize,
}

static INSTALLED: Mutex<BTreeMap<i32, Installed>> = Mutex::new(BTreeMap::new());

fn installed() -> MutexGuard<'static, BTreeMap<i32, Installed>> {
    INSTALLED.lock().unwrap_or_else(PoisonError::into_inner)
}

extern "C" fn handle(number: libc::c_int) {
    // SAFETY: the address of this thread's errno, which the code we interrupt may be about to read.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    let count = COUNTS[number as usize].fetch_add(1, Ordering::Release) + 1;
    TOTAL.fetch_add(1, Ordering::Release);
    if number == libc::SIGINT
        && FORCE.load(Ordering::Relaxed)
        && count.wrapping_sub(INTERRUPTS_SEEN.load(Ordering::Relaxed)) >= 2
    {
        // SAFETY: both are async-signal-safe. The signal is blocked while we are in its handler,
        // and ends the process when we return.
        unsafe {
            libc::signal(number, libc::SIG_DFL);
            libc::raise(number);
        }
    }
    if let Some(ring) = RING.get() {
        ring();
    }
    // SAFETY: as above.
    unsafe { *errno = before };
}

/// How often the signal has come so far.
pub(crate) fn count(number: i32) -> u32 {
    COUNTS[number as usize].load(Ordering::Acquire)
}

/// How often any signal that is listened to has come so far.
pub(crate) fn total() -> u32 {
    TOTAL.load(Ordering::Acquire)
}

/// While it lives, two SIGINTs of which nobody has seen the first end the process as one would
/// without a handler: a loop that stands still cannot be asked.
#[derive(Debug)]
pub(crate) struct ForceOnSecond;

impl ForceOnSecond {
    pub(crate) fn new() -> Self {
        ForceOnSecond::seen();
        FORCE.store(true, Ordering::Relaxed);
        ForceOnSecond
    }

    /// The interrupts so far have been seen.
    pub(crate) fn seen() {
        INTERRUPTS_SEEN.store(count(libc::SIGINT), Ordering::Relaxed);
    }
}

impl Drop for ForceOnSecond {
    fn drop(&mut self) {
        FORCE.store(false, Ordering::Relaxed);
    }
}

/// While it lives, our handler is installed for a signal; then what was there before comes back.
#[derive(Debug)]
pub(crate) struct Listening {
    number: i32,
}

impl Listening {
    /// Installs the handler, unless it is; `ring` is called by it, and the same for all.
    pub(crate) fn to(number: i32, ring: fn()) -> io::Result<Self> {
        check(number)?;
        RING.get_or_init(|| ring);
        let mut installed = installed();
        if let Some(entry) = installed.get_mut(&number) {
            entry.users += 1;
        } else {
            let before = install(number)?;
            installed.insert(number, Installed { before, users: 1 });
        }
        Ok(Listening { number })
    }

    pub(crate) fn number(&self) -> i32 {
        self.number
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut installed = installed();
        let Some(entry) = installed.get_mut(&self.number) else { return };
        entry.users -= 1;
        if entry.users == 0 {
            // SAFETY: an action that the kernel gave us for this very signal.
            unsafe { libc::sigaction(self.number, &raw const entry.before, ptr::null_mut()) };
            installed.remove(&self.number);
        }
    }
}

/// Refuses what cannot be handled, and what must not be: after these the code that failed would
/// be run again.
fn check(number: i32) -> io::Result<()> {
    use libc::{SIGBUS, SIGFPE, SIGILL, SIGKILL, SIGSEGV, SIGSTOP};
    let refuse = |why: &str| {
        let message = format!("signal {number} cannot be listened to: {why}");
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    };
    match number {
        SIGKILL | SIGSTOP => refuse("the kernel allows no handler for it"),
        SIGSEGV | SIGBUS | SIGILL | SIGFPE => refuse("it reports a fault of this very program"),
        1..=64 => Ok(()),
        _ => refuse("signals are numbered from 1 to 64"),
    }
}

fn install(number: i32) -> io::Result<libc::sigaction> {
    // SAFETY: all zeroes are a valid sigaction: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handle as extern "C" fn(libc::c_int) as usize;
    // Calls that the signal interrupts go on by themselves.
    action.sa_flags = libc::SA_RESTART;
    let mut before = MaybeUninit::uninit();
    // SAFETY: both point to what the call expects; `handle` does only what a handler may.
    if unsafe { libc::sigaction(number, &raw const action, before.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: written by the call, which succeeded.
    Ok(unsafe { before.assume_init() })
}

/// Whether Ctrl+C would end this process, and this is the thread that `main` runs on.
pub(crate) fn interrupt_is_ours() -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: only reads the present action, into room for one.
    let result = unsafe { libc::sigaction(libc::SIGINT, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: written by the call if it succeeded.
    let default = result == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_DFL;
    // SAFETY: neither has any requirement.
    default && unsafe { libc::gettid() == libc::getpid() }
}
