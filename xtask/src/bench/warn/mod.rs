//! What one should know before believing a figure, and how to mend it: a machine that is busy,
//! small, virtual, or clocked as it likes, and a build for debugging.
//!
//! [`before`] looks at the machine before the first run; [`others`] watches who else used it during
//! the runs.

mod clock;
pub(super) mod others;

use serde::{Deserialize, Serialize};

use super::record::Environment;
use crate::doctor::machine::{Machine, field};

/// Above this load for each core, somebody else is busy.
const BUSY: f64 = 0.4;

/// Something that makes figures worth less.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Warning {
    /// What is so, and what it does to figures.
    pub(super) what: String,
    /// What to do about it.
    pub(super) mend: String,
}

impl Warning {
    pub(super) fn new(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { what: what.into(), mend: mend.into() }
    }
}

/// What can be seen before the first run; what spoils figures most comes first.
pub(super) fn before(environment: &Environment, machine: &Machine) -> Vec<Warning> {
    let looks = [
        debug(environment),
        cores(environment),
        busy(environment),
        quota(environment, machine),
        battery(machine),
        clock::governor(environment, machine),
        clock::boost(machine),
        hypervisor(machine),
    ];
    looks.into_iter().flatten().collect()
}

/// After the runs: whether there were rounds enough to tell a difference from chance.
pub(super) fn rounds(rounds: usize, quick: bool) -> Option<Warning> {
    let what = match rounds {
        0 => "no round was finished: some models had their turn and others had not".to_owned(),
        1 => "one round tells nothing about the spread: who is ahead may be ahead by chance".into(),
        2..6 => format!(
            "{rounds} rounds are few: no interval of them reaches 95 %, and a close race stays open"
        ),
        _ => return None,
    };
    let mend = match quick {
        true => "run it without --quick, or on a machine that is less busy",
        false => "run it again, and let it come to its end",
    };
    Some(Warning::new(what, mend))
}

fn debug(environment: &Environment) -> Option<Warning> {
    environment.debug.then(|| {
        Warning::new(
            "the workloads were built for debugging: figures mean nothing",
            "let `cargo xtask bench` build them, in release and without debug assertions",
        )
    })
}

fn cores(environment: &Environment) -> Option<Warning> {
    match environment.cores() {
        1 => Some(Warning::new(
            "there is one core: no model can be faster than one thread that never waits, and the \
             load maker takes its time from the servers it asks",
            "measure where there are four cores or more, or allow more (`taskset`, the container's \
             set of CPUs)",
        )),
        2 => Some(Warning::new(
            "there are two cores, and for servers the load maker has one of them: what a second \
             core brings is hardly seen there",
            "compare CPU time rather than rates for echo and the like, or measure where there are \
             four cores or more",
        )),
        _ => None,
    }
}

fn busy(environment: &Environment) -> Option<Warning> {
    let (load, cores) = (environment.load_now()?, environment.cores());
    (load > BUSY * cores as f64).then(|| {
        let load = &environment.load;
        Warning::new(
            format!(
                "the machine is busy or was building (load {load} on {cores} cores): figures will \
                 be worse than they should be, and spread"
            ),
            "end what else is running, or wait a few minutes after a build, and measure again",
        )
    })
}

fn quota(environment: &Environment, machine: &Machine) -> Option<Warning> {
    let topology = machine.topology()?;
    let quota = topology.quota()?;
    let cores = environment.cores();
    (quota.cpus < cores as f64).then(|| {
        Warning::new(
            format!(
                "a control group grants {:.2} of {cores} CPUs ({}): models that use all cores are \
                 stopped in between",
                quota.cpus, quota.file
            ),
            format!("raise the quota to {cores} CPUs for the time of the bench"),
        )
    })
}

/// Laptops clock down on battery, whatever the governor says.
fn battery(machine: &Machine) -> Option<Warning> {
    let supplies = machine.names("/sys/class/power_supply");
    let discharging = supplies.iter().any(|name| {
        let file = |what| machine.read(&format!("/sys/class/power_supply/{name}/{what}"));
        // A mouse has a battery, too, but not of the system.
        file("type").as_deref() == Some("Battery")
            && file("scope").as_deref() != Some("Device")
            && file("status").as_deref() == Some("Discharging")
    });
    discharging.then(|| {
        Warning::new(
            "the machine runs on battery: it saves energy, and more so as time goes by",
            "plug it in",
        )
    })
}

fn hypervisor(machine: &Machine) -> Option<Warning> {
    let info = machine.read("/proc/cpuinfo").unwrap_or_default();
    let flags = field(&info, "flags").unwrap_or_default();
    flags.split(' ').any(|flag| flag == "hypervisor").then(|| {
        Warning::new(
            "this is a virtual machine: waking a core that sleeps goes through its host, and \
             neighbours on the host add noise",
            "take the ratios of one run rather than figures of different days, or measure on bare \
             metal",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::machine::tests::made_of;

    fn environment(cores: usize, load: &str) -> Environment {
        Environment {
            allowed_cores: (0..cores).collect(),
            load: load.to_owned(),
            ..Environment::default()
        }
    }

    fn whats(warnings: &[Warning]) -> Vec<&str> {
        warnings.iter().map(|warning| warning.what.as_str()).collect()
    }

    #[test]
    fn a_quiet_machine_of_four_cores_is_not_warned_of() {
        let files = [
            ("/proc/cpuinfo", "flags\t\t: fpu lahf_lm\n"),
            ("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"),
            ("/sys/devices/system/cpu/cpufreq/boost", "0\n"),
            ("/sys/class/power_supply/BAT0/type", "Battery\n"),
            ("/sys/class/power_supply/BAT0/status", "Charging\n"),
        ];
        let (_dir, machine) = made_of(&files);
        assert_eq!(before(&environment(4, "0.10 2.00 2.00"), &machine), []);
    }

    #[test]
    fn a_busy_machine_and_a_debug_build_are_warned_of() {
        let (_dir, machine) = made_of(&[]);
        let environment = Environment { debug: true, ..environment(4, "1.90 0.00 0.00") };
        let warnings = before(&environment, &machine);
        let whats = whats(&warnings);
        assert!(whats[0].contains("debugging"), "{whats:?}");
        assert!(whats[1].contains("busy or was building (load 1.90"), "{whats:?}");
        assert!(warnings.iter().all(|warning| !warning.mend.is_empty()));
    }

    #[test]
    fn few_rounds_are_warned_of_and_nine_are_not() {
        assert!(rounds(1, true).is_some_and(|w| w.what.contains("one round tells nothing")));
        assert!(rounds(5, true).is_some_and(|w| w.mend.contains("without --quick")));
        assert!(rounds(0, false).is_some());
        assert_eq!(rounds(9, false), None);
    }

    #[test]
    fn few_cores_are_warned_of() {
        let (_dir, machine) = made_of(&[]);
        let what = |cores| {
            before(&environment(cores, "0.0"), &machine).first().map(|first| first.what.clone())
        };
        assert!(what(1).is_some_and(|what| what.contains("no model can be faster")));
        assert!(what(2).is_some_and(|what| what.contains("load maker has one")));
        assert_eq!(what(3), None);
    }

    #[test]
    fn a_battery_of_the_machine_counts_and_one_of_a_mouse_does_not() {
        let laptop = [
            ("/sys/class/power_supply/BAT0/type", "Battery\n"),
            ("/sys/class/power_supply/BAT0/status", "Discharging\n"),
        ];
        let (_dir, machine) = made_of(&laptop);
        assert!(battery(&machine).is_some());
        let mouse = [laptop[0], laptop[1], ("/sys/class/power_supply/BAT0/scope", "Device\n")];
        let (_dir, machine) = made_of(&mouse);
        assert_eq!(battery(&machine), None);
    }

    #[test]
    fn a_quota_below_the_cores_is_warned_of() {
        let (_dir, machine) = made_of(&[
            ("/proc/self/status", "Cpus_allowed_list:\t0-3\n"),
            ("/proc/self/cgroup", "0::/"),
            (
                "/proc/self/mountinfo",
                "31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate",
            ),
            ("/sys/fs/cgroup/cpu.max", "150000 100000"),
        ]);
        let warning = quota(&environment(4, "0.0"), &machine).expect("a warning");
        assert!(warning.what.contains("grants 1.50 of 4 CPUs"), "{warning:?}");
        assert_eq!(quota(&environment(1, "0.0"), &machine), None);
    }

    #[test]
    fn a_virtual_machine_is_known_by_its_flag() {
        let (_dir, machine) = made_of(&[("/proc/cpuinfo", "flags\t\t: fpu hypervisor lm\n")]);
        assert!(hypervisor(&machine).is_some());
    }
}
