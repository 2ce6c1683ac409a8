//! Where shards would run: what the crate `shard` sees, and what each of its policies makes of it.

use shard::{Placement, Topology};

use super::machine::Machine;
use super::report::{Group, Row};

pub(super) fn group(machine: &Machine) -> Group {
    let title = "shards";
    let Some(topology) = machine.topology() else {
        return Group { title, rows: vec![Row::unseen("topology")] };
    };
    let mut rows = vec![Row::new("topology", topology.to_string())];
    let policies = [
        ("all", Placement::All),
        ("cores", Placement::Cores),
        ("spread", Placement::Spread),
        ("pack", Placement::Pack),
    ];
    rows.extend(policies.map(|(name, placement)| policy(&topology, name, &placement)));
    Group { title, rows }
}

/// The CPUs of a policy, in the order in which they get shards.
fn policy(topology: &Topology, name: &'static str, placement: &Placement) -> Row {
    match topology.place(placement, None) {
        Ok(cpus) => {
            let list: Vec<_> = cpus.iter().map(usize::to_string).collect();
            Row::new(name, format!("{} on CPU {}", list.len(), list.join(" ")))
        }
        Err(error) => Row::new(name, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::tests::made_of;
    use super::*;

    #[test]
    fn each_policy_tells_its_cpus_in_order() {
        let threads = |cpu| format!("/sys/devices/system/cpu/cpu{cpu}/topology/core_cpus_list");
        let (a, b, c, d) = (threads(0), threads(1), threads(2), threads(3));
        let (_dir, machine) = made_of(&[
            ("/proc/self/status", "Cpus_allowed_list:\t0-3\n"),
            (&a, "0,2"),
            (&b, "1,3"),
            (&c, "0,2"),
            (&d, "1,3"),
        ]);
        let rows = group(&machine).rows;
        let value = |name: &str| &rows.iter().find(|row| row.name == name).expect("a row").value;
        assert_eq!(value("topology"), "4 CPUs (0-3): 2 cores, 1 package, 1 node");
        assert_eq!(value("cores"), "2 on CPU 0 1");
        assert_eq!(value("pack"), "4 on CPU 0 2 1 3");
    }

    #[test]
    fn a_machine_that_shows_no_mask_says_so() {
        let (_dir, machine) = made_of(&[]);
        assert_eq!(group(&machine).rows, [Row::unseen("topology")]);
    }
}
