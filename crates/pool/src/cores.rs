//! Which cores workers run on when they are to keep off some.

use std::io;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The calling thread.
const HERE: Pid = Pid::from_raw(0);

/// The cores the calling thread may use, without `avoided`.
///
/// # Errors
///
/// `InvalidInput` if none is left; what the system says.
pub(crate) fn without(avoided: &[usize]) -> io::Result<Vec<usize>> {
    let allowed = sched_getaffinity(HERE)?;
    let usable = |core: &usize| allowed.is_set(*core).unwrap_or(false) && !avoided.contains(core);
    let left: Vec<usize> = (0..CpuSet::count()).filter(usable).collect();
    if left.is_empty() {
        let text = "keeping off the cores to avoid leaves none that this process may use";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(left)
}

/// Has the calling thread run on these only.
pub(crate) fn stay_on(cores: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core)?;
    }
    Ok(sched_setaffinity(HERE, &set)?)
}
