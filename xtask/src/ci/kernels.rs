//! Tests of `uring-loop` with this kernel taken for older ones (`URING_LOOP_KERNEL`): each rung of
//! the set-up ladder, and the paths for what they lack. Those tests that meet a kernel; by hand it
//! can be all of them:
//!
//! ```text
//! URING_LOOP_KERNEL=6.1 cargo test -p uring-loop --all-features --test it
//! ```

use anyhow::{Context as _, Result};

use super::tally::Tally;
use super::{Report, libtest};
use crate::workspace::Workspace;

/// Which kernels, and what each stands for.
const KERNELS: &[(&str, &str)] = &[
    ("5.19", "the oldest ring: neither multishot receives nor DEFER_TASKRUN"),
    ("6.1", "DEFER_TASKRUN; polls before reads, relative deadlines, children by poll"),
];

/// Beginnings of the names of tests.
const TESTS: &[&str] = &[
    "edges_kernel::",
    "fs_file::",
    "net",
    "pipes::",
    "process",
    "rungs::",
    "shutdown::",
    "signals::",
];

pub(super) fn section(workspace: &Workspace) -> Result<Report> {
    let home = workspace.root.join("crates/uring-loop");
    let mut programs = libtest::of_package(workspace, &home)?.into_iter();
    let program = programs.find(|program| program.target == "it");
    let program = program.context("cargo built no tests")?.path;
    let mut tally = Tally::default();
    for (kernel, what) in KERNELS {
        anstream::eprintln!("---- as on {kernel}: {what}");
        let mut command = std::process::Command::new(&program);
        command.args(TESTS).env("URING_LOOP_KERNEL", kernel);
        tally.run(command, &home)?;
    }
    let kernels: Vec<_> = KERNELS.iter().map(|(kernel, _)| *kernel).collect();
    tally.report(|passed| format!("{passed} tests, as on {}", kernels.join(" and ")))
}
