//! Every deliberate fault must be caught by the test that is named for it.
//!
//! A fault is planted behind `mutant!("NAME")`, which is true only in a build with `--cfg mutants`,
//! and there only for the name in the variable `MUTANT`. `mutants.txt` beside a crate's Cargo.toml
//! says which test has to fail (`table.rs` has the format). So a crate is built once, or twice if
//! it has faults for loom models, and the tests are run once for each fault.
//!
//! The cfg is given to the one package only, by cargo's unstable profile-rustflags: RUSTFLAGS would
//! rebuild every dependency. By hand, RUSTFLAGS does the same:
//! `MUTANT=NAME RUSTFLAGS='--cfg mutants' cargo test -p PACKAGE FILTER`.

mod table;

use std::fs;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use self::table::{Entry, Want};
use super::libtest::Executable;
use super::{Report, libtest, loom};
use crate::shell::{self, Echo, Ran};
use crate::tidy::Source;
use crate::workspace::{Package, Workspace, rust_files};

/// A test that takes longer than this is stuck.
const LIMIT: Duration = Duration::from_secs(300);
/// The same where being stuck is what the table expects: each such fault costs this much.
const HANG_LIMIT: Duration = Duration::from_secs(20);

pub(super) fn section(workspace: &Workspace) -> Result<Report> {
    let mut caught = 0;
    let mut failures = Vec::new();
    for package in workspace.crates() {
        let entries = entries(package)?;
        let built = Built::of(workspace, package, &entries)?;
        for (entry, verdict) in judge_all(package, &entries, &built) {
            match verdict {
                Ok(_) => caught += 1,
                Err(error) => {
                    failures.push(format!("{} ({}): {error:#}", entry.name, entry.breaks));
                }
            }
        }
    }
    if !failures.is_empty() {
        bail!("{caught} caught, {} not\n{}", failures.len(), failures.join("\n"));
    }
    match caught {
        0 => Ok(Report::skipped("no fault is planted in any crate")),
        _ => Ok(Report::passed(format!("{caught} faults, all caught"))),
    }
}

/// A fault shows itself at once, or in a test that waits in vain: most of the time is waiting, so
/// more of them run at a time than there are cores.
const AT_ONCE: usize = 6;

/// Runs the tests of all faults, many at a time. What takes long comes first.
fn judge_all<'a>(
    package: &Package,
    entries: &'a [Entry],
    built: &Built,
) -> Vec<(&'a Entry, Result<&'static str>)> {
    let mut order: Vec<_> = entries.iter().collect();
    order.sort_by_key(|entry| entry.want != Want::Hang);
    let next = Mutex::new(order.into_iter());
    let work = || {
        let mut judged = Vec::new();
        loop {
            let entry = next.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(entry) = entry else { return judged };
            let start = Instant::now();
            let verdict = verdict(package, entry, built);
            let (name, took) = (&entry.name, start.elapsed().as_secs_f64());
            match &verdict {
                Ok(how) => anstream::println!("mutant {name}: caught: {how} ({took:.1} s)"),
                Err(error) => anstream::println!("mutant {name}: NOT CAUGHT: {error:#}"),
            }
            judged.push((entry, verdict));
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE * cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    })
}

/// The table of a crate, complete both ways.
fn entries(package: &Package) -> Result<Vec<Entry>> {
    let mut planted = Vec::new();
    for path in rust_files(&package.dir.join("src"))? {
        let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
        planted.extend(Source::new("", &text).mutants());
    }
    let path = package.dir.join("mutants.txt");
    let text = match path.exists() {
        true => fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?,
        false => String::new(),
    };
    let entries = table::parse(&text).with_context(|| format!("{}", path.display()))?;
    table::complete(&planted, &entries).with_context(|| format!("{}", path.display()))?;
    Ok(entries)
}

/// The test programs of a crate with all its faults in them: as they are, and as loom models.
#[derive(Default)]
struct Built {
    plain: Vec<Executable>,
    loom: Vec<Executable>,
}

impl Built {
    /// Builds what these entries need.
    fn of(workspace: &Workspace, package: &Package, entries: &[Entry]) -> Result<Self> {
        let programs = |loom| match entries.iter().any(|entry| entry.loom() == loom) {
            true => libtest::executables(build(workspace, package, &test(loom))),
            false => Ok(Vec::new()),
        };
        if entries.iter().any(|entry| entry.examples) {
            shell::check(build(workspace, package, &EXAMPLES))?;
        }
        Ok(Built { plain: programs(false)?, loom: programs(true)? })
    }

    /// Those that the entry may concern.
    fn programs(&self, entry: &Entry) -> impl Iterator<Item = &Executable> {
        let programs = if entry.loom() { &self.loom } else { &self.plain };
        programs.iter().filter(|program| entry.concerns(&program.kind, &program.target))
    }
}

/// Runs the test of a fault; `Err` says why it does not count as caught.
fn verdict(package: &Package, entry: &Entry, built: &Built) -> Result<&'static str> {
    let limit = if entry.want == Want::Hang { HANG_LIMIT } else { LIMIT };
    let mut survived = false;
    for program in built.programs(entry) {
        let mut test = Command::new(&program.path);
        test.args(&entry.filter)
            .current_dir(&package.dir)
            .env("CARGO_MANIFEST_DIR", &package.dir)
            .env("MUTANT", &entry.name)
            .env("RUST_BACKTRACE", "0");
        match judge(&shell::run(test, Echo::Silent, Some(limit))?, entry.want) {
            Fate::NothingRan => {}
            Fate::Survived => survived = true,
            Fate::Caught(how) => return Ok(how),
            Fate::Stuck => bail!("its test hangs, and the table does not expect that"),
            Fate::Broken(text) => bail!("the test program failed without running a test:\n{text}"),
        }
    }
    ensure!(survived, "no test matches `{}`", entry.filter.join(" "));
    bail!("`{}` passes all the same", entry.filter.join(" "))
}

/// What cargo is to build with all faults in it.
struct What {
    words: &'static [&'static str],
    loom: bool,
}

fn test(loom: bool) -> What {
    let words: &[_] = match loom {
        true => &["test", "--no-run", "--release", "--lib"],
        false => &["test", "--no-run", "--all-features", "--tests"],
    };
    What { words, loom }
}

/// As programs: `cargo test --examples` would make test programs of them.
const EXAMPLES: What = What { words: &["build", "--all-features", "--examples"], loom: false };

fn build(workspace: &Workspace, package: &Package, what: &What) -> Command {
    let profile = if what.loom { "release" } else { "dev" };
    let flags =
        format!("profile.{profile}.package.{}.rustflags=['--cfg', 'mutants']", package.name);
    let dir = workspace.target_dir("mutants");
    let mut words = what.words.to_vec();
    words.extend(["--package", &package.name, "--target-dir", &dir]);
    words.extend(["-Zprofile-rustflags", "--config", &flags]);
    let mut command = workspace.cargo(words);
    // Nobody debugs these.
    command.env("CARGO_PROFILE_DEV_DEBUG", "none").env("RUSTC_BOOTSTRAP", "1");
    if what.loom {
        command.env("RUSTFLAGS", loom::RUSTFLAGS);
    }
    command
}

#[derive(PartialEq, Eq, Debug)]
enum Fate {
    /// No test of this program matches.
    NothingRan,
    Survived,
    Caught(&'static str),
    Stuck,
    /// It failed before any test began.
    Broken(String),
}

fn judge(ran: &Ran, want: Want) -> Fate {
    let tests = libtest::tests(&ran.text);
    let failed = tests.iter().any(|test| test.verdict == libtest::Verdict::Failed);
    let passed = tests.iter().any(|test| test.verdict == libtest::Verdict::Ok);
    if libtest::announced(&ran.text) == 0 {
        return match ran.success() {
            true => Fate::NothingRan,
            false => Fate::Broken(ran.text.clone()),
        };
    }
    match ran.status {
        None if want == Want::Hang => Fate::Caught("its test hangs, as expected"),
        None => Fate::Stuck,
        Some(status) if status.success() && passed => Fate::Survived,
        Some(status) if status.success() => Fate::NothingRan,
        Some(_) if failed => Fate::Caught("its test fails"),
        Some(_) => Fate::Caught("its test takes the process down"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    fn ran(status: Option<i32>, text: &str) -> Ran {
        Ran { status: status.map(ExitStatus::from_raw), text: text.to_owned() }
    }

    const EXIT_101: Option<i32> = Some(101 << 8);
    const SIGABRT: Option<i32> = Some(6);

    #[test]
    fn a_failing_test_catches() {
        let fate = judge(&ran(EXIT_101, "running 1 test\ntest a ... FAILED\n"), Want::Failure);
        assert_eq!(fate, Fate::Caught("its test fails"));
    }

    #[test]
    fn a_test_that_aborts_catches() {
        let fate = judge(&ran(SIGABRT, "running 1 test\n"), Want::Failure);
        assert_eq!(fate, Fate::Caught("its test takes the process down"));
    }

    #[test]
    fn a_passing_test_does_not_catch() {
        let fate = judge(&ran(Some(0), "running 1 test\ntest a ... ok\n"), Want::Failure);
        assert_eq!(fate, Fate::Survived);
    }

    #[test]
    fn tests_that_are_ignored_or_absent_are_no_proof() {
        assert_eq!(judge(&ran(Some(0), "running 0 tests\n"), Want::Failure), Fate::NothingRan);
        let ignored = "running 1 test\ntest a ... ignored\n";
        assert_eq!(judge(&ran(Some(0), ignored), Want::Failure), Fate::NothingRan);
    }

    #[test]
    fn a_program_that_fails_before_its_tests_is_no_proof() {
        let fate = judge(&ran(EXIT_101, "error: bad flag\n"), Want::Failure);
        assert_eq!(fate, Fate::Broken("error: bad flag\n".into()));
    }

    #[test]
    fn a_hang_counts_only_where_the_table_says_so() {
        let stuck = ran(None, "running 1 test\n");
        assert_eq!(judge(&stuck, Want::Failure), Fate::Stuck);
        assert_eq!(judge(&stuck, Want::Hang), Fate::Caught("its test hangs, as expected"));
    }

    #[test]
    fn the_build_gives_the_faults_to_one_package_only() {
        let workspace = Workspace { root: "/w".into(), packages: Vec::new() };
        let package = Package {
            name: "loops".into(),
            version: "0.1.0".into(),
            dir: "/w/loops".into(),
            targets: Vec::new(),
        };
        let line = shell::describe(&build(&workspace, &package, &test(false)));
        assert!(line.contains("profile.dev.package.loops.rustflags=["), "{line}");
        assert!(line.contains("--all-features --tests") && !line.contains("RUSTFLAGS"), "{line}");
        let line = shell::describe(&build(&workspace, &package, &test(true)));
        assert!(line.contains("RUSTFLAGS='--cfg loom'") && line.contains("--release"), "{line}");
        let line = shell::describe(&build(&workspace, &package, &EXAMPLES));
        assert!(line.contains("cargo build") && line.contains("'mutants'"), "{line}");
    }
}
