//! The tests under AddressSanitizer, leak detection on.
//!
//! What it cannot see: the kernel's writes are not instrumented, so an operation in flight that
//! writes into a freed buffer goes unnoticed here; the simulated ring poisons freed buffers for
//! that. Sanitizers are unstable in rustc, hence `RUSTC_BOOTSTRAP`; no nightly is needed.

use anyhow::{Context as _, Result, ensure};

use super::{Report, libtest};
use crate::shell;
use crate::workspace::Workspace;

/// Where the unsafe code is that tests can reach in one process.
const PACKAGES: &[&str] = &["uring-loop"];

pub(super) fn section(workspace: &Workspace) -> Result<Report> {
    let host = host()?;
    let dir = workspace.target_dir("asan");
    let mut words = vec!["test", "--all-features", "--lib", "--tests", "--target", &host];
    words.extend(["--target-dir", &dir]);
    for package in PACKAGES {
        words.extend(["--package", package]);
    }
    let mut command = workspace.cargo(words);
    command
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Zsanitizer=address")
        .env("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0");
    let output = shell::check(command)?;
    let tests = libtest::tests(&output).len();
    ensure!(tests > 0, "no test ran, which proves nothing");
    Ok(Report::passed(format!("{tests} tests")))
}

/// `--target` must be given, else build scripts would be instrumented too.
pub(crate) fn host() -> Result<String> {
    let mut rustc = std::process::Command::new("rustc");
    rustc.arg("-vV");
    let output = shell::capture(rustc)?;
    let line = output.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned).context("rustc -vV names no host")
}
