//! `cargo xtask doctor`: what this machine offers an event loop, what is missing, what that costs
//! and how to fix it.
//!
//! Each file looks at one side of the machine and returns rows; it reads through [`Machine`], so
//! that its tests run on a made-up one. What the kernel really grants a ring is found by trying,
//! in `ring.rs`; everything else here is hints that explain it.

mod cgroup;
mod confinement;
mod cpus;
mod kernel;
mod limits;
pub(crate) mod machine;
mod report;
mod ring;
mod shards;

use std::io::Write as _;

use anyhow::Result;

use self::machine::Machine;
use self::report::Report;
use crate::flags::DoctorFlags;

/// Prints the report; false when an event loop cannot run here.
pub(crate) fn run(flags: &DoctorFlags) -> Result<bool> {
    let report = examine(&Machine::this());
    let mut out = anstream::stdout();
    match flags.json {
        true => writeln!(out, "{:#}", report.json())?,
        false => write!(out, "{}", report.text())?,
    }
    Ok(!report.blocks())
}

fn examine(machine: &Machine) -> Report {
    let groups = vec![
        ring::group(),
        kernel::group(machine),
        limits::group(machine),
        cpus::group(machine),
        shards::group(machine),
        confinement::group(machine),
    ];
    Report { groups }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_be_examined() {
        let report = examine(&Machine::this());
        assert!(report.groups.iter().all(|group| !group.rows.is_empty()));
        assert!(report.text().contains("kernel"));
    }

    #[test]
    fn a_machine_that_shows_nothing_still_gets_a_report() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let report = examine(&Machine { root: dir.path().to_owned() });
        assert!(!report.blocks());
        assert!(report.text().contains("not visible"), "{}", report.text());
    }
}
