//! Which CPU each shard gets, and pinning to it.

use std::fmt;
use std::io;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

/// The CPUs this thread may run on, lowest first. Threads inherit them from who starts them; a
/// pinned thread sees only its own.
pub(crate) fn inherited() -> io::Result<Vec<usize>> {
    let cpus = core_affinity::get_core_ids().unwrap_or_default();
    if cpus.is_empty() {
        return Err(io::Error::other(
            "reading the CPU affinity of this thread: sched_getaffinity(2) failed, as it does on \
             kernels built for more than 1024 CPUs",
        ));
    }
    Ok(cpus.into_iter().map(|cpu| cpu.id).collect())
}

/// Where the CPUs of shards are taken from, in order.
pub(crate) enum From<'a> {
    /// Those of the affinity mask.
    Mask(&'a [usize]),
    /// One for each core in it.
    Cores(&'a [usize]),
    /// A list that somebody made; one may stand twice.
    List(&'a [usize]),
}

impl From<'_> {
    fn cpus(&self) -> &[usize] {
        let (From::Mask(cpus) | From::Cores(cpus) | From::List(cpus)) = self;
        cpus
    }
}

impl fmt::Display for From<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, unit) = match self {
            From::Mask(_) => ("the affinity mask", "CPU"),
            From::Cores(_) => ("the affinity mask", "core"),
            From::List(_) => ("the list", "CPU"),
        };
        let several = if self.cpus().len() == 1 { "" } else { "s" };
        write!(f, "{what} has {} {unit}{several} ({})", self.cpus().len(), List(self.cpus()))
    }
}

/// The CPU of each shard: the first `count`, or else all.
pub(crate) fn choose(
    mask: &[usize],
    from: &From<'_>,
    count: Option<usize>,
) -> io::Result<Vec<usize>> {
    let bad = |what: String| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    let count = count.unwrap_or(from.cpus().len());
    if count == 0 {
        return bad("a group of 0 shards: ask for at least one".into());
    }
    if count > from.cpus().len() {
        return bad(format!(
            "{count} shards, but {from}: ask for fewer, or name the CPU of every shard with \
             `cpus`, where one may stand twice"
        ));
    }
    for (shard, cpu) in from.cpus()[..count].iter().enumerate() {
        if !mask.contains(cpu) {
            return bad(format!(
                "shard {shard} cannot be pinned to CPU {cpu}: it is not in the affinity mask that \
                 this thread inherited (CPUs {}); choose among these, or widen the mask (taskset, \
                 cpuset of the container)",
                List(mask)
            ));
        }
    }
    Ok(from.cpus()[..count].to_vec())
}

/// Pins the calling thread, and makes sure of it.
pub(crate) fn pin(cpu: usize) -> io::Result<()> {
    let taken = core_affinity::set_for_current(core_affinity::CoreId { id: cpu });
    let now = current()?;
    if taken && now == [cpu] {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "pinning the thread to CPU {cpu}: it may still run on CPUs {}; the CPU may have gone \
         offline or left the cpuset meanwhile, or a seccomp filter forbids sched_setaffinity(2)",
        List(&now)
    )))
}

/// The mask of the calling thread, by another way than the one that set it.
fn current() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|cpu| set.is_set(*cpu) == Ok(true)).collect())
}

/// Prints CPUs as the kernel does: `0-3,8`.
pub(crate) struct List<'a>(pub(crate) &'a [usize]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(&first) = rest.first() {
            let run = rest.iter().zip(first..).take_while(|(cpu, next)| **cpu == *next).count();
            if rest.len() < self.0.len() {
                f.write_str(",")?;
            }
            match run {
                1 => write!(f, "{first}")?,
                _ => write!(f, "{first}-{}", first + run - 1)?,
            }
            rest = &rest[run..];
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(mask: &[usize], list: &[usize], count: Option<usize>) -> io::Result<Vec<usize>> {
        choose(mask, &From::List(list), count)
    }

    #[test]
    fn a_list_is_kept_in_its_order_and_may_repeat() {
        assert_eq!(chosen(&[0, 1], &[1, 0, 1], None).expect("fits"), [1, 0, 1]);
        assert_eq!(chosen(&[0, 1], &[1, 0, 1], Some(1)).expect("fits"), [1]);
        assert_eq!(choose(&[1, 3, 4], &From::Mask(&[1, 3, 4]), Some(2)).expect("fits"), [1, 3]);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_cause_and_fix() {
        let refused = |list, count| chosen(&[0, 1], list, count).expect_err("refused").to_string();
        let error = refused(&[1, 7], None);
        assert!(error.contains("shard 1 cannot be pinned to CPU 7"), "{error}");
        assert!(error.contains("CPUs 0-1") && error.contains("taskset"), "{error}");
        let error = refused(&[0], Some(3));
        assert!(error.contains("3 shards, but the list has 1 CPU (0)"), "{error}");
        let error = choose(&[0, 1], &From::Mask(&[0, 1]), Some(3)).expect_err("refused");
        assert!(error.to_string().contains("the affinity mask has 2 CPUs (0-1)"), "{error}");
        assert!(refused(&[], None).contains("0 shards"));
        // Beyond any mask of the kernel's default size.
        assert!(refused(&[1 << 40], None).contains("CPU 1099511627776"));
    }

    #[test]
    fn cpus_are_printed_as_the_kernel_does() {
        let shown = |cpus: &[usize]| List(cpus).to_string();
        assert_eq!(shown(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
        assert_eq!(shown(&[3]), "3");
        assert_eq!(shown(&[1, 1, 0]), "1,1,0");
        assert_eq!(shown(&[]), "");
    }
}
