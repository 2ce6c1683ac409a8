//! The suite of `uring-loop` once more, with io_uring refused by a real filter: every loop falls
//! back to the soft ring by itself.

use anyhow::{Context as _, Result};

use super::tally::Tally;
use super::{Report, libtest};
use crate::workspace::Workspace;

/// Tests of the kernel's ring itself, by the beginning of their names, and why they need one.
const OF_THE_KERNEL: &[(&str, &str)] = &[
    ("rungs::", "the rungs of the kernel's ladder"),
    ("edges_kernel::enters_refused_with_", "what io_uring_enter may answer"),
    ("edges_kernel::entries_and_cancels_that_find_the_queue_full", "a refused io_uring_enter"),
    ("refusal::a_process_without_descriptors_is_told_so", "EMFILE of io_uring_setup"),
    ("refusal::queues_that_memory_is_too_short_for_become_shorter", "sizes of the kernel's queues"),
    ("refusal::the_ring_can_be_insisted_on_and_nonsense_is_refused", "insists on the kernel's"),
    ("refusal::a_kernel_without_io_uring_is_named", "another answer of io_uring_setup"),
];

pub(super) fn section(workspace: &Workspace) -> Result<Report> {
    let build = ["build", "--all-features", "--example", "deny_io_uring"];
    let denier = libtest::executables(workspace.cargo(build))?.into_iter();
    let denier = denier.last().context("cargo built no deny_io_uring")?.path;
    let home = workspace.root.join("crates/uring-loop");
    let mut tally = Tally::default();
    for program in libtest::of_package(workspace, &home)? {
        let mut command = std::process::Command::new(&denier);
        command.arg(&program.path);
        for (name, _) in OF_THE_KERNEL {
            command.args(["--skip", name]);
        }
        tally.run(command, &home)?;
    }
    tally.report(|passed| format!("{passed} tests without io_uring"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_has_a_reason_and_stands_there_once() {
        for (at, (name, reason)) in OF_THE_KERNEL.iter().enumerate() {
            assert!(!reason.is_empty(), "{name}");
            let covered = |(other, _): &(&str, &str)| name.starts_with(other);
            assert!(!OF_THE_KERNEL[..at].iter().any(covered), "{name} is left out already");
        }
    }
}
