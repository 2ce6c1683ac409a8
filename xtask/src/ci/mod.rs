//! `cargo xtask ci`: named, timed sections, a summary, and cargo's own test lines last.
//!
//! The list of sections and the running of it are here; what a section does is in the file named
//! after it, the plain calls of cargo in `cargo.rs`. The hosted run (`.ci/run`) is this command.

pub(crate) mod asan;
mod cargo;
mod disk;
mod examples;
mod fuzz;
mod kernels;
pub(crate) mod libtest;
mod loom;
mod mutants;
mod sight;
mod sim;
mod soft;
mod sysctl;
mod tally;

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::flags::CiFlags;
use crate::workspace::Workspace;

/// One named part of the checks.
struct Section {
    name: &'static str,
    about: &'static str,
    run: fn(&Workspace) -> Result<Report>,
    /// Left out unless named, or asked for by `--with-benches`.
    heavy: bool,
}

/// What a section has to say when it is over. A plain `Err` is a failure too.
#[derive(Default, Debug)]
struct Report {
    failed: bool,
    skipped: bool,
    /// One line for the summary; may be empty.
    note: String,
    /// Repeated after the summary, as the very last lines.
    last_words: Vec<String>,
}

impl Report {
    fn passed(note: impl Into<String>) -> Self {
        Self { note: note.into(), ..Self::default() }
    }

    fn skipped(why: impl Into<String>) -> Self {
        Self { skipped: true, note: why.into(), ..Self::default() }
    }
}

/// What is quick comes first; a broken build is known before the long sections begin.
const SECTIONS: &[Section] = &[
    light("fmt", "every file is as rustfmt writes it", cargo::fmt),
    light("tidy", "the house rules (also: cargo xtask tidy)", cargo::tidy),
    light("clippy", "no warning in any target with all features", cargo::clippy),
    light(
        "features",
        "each crate builds alone, with default and with no features",
        cargo::features,
    ),
    light("test", "cargo test, all features", cargo::test),
    light("soft", "the tests of uring-loop, with io_uring refused by a filter", soft::section),
    light("kernels", "the tests that meet a kernel, as on older ones", kernels::section),
    light("doctest", "the examples in the docs", cargo::doctest),
    light("doc", "the docs build without a warning", cargo::doc),
    light("package", "what would be published can be made", cargo::package),
    light("examples", "every example runs and says what it should", examples::section),
    light("sim", "scenarios on simulated kernels, seed after seed", sim::section),
    light("sight", "a loop that nobody looks at pays nothing for it", sight::section),
    light("fuzz", "each target of cargo xtask fuzz, for a moment", fuzz::section),
    light("loom", "every model of the lock-free parts, and each one did run", loom::section),
    light("asan", "the tests under AddressSanitizer with leak detection", asan::section),
    light("mutants", "every planted fault is caught by the test named for it", mutants::section),
    Section {
        name: "benches",
        about: "clippy and tests of the benches package (builds its peers)",
        run: cargo::benches,
        heavy: true,
    },
];

const fn light(
    name: &'static str,
    about: &'static str,
    run: fn(&Workspace) -> Result<Report>,
) -> Section {
    Section { name, about, run, heavy: false }
}

/// The names that `cargo xtask ci SECTION…` takes.
pub(crate) fn names() -> Vec<&'static str> {
    SECTIONS.iter().map(|section| section.name).collect()
}

/// Runs what `flags` ask for; false when a section failed.
pub(crate) fn run(flags: &CiFlags) -> Result<bool> {
    if flags.list {
        let mut out = anstream::stdout();
        for section in SECTIONS {
            let heavy = if section.heavy { " [--with-benches]" } else { "" };
            writeln!(out, "{:9} {}{heavy}", section.name, section.about)?;
        }
        return Ok(true);
    }
    let workspace = Workspace::load()?;
    if flags.sysctl {
        return sysctl::section(&workspace, &flags.command);
    }
    let wanted: Vec<_> = SECTIONS.iter().filter(|section| wants(flags, section)).collect();
    let done = run_all(&wanted, flags, &workspace);
    let mut out = anstream::stdout();
    writeln!(out, "\n{}", summary(&done))?;
    for line in done.iter().flat_map(|done| &done.report.last_words) {
        writeln!(out, "{line}")?;
    }
    Ok(done.len() == wanted.len() && done.iter().all(|done| !done.report.failed))
}

fn wants(flags: &CiFlags, section: &Section) -> bool {
    if section.heavy && flags.with_benches {
        return true;
    }
    if flags.sections.is_empty() {
        !section.heavy
    } else {
        flags.sections.iter().any(|name| name == section.name)
    }
}

/// A section that was run.
struct Done {
    name: &'static str,
    report: Report,
    took: Duration,
}

fn run_all(wanted: &[&Section], flags: &CiFlags, workspace: &Workspace) -> Vec<Done> {
    let mut all = Vec::new();
    for section in wanted {
        anstream::eprintln!("\n==== {}: {}", section.name, section.about);
        let start = Instant::now();
        let mut report = (section.run)(workspace).unwrap_or_else(|error| Report {
            failed: true,
            note: format!("{error:#}"),
            ..Report::default()
        });
        if report.failed
            && let Some(short) = disk::short(workspace)
        {
            report.note = format!("{}\n{short}", report.note.trim_end());
        }
        if flags.sweep {
            disk::sweep(workspace, section.name);
        }
        let done = Done { name: section.name, report, took: start.elapsed() };
        anstream::eprint!("==== {}", done.line());
        let stop = done.report.failed && !flags.keep_going;
        all.push(done);
        if stop {
            break;
        }
    }
    all
}

impl Done {
    fn verdict(&self) -> &'static str {
        match (self.report.failed, self.report.skipped) {
            (true, _) => "FAILED",
            (false, true) => "skipped",
            (false, false) => "passed",
        }
    }

    fn line(&self) -> String {
        let seconds = self.took.as_secs_f64();
        let text = format!("{:9} {:7} {seconds:7.1} s  ", self.name, self.verdict());
        let indent = format!("\n{:28}", "");
        format!("{}\n", (text + &self.report.note.trim_end().replace('\n', &indent)).trim_end())
    }
}

fn summary(all: &[Done]) -> String {
    let total: Duration = all.iter().map(|done| done.took).sum();
    let count = |verdict| all.iter().filter(|done| done.verdict() == verdict).count();
    let (passed, failed, skipped) = (count("passed"), count("FAILED"), count("skipped"));
    let mut text = String::new();
    for done in all {
        text += &done.line();
    }
    let seconds = total.as_secs_f64();
    // Writing to a String cannot fail.
    let _ =
        writeln!(text, "ci: {passed} passed, {failed} failed, {skipped} skipped in {seconds:.0} s");
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::flags::{Command, Flags};

    fn flags(words: &[&str]) -> CiFlags {
        let words = ["xtask", "ci"].iter().chain(words);
        match Flags::parse_from(words).command {
            Command::Ci(ci) => ci,
            other => panic!("{other:?}"),
        }
    }

    fn wanted(words: &[&str]) -> Vec<&'static str> {
        let flags = flags(words);
        SECTIONS.iter().filter(|s| wants(&flags, s)).map(|s| s.name).collect()
    }

    fn empty() -> Workspace {
        Workspace { root: "/nowhere".into(), packages: Vec::new() }
    }

    #[test]
    fn heavy_sections_run_only_when_asked_for() {
        assert!(!wanted(&[]).contains(&"benches"));
        assert_eq!(wanted(&["--with-benches"]), names());
        assert_eq!(wanted(&["benches", "fmt"]), ["fmt", "benches"]);
    }

    #[test]
    fn the_first_failure_ends_the_run_unless_told_to_keep_going() {
        let good = light("good", "", |_| Ok(Report::passed("fine")));
        let bad = light("bad", "", |_| anyhow::bail!("two\nlines"));
        let all = [&good, &bad, &good];
        assert_eq!(run_all(&all, &flags(&[]), &empty()).len(), 2);
        let done = run_all(&all, &flags(&["--keep-going"]), &empty());
        assert_eq!(done.len(), 3);
        assert!(!done[0].report.failed && done[1].report.failed && !done[2].report.failed);
    }

    #[test]
    fn the_summary_counts_and_keeps_every_note() {
        let took = Duration::from_millis(1500);
        let skipped = Report::skipped("no models");
        let failed = Report { failed: true, note: "two\nlines".into(), ..Report::default() };
        let all = [
            Done { name: "fmt", report: Report::default(), took },
            Done { name: "loom", report: skipped, took },
            Done { name: "test", report: failed, took },
        ];
        let expected = "\
fmt       passed      1.5 s
loom      skipped     1.5 s  no models
test      FAILED      1.5 s  two
                            lines
ci: 1 passed, 1 failed, 1 skipped in 4 s
";
        assert_eq!(summary(&all), expected);
    }
}
