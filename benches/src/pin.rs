//! Pinning: which core a thread runs on, and how many files a process may open.

use std::io;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;

/// Binds the calling thread, and every thread it starts later, to one core.
///
/// # Errors
///
/// When the core does not exist or the affinity mask of the container forbids it.
pub fn to_core(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set)).map_err(|e| {
        io::Error::new(io::Error::from(e).kind(), format!("pinning to core {core}: {e}"))
    })
}

/// Raises the soft limit of open files to the hard one: each connection is a file on both sides.
///
/// # Errors
///
/// When `getrlimit` or `setrlimit` refuses.
pub fn raise_file_limit() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}
