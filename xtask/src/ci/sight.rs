//! What it costs that a loop can be looked at, while nobody does.
//!
//! A loop tests a flag before each poll and a pointer at each operation. Time does not show so
//! little, instructions do, and they are the same on a busy machine: valgrind counts those of the
//! example `counted`, in a build as it is and in one with `--cfg blind`, where the tests are not
//! there. What the count of the work itself is does not matter: a run of twice as much is compared
//! with a run of once.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use super::{Report, libtest};
use crate::shell::{self, Echo};
use crate::workspace::Workspace;

/// Pieces of work, and how many of them.
const WORK: [(&str, u64); 3] = [("spawn", 20_000), ("yield", 20_000), ("echo", 2_000)];

/// The share of a piece of work that may be spent on finding out that nobody looks.
const MOST: f64 = 0.02;

pub(super) fn section(workspace: &Workspace) -> Result<Report> {
    if !has_valgrind() {
        return Ok(Report::skipped("valgrind, which counts instructions, is not installed"));
    }
    let program = build(workspace, false)?;
    let spans = measure(&program, &["--spans"])?;
    let off = measure(&program, &[])?;
    // It takes the place of the other one.
    let blind = measure(&build(workspace, true)?, &[])?;
    let mut most = f64::NEG_INFINITY;
    for (number, (work, _)) in WORK.iter().enumerate() {
        let (blind, off, spans) = (blind[number], off[number], spans[number]);
        most = most.max(off / blind - 1.0);
        anstream::println!(
            "{work:6} {blind:8.1} instructions that nobody can look at, {:+.1} ({:+.2} %) if \
             nobody does, {:+.1} with spans that no subscriber wants",
            off - blind,
            (off / blind - 1.0) * 100.0,
            spans - blind,
        );
    }
    if most > MOST {
        bail!("a loop that nobody looks at pays for it: {:.2} %", most * 100.0);
    }
    Ok(Report::passed(format!("at most {:.2} % of the instructions", most * 100.0)))
}

fn has_valgrind() -> bool {
    let mut valgrind = Command::new("valgrind");
    valgrind.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    valgrind.status().is_ok()
}

/// The flag is given to the one package only, as that of planted faults is (`mutants/mod.rs`).
fn build(workspace: &Workspace, blind: bool) -> Result<std::path::PathBuf> {
    let dir = workspace.target_dir("sight");
    let what = ["--release", "--package", "uring-loop", "--example", "counted"];
    let mut words = vec!["build", "--target-dir", &dir];
    words.extend(what);
    if blind {
        words.extend(["-Zprofile-rustflags", "--config"]);
        words.push("profile.release.package.uring-loop.rustflags=['--cfg', 'blind']");
    }
    let mut command = workspace.cargo(words);
    command.env("RUSTC_BOOTSTRAP", "1");
    let built = libtest::executables(command)?;
    let program = built.into_iter().find(|program| program.target == "counted");
    Ok(program.context("cargo built no program `counted`")?.path)
}

/// Instructions of each piece of work.
fn measure(program: &Path, more: &[&str]) -> Result<Vec<f64>> {
    let one = |&(work, count): &(&str, u64)| {
        let once = instructions(program, work, count, more)?;
        let twice = instructions(program, work, count * 2, more)?;
        ensure!(twice > once, "{work}: {twice} instructions for twice as much as {once}");
        Ok((twice - once) as f64 / count as f64)
    };
    WORK.iter().map(one).collect()
}

fn instructions(program: &Path, work: &str, count: u64, more: &[&str]) -> Result<u64> {
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(program)
        .args([work, &count.to_string()])
        .args(more);
    let ran = shell::run(command, Echo::Silent, None)?;
    ensure!(ran.success(), "{work} under valgrind: {}\n{}", ran.how(), ran.text);
    counted(&ran.text).with_context(|| format!("valgrind counted nothing:\n{}", ran.text))
}

/// The number of valgrind's line `==123== I refs: 1,234,567`.
fn counted(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.contains("refs:"))?;
    line.rsplit("refs:").next()?.trim().replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_what_valgrind_says() {
        let text = "==7== Cachegrind, a tool\n==7== \n==7== I   refs:      1,234,567\n";
        assert_eq!(counted(text), Some(1_234_567));
        assert_eq!(counted("==7== Cachegrind\n"), None);
    }
}
