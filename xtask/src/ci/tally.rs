//! Test programs of a package run once more, where something is different, and what they came to
//! together.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::{Report, libtest};
use crate::shell::{self, Echo};

/// What the programs that ran came to.
#[derive(Default, Debug)]
pub(super) struct Tally {
    passed: usize,
    failed: bool,
    last_words: Vec<String>,
}

impl Tally {
    /// Runs a program of the package in `home` where cargo would run it. Which ring is for its
    /// tests is not taken from whoever called us.
    pub(super) fn run(&mut self, mut command: Command, home: &Path) -> Result<()> {
        command.current_dir(home).env("CARGO_MANIFEST_DIR", home).env_remove("URING_LOOP_RING");
        let ran = shell::run(command, Echo::Live, None)?;
        self.add(&ran.text, ran.success());
        Ok(())
    }

    fn add(&mut self, text: &str, success: bool) {
        self.passed += libtest::passed(text);
        self.failed |= !success;
        self.last_words.extend(libtest::last_words(text));
    }

    /// The report of a section, with a note on how many tests passed.
    ///
    /// # Errors
    /// When none did.
    pub(super) fn report(self, note: impl FnOnce(usize) -> String) -> Result<Report> {
        let Self { passed, failed, last_words } = self;
        ensure!(passed > 0, "no test ran, which proves nothing");
        Ok(Report { failed, note: note(passed), last_words, ..Report::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(passed: usize) -> String {
        format!("{passed} tests")
    }

    #[test]
    fn one_program_that_fails_fails_the_section() {
        let mut tally = Tally::default();
        tally.add("test a ... ok\ntest b ... FAILED\ntest result: FAILED. 1 passed", false);
        tally.add("test c ... ok\ntest result: ok. 1 passed", true);
        let report = tally.report(note).expect("tests have passed");
        assert!(report.failed);
        assert_eq!(report.note, "2 tests");
        assert_eq!(report.last_words.len(), 2);
    }

    #[test]
    fn programs_without_a_test_prove_nothing() {
        let mut tally = Tally::default();
        tally.add("running 0 tests\ntest result: ok. 0 passed", true);
        assert!(tally.report(note).is_err());
    }
}
