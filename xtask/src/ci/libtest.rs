//! Reading what cargo's test programs print: which tests ran, and how each ended.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::shell;
use crate::workspace::Workspace;

/// How one test ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Ok,
    Failed,
    Ignored,
}

/// One line `test path::name ... ok`.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Test<'a> {
    pub(crate) name: &'a str,
    pub(crate) verdict: Verdict,
}

/// A program built by `cargo test --no-run` or `cargo build --examples`.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Executable {
    pub(crate) target: String,
    /// "lib", "test", "example", …
    pub(crate) kind: String,
    pub(crate) path: PathBuf,
    /// That of the package.
    pub(crate) folder: PathBuf,
}

/// Every test that the output tells the end of.
pub(crate) fn tests(output: &str) -> Vec<Test<'_>> {
    output.lines().filter_map(test).collect()
}

/// How many tests have passed.
pub(super) fn passed(output: &str) -> usize {
    tests(output).iter().filter(|test| test.verdict == Verdict::Ok).count()
}

fn test(line: &str) -> Option<Test<'_>> {
    let (name, verdict) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let verdict = match verdict.split([' ', ',']).next()? {
        "ok" => Verdict::Ok,
        "FAILED" => Verdict::Failed,
        "ignored" => Verdict::Ignored,
        _ => return None,
    };
    Some(Test { name: name.strip_suffix(" - should panic").unwrap_or(name), verdict })
}

/// How many tests the programs said they would run.
pub(crate) fn announced(output: &str) -> usize {
    let count = |line: &str| {
        let words = line.strip_prefix("running ")?;
        words.strip_suffix(" tests").or(words.strip_suffix(" test"))?.parse::<usize>().ok()
    };
    output.lines().filter_map(count).sum()
}

/// cargo's own words about each program: what ran, and `test result: …`.
pub(crate) fn last_words(output: &str) -> Vec<String> {
    let is_one = |line: &&str| {
        let line = line.trim_start();
        ["Running ", "Doc-tests ", "test result: "].iter().any(|start| line.starts_with(start))
    };
    output.lines().filter(is_one).map(str::to_owned).collect()
}

/// Builds with `command` (which gets `--message-format` added) and says what programs came of it.
pub(crate) fn executables(mut command: Command) -> Result<Vec<Executable>> {
    command.arg("--message-format=json-render-diagnostics");
    built(&shell::capture(command)?)
}

/// The test programs of a package, as the section `test` has built them: a build of the package
/// alone would have other features, and build much of it anew.
pub(super) fn of_package(workspace: &Workspace, folder: &Path) -> Result<Vec<Executable>> {
    let words = super::cargo::TEST.iter().chain(super::cargo::TARGETS).chain(&["--no-run"]);
    let built = executables(workspace.cargo(words.copied()))?;
    let tests = built.into_iter().filter(|program| program.folder == folder);
    Ok(tests.filter(|program| matches!(&*program.kind, "lib" | "test")).collect())
}

fn built(messages: &str) -> Result<Vec<Executable>> {
    let mut found = Vec::new();
    for line in messages.lines() {
        let message: Value = serde_json::from_str(line)
            .with_context(|| format!("cargo wrote a line that is not JSON: {line}"))?;
        let target = &message["target"];
        let Some(path) = message["executable"].as_str() else { continue };
        found.push(Executable {
            target: target["name"].as_str().unwrap_or_default().to_owned(),
            kind: target["kind"][0].as_str().unwrap_or_default().to_owned(),
            path: path.into(),
            folder: PathBuf::from(message["manifest_path"].as_str().unwrap_or_default())
                .parent()
                .map(PathBuf::from)
                .unwrap_or_default(),
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "   Compiling loops v0.1.0
     Running unittests src/lib.rs (target/debug/deps/loops-0a1b)

running 4 tests
test wheel::fires_in_order ... ok
test door::loom_bell_is_not_lost ... FAILED
test net::needs_a_network ... ignored, no network
test slab::a_stale_key_panics - should panic ... ok
test wheel::slow has been running for over 60 seconds

failures:

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s

   Doc-tests loops

running 1 test
test crates/loops/src/lib.rs - (line 3) ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.20s
";

    #[test]
    fn every_end_of_a_test_is_read() {
        let told: Vec<_> =
            tests(OUTPUT).into_iter().map(|test| (test.name, test.verdict)).collect();
        let expected = [
            ("wheel::fires_in_order", Verdict::Ok),
            ("door::loom_bell_is_not_lost", Verdict::Failed),
            ("net::needs_a_network", Verdict::Ignored),
            ("slab::a_stale_key_panics", Verdict::Ok),
            ("crates/loops/src/lib.rs - (line 3)", Verdict::Ok),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn announced_tests_are_added_up() {
        assert_eq!(announced(OUTPUT), 5);
        assert_eq!(announced("running late\nrunning 0 tests\n"), 0);
    }

    #[test]
    fn last_words_name_the_program_before_its_result() {
        let words = last_words(OUTPUT);
        let starts: Vec<_> = words.iter().map(|line| &line.trim_start()[..11]).collect();
        assert_eq!(starts, ["Running uni", "test result", "Doc-tests l", "test result"]);
    }

    #[test]
    fn programs_are_read_from_cargos_messages() {
        let messages = r#"
{"reason":"compiler-artifact","target":{"name":"a","kind":["lib"]},"executable":null}
{"manifest_path":"/a/Cargo.toml","target":{"name":"it","kind":["test"]},"executable":"/t/it-1"}
{"reason":"build-finished","success":true}"#;
        let (target, kind) = ("it".into(), "test".into());
        let it = Executable { target, kind, path: "/t/it-1".into(), folder: "/a".into() };
        assert_eq!(built(messages.trim_start()).expect("well formed"), [it]);
        assert!(built("warning: not JSON").is_err());
    }
}
