//! The scenarios of `cargo xtask sim`, as many seeds as pass in its time.

use anyhow::{Result, bail};

use super::Report;
use crate::sim;
use crate::workspace::Workspace;

/// Of simulated kernels, in seconds. With the kernel's own ring after it, it stays below a minute.
const SECONDS: u32 = 30;

/// Seeds on the machine's kernel: chance has less of a part there.
const KERNEL: u32 = 3;

pub(super) fn section(workspace: &Workspace) -> Result<Report> {
    let simulated = [format!("--seconds={SECONDS}"), "--seeds=1000000".to_owned()];
    let real = [format!("--seconds={SECONDS}"), format!("--seeds={KERNEL}"), "--kernel".to_owned()];
    let mut notes = Vec::new();
    for words in [&simulated[..], &real] {
        let ran = sim::start(workspace, words)?;
        if !ran.success() {
            bail!("{}; what fails, and how to run it again, is said above", ran.how());
        }
        notes.extend(ran.text.lines().last().map(str::to_owned));
    }
    Ok(Report::passed(notes.join("; ")))
}
