//! `cargo xtask sim`: scenarios on simulated kernels, seed after seed.
//!
//! The scenarios and the program that runs them are the example `sim` of `uring-loop`, since they
//! need what only its tests have. It is built and run here, and says itself what failed, with the
//! command that runs that again.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::ci::libtest;
use crate::flags::SimFlags;
use crate::shell::{self, Echo, Ran};
use crate::workspace::Workspace;

/// Runs what `flags` ask for; false when a scenario failed.
pub(crate) fn run(flags: &SimFlags) -> Result<bool> {
    let ran = start(&Workspace::load()?, &words(flags))?;
    Ok(ran.success())
}

/// Builds the program and runs it with these flags.
pub(crate) fn start(workspace: &Workspace, words: &[String]) -> Result<Ran> {
    let build = ["build", "--all-features", "--package", "uring-loop", "--example", "sim"];
    let built = libtest::executables(workspace.cargo(build))?;
    let program = built.iter().find(|program| program.target == "sim");
    let mut command = Command::new(&program.context("cargo built no program `sim`")?.path);
    command.args(words).current_dir(&workspace.root);
    shell::run(command, Echo::Live, None)
}

fn words(flags: &SimFlags) -> Vec<String> {
    let mut words = vec![format!("--seeds={}", flags.seeds), format!("--start={}", flags.start)];
    words.extend(flags.scenario.iter().map(|name| format!("--scenario={name}")));
    words.extend(flags.seconds.iter().map(|seconds| format!("--seconds={seconds}")));
    let switches =
        [(flags.kernel, "--kernel"), (flags.keep_going, "--keep-going"), (flags.list, "--list")];
    words.extend(switches.iter().filter(|(on, _)| *on).map(|(_, word)| (*word).to_owned()));
    words
}
