//! The sections that are a call of cargo and no more.

use anyhow::{Result, bail};

use super::{Report, libtest};
use crate::shell::{self, Echo};
use crate::tidy as rules;
use crate::workspace::Workspace;

pub(super) fn fmt(workspace: &Workspace) -> Result<Report> {
    shell::check(workspace.cargo(["fmt", "--all", "--check"]))?;
    Ok(Report::default())
}

pub(super) fn tidy(workspace: &Workspace) -> Result<Report> {
    let findings = rules::check(&workspace.root, &workspace.packages)?;
    findings.print()?;
    if findings.refused() > 0 {
        bail!("{findings}");
    }
    Ok(Report::passed(findings.to_string()))
}

pub(super) fn clippy(workspace: &Workspace) -> Result<Report> {
    let who = ["clippy", "--workspace", "--exclude", "benches"];
    let what = ["--all-targets", "--all-features", "--", "-D", "warnings"];
    shell::check(workspace.cargo(who.into_iter().chain(what)))?;
    Ok(Report::default())
}

/// A crate that only builds because another one turned its features on is found here: one call
/// for each, since cargo unites the features of what it builds together.
pub(super) fn features(workspace: &Workspace) -> Result<Report> {
    for package in workspace.crates() {
        shell::check(workspace.cargo(["check", "--package", &package.name]))?;
        let bare = ["check", "--package", &package.name, "--no-default-features"];
        shell::check(workspace.cargo(bare))?;
    }
    Ok(Report::default())
}

/// How all tests are built.
pub(super) const TEST: &[&str] = &["test", "--all-features"];
/// Those that are programs.
pub(super) const TARGETS: &[&str] = &["--lib", "--bins", "--tests", "--examples"];

pub(super) fn test(workspace: &Workspace) -> Result<Report> {
    tests(workspace, TARGETS)
}

pub(super) fn doctest(workspace: &Workspace) -> Result<Report> {
    tests(workspace, &["--doc"])
}

fn tests(workspace: &Workspace, what: &[&str]) -> Result<Report> {
    let words = TEST.iter().chain(&["--no-fail-fast"]).chain(what);
    let command = workspace.cargo(words.copied());
    let line = shell::describe(&command);
    let ran = shell::run(command, Echo::Live, None)?;
    let passed = libtest::passed(&ran.text);
    let note = match ran.success() {
        true => format!("{passed} tests"),
        false => format!("`{line}`: {}", ran.how()),
    };
    let last_words = libtest::last_words(&ran.text);
    Ok(Report { failed: !ran.success(), note, last_words, ..Report::default() })
}

pub(super) fn doc(workspace: &Workspace) -> Result<Report> {
    let who = ["doc", "--workspace", "--exclude", "benches"];
    let mut command = workspace.cargo(who.into_iter().chain(["--no-deps", "--all-features"]));
    command.env("RUSTDOCFLAGS", "-D warnings");
    shell::check(command)?;
    Ok(Report::default())
}

/// What would be published: that it can be made. It is not built: cargo takes what packages of ours
/// need of each other for a registry's, and would build what it has unpacked of them before.
pub(super) fn package(workspace: &Workspace) -> Result<Report> {
    let crates = workspace.crates().flat_map(|package| ["--package", &*package.name]);
    let words = ["package", "--no-verify", "--allow-dirty", "--quiet"].into_iter().chain(crates);
    shell::check(workspace.cargo(words))?;
    Ok(Report::default())
}

pub(super) fn benches(workspace: &Workspace) -> Result<Report> {
    let clippy = ["clippy", "--package", "benches", "--all-targets", "--all-features"];
    shell::check(workspace.cargo(clippy.into_iter().chain(["--", "-D", "warnings"])))?;
    shell::check(workspace.cargo(["test", "--package", "benches"]))?;
    Ok(Report::default())
}
