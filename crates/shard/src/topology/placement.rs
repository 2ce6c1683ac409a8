//! Which CPUs get shards, and in which order.

use std::io;

use super::{Cpu, Topology};
use crate::cpus::{self, From};

/// Which CPUs get shards, and in which order: of a smaller number of shards the first CPUs are
/// taken. No policy takes more than the CPU time that control groups grant
/// ([`Topology::parallelism`]), unless the number or the list is given.
///
/// The examples are of a machine with two packages of two cores of two threads, where CPUs 0 to 3
/// are the first threads of the cores, and 4 to 7 the second ones.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Placement {
    /// Every CPU, lowest first: 0, 1, 2, 3, 4, 5, 6, 7.
    #[default]
    All,
    /// One on each core, fast cores first: 0, 1, 2, 3. For work that keeps a core busy: two
    /// threads of a core share its units.
    Cores,
    /// Every CPU, each as far from those before it as can be: 0, 2, 1, 3, 4, 6, 5, 7. A few shards
    /// then have the most memory bandwidth and cache each.
    #[doc(alias = "MaxSpread")]
    Spread,
    /// Every CPU, each as near to those before it as can be: 0, 4, 1, 5, 2, 6, 3, 7. A few shards
    /// then share a cache, and messages between them are cheap.
    #[doc(alias = "MaxPack")]
    Pack,
    /// These, in this order; one may stand twice.
    List(Vec<usize>),
}

impl Topology {
    /// The CPU of each shard, for `count` shards or as many as make sense.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there are fewer CPUs than shards, for 0 shards, and for a CPU outside the
    /// affinity mask.
    pub fn place(&self, placement: &Placement, count: Option<usize>) -> io::Result<Vec<usize>> {
        let mask: Vec<_> = self.cpus.iter().map(|cpu| cpu.id).collect();
        if let Placement::List(list) = placement {
            return cpus::choose(&mask, &From::List(list), count);
        }
        let order = self.order(placement);
        let from = match placement {
            Placement::Cores => From::Cores(&order),
            _ => From::Mask(&order),
        };
        let sensible = order.len().min(self.parallelism());
        cpus::choose(&mask, &from, Some(count.unwrap_or(sensible)))
    }

    /// All CPUs that a policy takes.
    fn order(&self, placement: &Placement) -> Vec<usize> {
        let mut cpus: Vec<Placed<'_>> = self.cpus.iter().map(|cpu| self.placed(cpu)).collect();
        match placement {
            Placement::All | Placement::List(_) => {}
            Placement::Cores => {
                cpus.retain(|placed| placed.thread == 0);
                cpus.sort_by_key(|placed| (placed.cpu.efficient, placed.cpu.id));
            }
            // The slow ones last; then first threads before second ones, and within those the
            // first core of each node, then the second of each.
            Placement::Spread => cpus.sort_by_key(|placed| {
                let Placed { cpu, thread, core } = *placed;
                (cpu.efficient, thread, core, cpu.node, cpu.package, cpu.id)
            }),
            Placement::Pack => cpus.sort_by_key(|placed| {
                let Placed { cpu, thread, core } = *placed;
                (cpu.efficient, cpu.node, cpu.package, core, thread, cpu.id)
            }),
        }
        cpus.into_iter().map(|placed| placed.cpu.id).collect()
    }

    fn placed<'a>(&self, cpu: &'a Cpu) -> Placed<'a> {
        let same_core = |other: &&Cpu| (other.package, other.core) == (cpu.package, cpu.core);
        let same_node = |other: &&Cpu| other.node == cpu.node && other.efficient == cpu.efficient;
        let thread = self.cpus.iter().filter(same_core).filter(|other| other.id < cpu.id).count();
        // Its core by rank among those of its node: cores are numbered in any way.
        let mut before: Vec<_> = self
            .cpus
            .iter()
            .filter(same_node)
            .map(|other| (other.package, other.core))
            .filter(|other| *other < (cpu.package, cpu.core))
            .collect();
        before.sort_unstable();
        before.dedup();
        Placed { cpu, thread, core: before.len() }
    }
}

/// A CPU by its ranks: which thread of its core, and which core of its node.
struct Placed<'a> {
    cpu: &'a Cpu,
    thread: usize,
    core: usize,
}
