//! `cargo xtask fuzz`: what takes bytes from outside, and programs of operations, under libFuzzer.
//!
//! A target is a function of a crate's module `fuzzing`; its seeds are the files of the folder
//! `fuzz/TARGET` of that crate, which the crate's own tests run too. The program that feeds them
//! is the package in `xtask/fuzz`. Our crates are built with AddressSanitizer and with the counters
//! that libFuzzer looks at, those of others without: it is to find its way through ours. What that
//! takes is unstable in rustc and cargo, hence `RUSTC_BOOTSTRAP`; no nightly is needed, nor clang,
//! nor cargo-fuzz.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};

use crate::ci::{asan, libtest};
use crate::flags::FuzzFlags;
use crate::shell::{self, Echo, Ran};
use crate::workspace::{Package, Workspace};

/// What cargo-fuzz gives to rustc: a counter for each edge, and what comparisons compare.
const RUSTFLAGS: &[&str] = &[
    "--cfg=fuzz",
    "-Zsanitizer=address",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Bytes of an input: longer ones say little that shorter ones don't, and take longer.
const LONGEST: u32 = 600;

/// Something that is fed, and the folder of its seeds.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    seeds: PathBuf,
}

/// Does what `flags` ask for; false when a target failed.
pub(crate) fn run(flags: &FuzzFlags) -> Result<bool> {
    let workspace = Workspace::load()?;
    let all = targets(&workspace)?;
    if flags.list {
        for target in &all {
            anstream::println!("{:12} {}", target.name, target.seeds.display());
        }
        return Ok(true);
    }
    let wanted = chosen(&all, &flags.targets)?;
    let fuzzer = Fuzzer::build(&workspace)?;
    let mut good = true;
    for target in wanted {
        let command = match (flags.replay.is_empty(), flags.merge) {
            (false, _) => fuzzer.replay(target, &flags.replay),
            (true, true) => fuzzer.merge(target)?,
            (true, false) => fuzzer.feed(target, flags.seconds, &[])?,
        };
        let ran = shell::run(command, Echo::Live, None)?;
        good &= ran.success();
        if !ran.success() {
            anstream::eprintln!("{}", failed(target, &ran));
        }
    }
    Ok(good)
}

/// Every folder `fuzz/TARGET` of a crate.
pub(crate) fn targets(workspace: &Workspace) -> Result<Vec<Target>> {
    let mut found = Vec::new();
    for package in workspace.crates() {
        let home = home_of(package);
        if !home.is_dir() {
            continue;
        }
        let entries = fs::read_dir(&home).with_context(|| format!("reading {home:?}"))?;
        for entry in entries {
            let seeds = entry?.path();
            if seeds.is_dir() {
                let name = seeds.file_name().unwrap_or_default().to_string_lossy().into_owned();
                found.push(Target { name, seeds });
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Where a crate has its seeds, if it has any.
fn home_of(package: &Package) -> PathBuf {
    package.dir.join("fuzz")
}

fn chosen<'a>(all: &'a [Target], names: &[String]) -> Result<Vec<&'a Target>> {
    if names.is_empty() {
        return Ok(all.iter().collect());
    }
    let find = |name: &String| {
        let known = || all.iter().map(|target| &*target.name).collect::<Vec<_>>().join(", ");
        let target = all.iter().find(|target| target.name == *name);
        target.with_context(|| format!("there is no target {name}, but {}", known()))
    };
    names.iter().map(find).collect()
}

/// The program, built, and where its findings go.
pub(crate) struct Fuzzer {
    program: PathBuf,
    home: PathBuf,
}

impl Fuzzer {
    pub(crate) fn build(workspace: &Workspace) -> Result<Self> {
        let (host, home) = (asan::host()?, workspace.target_dir("fuzz"));
        let what = ["build", "--package", "fuzz", "--profile", "fuzz", "--target", &host];
        let mut command = workspace.cargo(what.into_iter().chain(["--target-dir", &home]));
        command.arg("-Zprofile-rustflags");
        let fed = workspace.crates().filter(|package| home_of(package).is_dir());
        for name in fed.map(|package| &*package.name).chain(["fuzz"]) {
            let flags = format!("profile.fuzz.package.{name}.rustflags={RUSTFLAGS:?}");
            command.args(["--config", &flags]);
        }
        // This one says that there is a libFuzzer to link: cargo asks the flags of all crates.
        command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", RUSTFLAGS[0]);
        let built = libtest::executables(command)?;
        let program = built.into_iter().find(|program| program.target == "fuzz");
        let program = program.context("cargo built no program `fuzz`")?.path;
        Ok(Fuzzer { program, home: home.into() })
    }

    /// What was found beside the seeds, of this machine alone.
    fn found(&self, target: &Target) -> Result<PathBuf> {
        let folder = self.home.join("found").join(&target.name);
        fs::create_dir_all(&folder).with_context(|| format!("making {folder:?}"))?;
        Ok(folder)
    }

    fn program(&self, target: &Target) -> Command {
        let mut command = Command::new(&self.program);
        let failures = self.home.join("failures").join(&target.name);
        command
            .env("FUZZ_TARGET", &target.name)
            .env("RUST_BACKTRACE", "1")
            .arg(format!("-artifact_prefix={}/", failures.display()))
            .args(["-timeout=20", "-rss_limit_mb=2048"]);
        // It cannot write what has failed into a folder that is not there.
        let _ = fs::create_dir_all(failures);
        command
    }

    /// Feeds a target for some seconds, from its seeds and what was found before.
    pub(crate) fn feed(&self, target: &Target, seconds: u32, more: &[&str]) -> Result<Command> {
        let mut command = self.program(target);
        command.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={LONGEST}"));
        command.args(more).arg(self.found(target)?).arg(&target.seeds);
        Ok(command)
    }

    fn replay(&self, target: &Target, files: &[PathBuf]) -> Command {
        let mut command = self.program(target);
        command.args(files);
        command
    }

    /// Adds to the seeds what was found and reaches more of the code.
    fn merge(&self, target: &Target) -> Result<Command> {
        let mut command = self.program(target);
        command.arg("-set_cover_merge=1").arg(&target.seeds).arg(self.found(target)?);
        Ok(command)
    }
}

/// What to do about it.
fn failed(target: &Target, ran: &Ran) -> String {
    let Target { name, seeds } = target;
    let written = ran.text.lines().find_map(|line| line.split_once("Test unit written to "));
    let seeds = shown(seeds);
    let Some((_, file)) = written else { return format!("{name}: {}", ran.how()) };
    format!(
        "{name}: {}. Again: cargo xtask fuzz {name} --replay {file}\n\
         With the fix comes a test, and the input as a file of {seeds}.",
        ran.how()
    )
}

fn shown(path: &Path) -> String {
    let root = crate::workspace::root();
    path.strip_prefix(&root).unwrap_or(path).display().to_string()
}

/// A target that was fed: how often, or what went wrong.
pub(crate) type Fed = (String, Result<u64>);

/// Feeds all targets for some seconds each, on all cores.
pub(crate) fn feed_all(workspace: &Workspace, seconds: u32) -> Result<Vec<Fed>> {
    let (all, fuzzer) = (targets(workspace)?, Fuzzer::build(workspace)?);
    ensure!(!all.is_empty(), "no crate has a folder `fuzz` with targets in it");
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let share = |first: usize| {
        let own = all.iter().skip(first).step_by(cores);
        own.map(|target| (target.name.clone(), feed(&fuzzer, target, seconds))).collect()
    };
    let fed = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|first| scope.spawn(move || share(first))).collect();
        let shares = threads.into_iter().map(|thread| thread.join().expect("no panic"));
        shares.flat_map(|share: Vec<Fed>| share).collect()
    });
    Ok(fed)
}

fn feed(fuzzer: &Fuzzer, target: &Target, seconds: u32) -> Result<u64> {
    // The same inputs each time, as far as time allows: what fails is the change that is looked at.
    let command = fuzzer.feed(target, seconds, &["-seed=1"])?;
    let ran = shell::run(command, Echo::Silent, None)?;
    if !ran.success() {
        bail!("{}\n{}", ran.text, failed(target, &ran));
    }
    runs(&ran.text).with_context(|| format!("it does not say how often it ran:\n{}", ran.text))
}

/// The number in "Done 123 runs in 4 second(s)".
fn runs(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Done "))?;
    line.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> Target {
        Target {
            name: name.into(),
            seeds: crate::workspace::root().join("crates/a/fuzz").join(name),
        }
    }

    #[test]
    fn targets_are_folders_of_crates() {
        let workspace = Workspace::load().expect("cargo metadata runs");
        let names: Vec<_> =
            targets(&workspace).expect("readable").into_iter().map(|target| target.name).collect();
        assert!(names.contains(&"operations".to_owned()), "{names:?}");
    }

    #[test]
    fn a_target_that_is_not_there_is_refused_and_the_others_are_named() {
        let all = [target("one"), target("two")];
        assert_eq!(chosen(&all, &[]).expect("all").len(), 2);
        assert_eq!(chosen(&all, &["two".into()]).expect("one"), [&all[1]]);
        let error = chosen(&all, &["three".into()]).expect_err("none").to_string();
        assert_eq!(error, "there is no target three, but one, two");
    }

    #[test]
    fn the_number_of_runs_is_read() {
        assert_eq!(runs("#2 INITED\nDone 1234 runs in 5 second(s)\nstat::x: 1\n"), Some(1234));
        assert_eq!(runs("==1== ERROR: libFuzzer: deadly signal"), None);
    }

    #[test]
    fn a_failure_says_how_to_see_it_again() {
        let text = "artifact_prefix='x'; Test unit written to target/fuzz/failures/one/crash-1\n";
        let ran = Ran { status: None, text: text.to_owned() };
        let said = failed(&target("one"), &ran);
        assert!(said.contains("fuzz one --replay target/fuzz/failures/one/crash-1"), "{said}");
        assert!(said.contains("a file of crates/a/fuzz/one"), "{said}");
    }
}
