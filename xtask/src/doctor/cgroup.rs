//! Whether control groups grant the CPU time that the affinity mask promises. How a quota is found
//! is in the crate `shard`, which heeds it.

use shard::Topology;

use super::report::Row;

/// The tightest quota, against the CPUs that we may use.
pub(super) fn row(topology: Option<&Topology>) -> Row {
    let name = "cgroup CPU quota";
    let quota = topology.and_then(Topology::quota);
    let (Some(topology), Some(quota)) = (topology, quota) else { return Row::new(name, "none") };
    let row = Row::new(name, format!("{:.2} CPUs ({})", quota.cpus, quota.file));
    let (allowed, loops) = (topology.cpus().len(), topology.parallelism());
    if quota.cpus >= allowed as f64 {
        return row;
    }
    let costs = format!(
        "{allowed} busy loops use it up early, and all stop for the rest of each period: \
         latencies of tens of milliseconds"
    );
    row.costs(costs, format!("run {loops} loops, or raise the quota to {allowed} CPUs"))
}

#[cfg(test)]
mod tests {
    use super::super::machine::tests::made_of;
    use super::*;

    fn machine(allowed: &str) -> Row {
        let (_dir, machine) = made_of(&[
            ("/proc/self/status", &format!("Cpus_allowed_list:\t{allowed}\n")),
            ("/proc/self/cgroup", "0::/"),
            (
                "/proc/self/mountinfo",
                "31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate",
            ),
            ("/sys/fs/cgroup/cpu.max", "150000 100000"),
        ]);
        row(machine.topology().as_ref())
    }

    #[test]
    fn a_quota_below_the_mask_is_told_and_one_above_is_not() {
        let finding = machine("0-3").finding.expect("4 CPUs, 1.5 granted");
        assert!(finding.fix.starts_with("run 2 loops"), "{}", finding.fix);
        assert!(machine("0").finding.is_none());
        assert_eq!(row(None), Row::new("cgroup CPU quota", "none"));
    }
}
