//! Processors whose clock follows the load, the heat and the number of busy cores: a model that
//! keeps one core busy is then clocked higher than one that keeps all busy.

use std::collections::BTreeSet;

use super::Warning;
use crate::bench::record::Environment;
use crate::doctor::machine::Machine;

const SYS: &str = "/sys/devices/system/cpu";

/// A governor other than `performance`.
pub(super) fn governor(environment: &Environment, machine: &Machine) -> Option<Warning> {
    // Not every record says which cores there were; the first is as good as another.
    let mut cores = environment.allowed_cores.clone();
    cores.push(0);
    let governor =
        |core: &usize| machine.read(&format!("{SYS}/cpu{core}/cpufreq/scaling_governor"));
    let governors: BTreeSet<String> = cores.iter().filter_map(governor).collect();
    if governors.iter().all(|governor| governor == "performance") {
        return None;
    }
    let names = governors.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    Some(Warning::new(
        format!(
            "the clock of the cores follows the load (governor {names}): short and light work is \
             measured at a lower clock than heavy work"
        ),
        "cpupower frequency-set -g performance",
    ))
}

/// Clocks above the nominal one, as long as heat and busy neighbours allow.
pub(super) fn boost(machine: &Machine) -> Option<Warning> {
    let intel = format!("{SYS}/intel_pstate/no_turbo");
    let others = format!("{SYS}/cpufreq/boost");
    let is = |file: &str, word: &str| machine.read(file).as_deref() == Some(word);
    let mend = match (is(&intel, "0"), is(&others, "1")) {
        (true, _) => format!("echo 1 > {intel} (as root), and 0 afterwards"),
        (_, true) => format!("echo 0 > {others} (as root), and 1 afterwards"),
        _ => return None,
    };
    Some(Warning::new(
        "turbo is on: one busy core is clocked higher than all together, so models that use all \
         look worse than they are",
        mend,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::machine::tests::made_of;

    #[test]
    fn only_the_governor_that_holds_the_clock_is_fine() {
        let warned = |text: &str| {
            let file = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
            let (_dir, machine) = made_of(&[(file, text)]);
            governor(&Environment::default(), &machine)
        };
        assert_eq!(warned("performance\n"), None);
        assert!(warned("schedutil\n").is_some_and(|w| w.what.contains("governor schedutil")));
        let (_dir, bare) = made_of(&[]);
        assert_eq!(governor(&Environment::default(), &bare), None, "as on virtual machines");
    }

    #[test]
    fn turbo_is_seen_under_both_names() {
        let warned = |file: &str, text: &str| {
            let (_dir, machine) = made_of(&[(file, text)]);
            boost(&machine)
        };
        let intel = "/sys/devices/system/cpu/intel_pstate/no_turbo";
        assert!(warned(intel, "0\n").is_some_and(|w| w.mend.starts_with("echo 1 > /sys")));
        assert_eq!(warned(intel, "1\n"), None);
        let amd = "/sys/devices/system/cpu/cpufreq/boost";
        assert!(warned(amd, "1\n").is_some_and(|w| w.mend.starts_with("echo 0 > /sys")));
        assert_eq!(warned(amd, "0\n"), None);
    }
}
