//! The processors: which we may use, how they share cores, how they are clocked, who else runs.

use std::collections::BTreeSet;

use shard::cpu_list;

use super::cgroup;
use super::machine::{Machine, field};
use super::report::{Group, Row};

const SYS: &str = "/sys/devices/system/cpu";

/// Clocks that are read without entering the kernel.
const FAST_CLOCKS: &[&str] =
    &["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"];

pub(super) fn group(machine: &Machine) -> Group {
    let allowed = machine.affinity();
    let rows = vec![
        model(machine),
        affinity(machine, &allowed),
        cores(machine, &allowed),
        nodes(machine),
        cgroup::row(machine.topology().as_ref()),
        governor(machine, &allowed),
        hypervisor(machine),
        clock(machine),
        load(machine, allowed.len()),
    ];
    Group { title: "processors", rows }
}

fn model(machine: &Machine) -> Row {
    let info = machine.read("/proc/cpuinfo").unwrap_or_default();
    match field(&info, "model name") {
        Some(model) => Row::new("model", model),
        None => Row::unseen("model"),
    }
}

fn affinity(machine: &Machine, allowed: &BTreeSet<usize>) -> Row {
    let name = "affinity";
    if allowed.is_empty() {
        return Row::unseen(name);
    }
    let list = machine.status("Cpus_allowed_list").unwrap_or_default();
    let online = machine.read(&format!("{SYS}/online")).map(|list| cpu_list(&list));
    let online = online.map_or("?".to_owned(), |online| online.len().to_string());
    Row::new(name, format!("{} of {online} CPUs ({list})", allowed.len()))
}

fn cores(machine: &Machine, allowed: &BTreeSet<usize>) -> Row {
    let name = "cores";
    let siblings = |cpu| machine.read(&format!("{SYS}/cpu{cpu}/topology/thread_siblings_list"));
    let cores: Option<BTreeSet<_>> = allowed.iter().map(siblings).collect();
    let cores = match cores {
        Some(cores) if !cores.is_empty() => cores.len(),
        _ => return Row::unseen(name),
    };
    let row = Row::new(name, format!("{cores} cores under {} CPUs", allowed.len()));
    if cores == allowed.len() {
        return row;
    }
    row.costs(
        "two loops on the threads of one core share its units: each is slower than alone",
        format!("measure {cores} loops against {}, one for each core", allowed.len()),
    )
}

fn nodes(machine: &Machine) -> Row {
    match machine.read("/sys/devices/system/node/online") {
        Some(list) => Row::new("NUMA nodes", cpu_list(&list).len().to_string()),
        None => Row::unseen("NUMA nodes"),
    }
}

/// The governors of the CPUs that we may use. Under the `pstate` drivers "powersave" is the normal
/// dynamic mode (Documentation/admin-guide/pm/intel_pstate).
fn governor(machine: &Machine, allowed: &BTreeSet<usize>) -> Row {
    let name = "frequency governor";
    let file = |cpu, what| machine.read(&format!("{SYS}/cpu{cpu}/cpufreq/{what}"));
    let governors: BTreeSet<_> =
        allowed.iter().filter_map(|cpu| file(cpu, "scaling_governor")).collect();
    if governors.is_empty() {
        return Row::new(name, "not visible (virtual machine, or a fixed clock)");
    }
    let driver = allowed.iter().find_map(|cpu| file(cpu, "scaling_driver")).unwrap_or_default();
    let list = governors.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let row = Row::new(name, format!("{list} ({driver})"));
    if !governors.contains("powersave") || driver.contains("pstate") {
        return row;
    }
    row.costs("the lowest clock, whatever the load", "cpupower frequency-set -g performance")
}

fn hypervisor(machine: &Machine) -> Row {
    let name = "hypervisor";
    let info = machine.read("/proc/cpuinfo").unwrap_or_default();
    let flags = field(&info, "flags").unwrap_or_default();
    if !flags.split(' ').any(|flag| flag == "hypervisor") {
        return Row::new(name, "none seen");
    }
    let vendor = machine.read("/sys/class/dmi/id/sys_vendor");
    let vendor = vendor.or_else(|| machine.read("/sys/hypervisor/type"));
    Row::new(name, vendor.unwrap_or("present, without a name".into())).costs(
        "a parked CPU is woken through the host (tens of microseconds); neighbours add noise",
        "let loops spin a little before they park; measure side by side, never across days",
    )
}

fn clock(machine: &Machine) -> Row {
    let name = "clock source";
    let file = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let Some(clock) = machine.read(file) else { return Row::unseen(name) };
    let fast = FAST_CLOCKS.contains(&clock.as_str());
    let row = Row::new(name, clock);
    if fast {
        return row;
    }
    row.costs(
        "every look at the clock enters the kernel, once a turn and once a timer",
        "see dmesg for why tsc was given up; on a virtual machine ask for a stable tsc",
    )
}

fn load(machine: &Machine, allowed: usize) -> Row {
    let name = "load now";
    let text = machine.read("/proc/loadavg").unwrap_or_default();
    let Some(load) = text.split(' ').next().and_then(|word| word.parse::<f64>().ok()) else {
        return Row::unseen(name);
    };
    let row = Row::new(name, format!("{load:.2} over one minute"));
    if allowed == 0 || load < 0.5 * allowed as f64 {
        return row;
    }
    row.costs("what is measured now is noise", "wait until the machine is quiet")
}

#[cfg(test)]
mod tests {
    use super::super::machine::tests::made_of;
    use super::*;

    #[test]
    fn the_mask_is_counted_against_what_is_online() {
        let files = [
            ("/proc/self/status", "Cpus_allowed_list:\t0-1,4\n"),
            ("/sys/devices/system/cpu/online", "0-7\n"),
        ];
        let (_dir, machine) = made_of(&files);
        let row = affinity(&machine, &machine.affinity());
        assert_eq!(row.value, "3 of 8 CPUs (0-1,4)");
    }

    #[test]
    fn threads_of_one_core_are_told() {
        let siblings = |cpu| format!("{SYS}/cpu{cpu}/topology/thread_siblings_list");
        let files = [0, 1, 2, 3].map(|cpu| (siblings(cpu), if cpu < 2 { "0-1" } else { "2-3" }));
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        let (_dir, machine) = made_of(&files);
        let row = |cpus: &[usize]| cores(&machine, &cpus.iter().copied().collect());
        assert_eq!(row(&[0, 1, 2, 3]).value, "2 cores under 4 CPUs");
        assert!(row(&[0, 1, 2, 3]).finding.is_some());
        assert!(row(&[0, 2]).finding.is_none());
        assert_eq!(row(&[9]).value, "not visible");
    }

    #[test]
    fn powersave_costs_unless_the_driver_means_dynamic() {
        let row = |mode, driver| {
            let (_dir, machine) = made_of(&[
                ("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", mode),
                ("/sys/devices/system/cpu/cpu0/cpufreq/scaling_driver", driver),
            ]);
            governor(&machine, &BTreeSet::from([0]))
        };
        assert!(row("powersave\n", "acpi-cpufreq\n").finding.is_some());
        assert!(row("powersave\n", "intel_pstate\n").finding.is_none());
        assert_eq!(row("performance\n", "acpi-cpufreq\n").value, "performance (acpi-cpufreq)");
    }

    #[test]
    fn a_virtual_machine_is_known_by_its_flag() {
        let row = |info| {
            let (_dir, machine) = made_of(&[("/proc/cpuinfo", info)]);
            hypervisor(&machine)
        };
        assert!(row("flags\t\t: fpu hypervisor lahf_lm\n").finding.is_some());
        assert!(row("flags\t\t: fpu lahf_lm\n").finding.is_none());
    }

    #[test]
    fn a_slow_clock_is_told() {
        let row = |text| {
            let file = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
            let (_dir, machine) = made_of(&[(file, text)]);
            clock(&machine)
        };
        assert!(row("tsc\n").finding.is_none());
        assert!(row("hpet\n").finding.is_some());
    }

    #[test]
    fn a_busy_machine_is_told() {
        let row = |text, cpus| {
            let (_dir, machine) = made_of(&[("/proc/loadavg", text)]);
            load(&machine, cpus)
        };
        assert!(row("1.50 0.2 0.1 1/80 99", 2).finding.is_some());
        assert!(row("1.50 0.2 0.1 1/80 99", 8).finding.is_none());
    }
}
