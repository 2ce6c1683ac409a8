//! What processors this process may use, and how they belong together: threads of a core, cores of
//! a package, nodes of memory, and the CPU time that control groups grant.
//!
//! Reading is pure: a tree of files in, a value out. The files are those of the kernel's
//! Documentation/admin-guide/cputopology and Documentation/ABI/stable/sysfs-devices-node; what is
//! not there, as in many containers, is taken for the plainest machine: each CPU a core of its own,
//! one package, one node. Which CPUs get shards is decided in [`placement`].

mod files;
pub(crate) mod placement;
mod quota;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::Path;

pub use files::cpu_list;
use files::{Files, field};
pub use placement::Placement;
pub use quota::Quota;

use crate::cpus;

const CPUS: &str = "/sys/devices/system/cpu";
const NODES: &str = "/sys/devices/system/node";

/// The processors this thread may use.
///
/// # Examples
///
/// ```
/// use shard::{Placement, Topology};
///
/// let topology = Topology::this()?;
/// println!("{topology}");
/// // One shard on each core, however many threads that has.
/// let cpus = topology.place(&Placement::Cores, None)?;
/// assert!(!cpus.is_empty() && cpus.len() <= topology.cpus().len());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Topology {
    cpus: Vec<Cpu>,
    quota: Option<Quota>,
}

/// One logical CPU, and where it is.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Cpu {
    /// Its number.
    pub id: usize,
    /// Its core: the lowest number among the threads of that core, also of those we may not use.
    pub core: usize,
    /// The socket it is in.
    pub package: usize,
    /// The node of memory that is near to it.
    pub node: usize,
    /// Whether it is one of the slow cores of a machine that has two kinds.
    pub efficient: bool,
}

impl Topology {
    /// That of the calling thread. A pinned thread sees only its own CPU.
    ///
    /// # Errors
    ///
    /// If the affinity mask cannot be read.
    pub fn this() -> io::Result<Self> {
        Ok(Self::of(Path::new("/"), &cpus::inherited()?))
    }

    /// That of a tree of files which has `proc` and `sys` as the kernel shows them to a thread. The
    /// mask is the `Cpus_allowed_list` of `/proc/thread-self/status` or `/proc/self/status` there.
    ///
    /// # Errors
    ///
    /// `NotFound` if neither file shows a mask.
    pub fn read(root: &Path) -> io::Result<Self> {
        let files = Files(root);
        let mask = ["thread-self", "self"].iter().find_map(|name| {
            let status = files.read(&format!("/proc/{name}/status"))?;
            let mask = cpu_list(field(&status, "Cpus_allowed_list")?);
            (!mask.is_empty()).then_some(mask)
        });
        let mask = mask.ok_or_else(|| {
            let text = "reading the topology: /proc/self/status shows no Cpus_allowed_list; is \
                        proc(5) mounted?";
            io::Error::new(io::ErrorKind::NotFound, text)
        })?;
        Ok(Self::of(root, &mask.into_iter().collect::<Vec<_>>()))
    }

    /// That of the CPUs of a mask.
    pub(crate) fn of(root: &Path, mask: &[usize]) -> Self {
        let files = Files(root);
        let nodes = nodes(&files);
        let slow = slow(&files, mask);
        let cpu = |id: usize| {
            let topology = |what: &str| files.read(&format!("{CPUS}/cpu{id}/topology/{what}"));
            // The second name is the older one, the same list.
            let threads = topology("core_cpus_list").or_else(|| topology("thread_siblings_list"));
            let first = threads.and_then(|list| cpu_list(&list).first().copied());
            let package = topology("physical_package_id").and_then(|id| id.parse().ok());
            let node = nodes.iter().find(|(_, cpus)| cpus.contains(&id)).map(|(node, _)| *node);
            Cpu {
                id,
                core: first.unwrap_or(id),
                // Some machines say -1: they do not know.
                package: package.unwrap_or(0),
                node: node.unwrap_or(0),
                efficient: slow.contains(&id),
            }
        };
        Topology { cpus: mask.iter().copied().map(cpu).collect(), quota: quota::tightest(&files) }
    }

    /// The CPUs of the affinity mask, lowest first.
    pub fn cpus(&self) -> &[Cpu] {
        &self.cpus
    }

    /// The tightest limit of CPU time of our control groups.
    pub fn quota(&self) -> Option<&Quota> {
        self.quota.as_ref()
    }

    /// How many CPUs can be busy at a time: those of the mask, or fewer by quota, rounded up.
    pub fn parallelism(&self) -> usize {
        let granted = self.quota.as_ref().map_or(usize::MAX, |quota| quota.cpus.ceil() as usize);
        self.cpus.len().min(granted.max(1))
    }

    fn distinct(&self, part: impl Fn(&Cpu) -> usize) -> usize {
        self.cpus.iter().map(part).collect::<BTreeSet<_>>().len()
    }
}

/// The nodes that have CPUs, and which.
fn nodes(files: &Files<'_>) -> Vec<(usize, BTreeSet<usize>)> {
    let online = files.read(&format!("{NODES}/online")).unwrap_or_default();
    let cpus = |node| files.read(&format!("{NODES}/node{node}/cpulist"));
    cpu_list(&online).into_iter().filter_map(|node| Some((node, cpu_list(&cpus(node)?)))).collect()
}

/// The slow ones among CPUs of two kinds: as x86 names the units that count events on them
/// (`cpu_atom`), or by what Arm calls their capacity.
fn slow(files: &Files<'_>, mask: &[usize]) -> BTreeSet<usize> {
    if let Some(atoms) = files.read("/sys/devices/cpu_atom/cpus") {
        return cpu_list(&atoms);
    }
    let capacity = |cpu: &usize| -> Option<u32> {
        files.read(&format!("{CPUS}/cpu{cpu}/cpu_capacity"))?.parse().ok()
    };
    let most = mask.iter().filter_map(capacity).max();
    let below = |cpu: &&usize| capacity(cpu) < most;
    mask.iter().filter(below).copied().collect()
}

/// In one line: `32 CPUs (0-31): 16 cores, 2 packages, 2 nodes; quota 1.50 CPUs`.
impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.cpus.iter().map(|cpu| cpu.id).collect();
        let several = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            _ => format!("{count} {what}s"),
        };
        write!(
            f,
            "{} ({}): {}, {}, {}",
            several(ids.len(), "CPU"),
            cpus::List(&ids),
            several(self.distinct(|cpu| cpu.core), "core"),
            several(self.distinct(|cpu| cpu.package), "package"),
            several(self.distinct(|cpu| cpu.node), "node"),
        )?;
        let slow = self.cpus.iter().filter(|cpu| cpu.efficient).count();
        if slow > 0 {
            write!(f, ", {slow} CPUs on slow cores")?;
        }
        match &self.quota {
            Some(quota) => write!(f, "; quota {:.2} CPUs", quota.cpus),
            None => Ok(()),
        }
    }
}
