//! Who else used the cores during the runs: other programs, and the host of a virtual machine.
//!
//! The kernel counts what each core did (`/proc/stat`, proc(5)). What the runs used themselves is
//! in the resource usage of our children, and what is left over was not ours. Time in soft
//! interrupts is in neither: traffic over the loopback is handled there, and is ours.

use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::unistd::{SysconfVar, sysconf};

use super::Warning;
use crate::doctor::machine::Machine;

/// Above this share of the cores' time, others have been in the way.
const OTHERS: f64 = 0.05;
/// Above this share, the host has.
const STOLEN: f64 = 0.01;
/// Shorter watches say nothing: the kernel counts in hundredths of a second.
const SHORTEST: Duration = Duration::from_secs(2);

/// What was used up to a moment, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::bench) struct Used {
    /// User and system time of everybody, over the cores that the runs may use.
    all: f64,
    /// Time in which a core wanted to run and the host did not let it.
    stolen: f64,
    /// Our own and our children's.
    ours: f64,
}

impl Used {
    /// Until now, on these cores.
    pub(in crate::bench) fn now(machine: &Machine, cores: &[usize]) -> Result<Self> {
        let stat = machine.read("/proc/stat").context("reading /proc/stat")?;
        let ticks = sysconf(SysconfVar::CLK_TCK)?.context("the kernel's ticks have a length")?;
        let (all, stolen) = of_cores(&stat, cores);
        let seconds = |of: u64| of as f64 / ticks as f64;
        Ok(Self { all: seconds(all), stolen: seconds(stolen), ours: ours()? })
    }

    /// What others used from here to `end`, which is so much later.
    pub(in crate::bench) fn warnings(
        &self,
        end: &Self,
        took: Duration,
        cores: usize,
    ) -> Vec<Warning> {
        let mut warnings = Vec::new();
        if took < SHORTEST {
            return warnings;
        }
        let whole = took.as_secs_f64() * cores.max(1) as f64;
        let others = ((end.all - self.all) - (end.ours - self.ours)) / whole;
        let stolen = (end.stolen - self.stolen) / whole;
        if others > OTHERS {
            warnings.push(Warning::new(
                format!(
                    "other programs used {:.0} % of the cores during the runs: models that need \
                     all cores look worse than they are, and everything spreads",
                    others * 100.0
                ),
                "end what else is running, and measure again",
            ));
        }
        if stolen > STOLEN {
            warnings.push(Warning::new(
                format!(
                    "the host of this virtual machine held back {:.0} % of the cores' time for \
                     others during the runs",
                    (stolen * 100.0).max(1.0)
                ),
                "measure at another hour, on a machine with cores of its own, or on bare metal",
            ));
        }
        warnings
    }
}

/// Ticks of user and system time, and stolen ones, over `cores`.
fn of_cores(stat: &str, cores: &[usize]) -> (u64, u64) {
    let mut sums = (0, 0);
    for line in stat.lines() {
        let mut words = line.split_whitespace();
        let core = words.next().and_then(|word| word.strip_prefix("cpu")?.parse::<usize>().ok());
        if !core.is_some_and(|core| cores.contains(&core)) {
            continue;
        }
        let ticks: Vec<u64> = words.map(|word| word.parse().unwrap_or(0)).collect();
        let tick = |at: usize| ticks.get(at).copied().unwrap_or(0);
        // user (guests in it), nice, system; then idle, iowait, irq, softirq, steal.
        sums.0 += tick(0) + tick(1) + tick(2);
        sums.1 += tick(7);
    }
    sums
}

fn ours() -> Result<f64> {
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    let mut sum = 0.0;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who).context("asking for our own CPU time")?;
        sum += seconds(usage.user_time()) + seconds(usage.system_time());
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  999 999 999 999 0 0 0 999 0 0\n\
        cpu0 100 20 30 500 5 1 40 7 0 0\n\
        cpu1 200 0 50 500 5 1 40 3 0 0\n\
        cpu12 9000 0 0 0 0 0 0 9000 0 0\nintr 5\n";

    #[test]
    fn only_the_cores_of_the_runs_are_counted() {
        assert_eq!(of_cores(STAT, &[0, 1]), (400, 10));
        assert_eq!(of_cores(STAT, &[1]), (250, 3));
        assert_eq!(of_cores("", &[0]), (0, 0));
    }

    #[test]
    fn what_we_used_ourselves_is_not_held_against_others() {
        let start = Used { all: 100.0, stolen: 0.0, ours: 10.0 };
        let ten = Duration::from_secs(10);
        let ours_alone = Used { all: 118.0, stolen: 0.0, ours: 28.0 };
        assert_eq!(start.warnings(&ours_alone, ten, 2), []);
        let others_too = Used { all: 118.0, stolen: 0.0, ours: 22.0 };
        let warnings = start.warnings(&others_too, ten, 2);
        assert!(warnings[0].what.starts_with("other programs used 30 %"), "{warnings:?}");
    }

    #[test]
    fn a_host_that_takes_time_away_is_told() {
        let start = Used { all: 0.0, stolen: 3.0, ours: 0.0 };
        let end = Used { all: 10.0, stolen: 4.0, ours: 10.0 };
        let warnings = start.warnings(&end, Duration::from_secs(10), 2);
        assert!(warnings[0].what.contains("held back 5 %"), "{warnings:?}");
        assert_eq!(start.warnings(&end, Duration::from_secs(1), 2), [], "too short to tell");
    }

    #[test]
    fn this_machine_tells_what_was_used() {
        let used = Used::now(&Machine::this(), &[0]).expect("a Linux tells");
        assert!(used.all > 0.0 && used.ours > 0.0, "{used:?}");
    }
}
