//! `mutants.txt`: one planted fault a line, and the check that none is missing.
//!
//! ```text
//! # name | test | what it breaks
//! lost_bell | door::loom_bell_is_not_lost | the door rings before it pushes
//! early_free | --test it drop_in_flight | a slot is freed before its last completion
//! no_cancel | --test it shutdown | a dropped operation is not cancelled | hang
//! no_heir | --test it --examples replaced | a process that has died is not replaced
//! ```
//!
//! `test` is a filter for the test programs, after an optional `--lib` or `--test NAME` that says
//! which one to run. With `--examples` the crate's examples have the fault too: the test starts one
//! of them (as `example` in `crates/shard/tests/it/main.rs` does). A filter whose last part begins
//! with `loom_` is built as a loom model. The word `hang` in a fourth column lets a test that never
//! ends count as a catch.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail, ensure};

/// How a fault must show itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Want {
    Failure,
    /// A failure or a hang.
    Hang,
}

/// One line of the table.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    /// `--lib`, or `--test` and a name, or nothing for both kinds.
    pub(super) target: Vec<String>,
    /// Whether its test starts examples.
    pub(super) examples: bool,
    pub(super) filter: Vec<String>,
    pub(super) breaks: String,
    pub(super) want: Want,
}

impl Entry {
    /// Whether the test may be in the program of this target.
    pub(super) fn concerns(&self, kind: &str, name: &str) -> bool {
        let words: Vec<_> = self.target.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["--lib"] => kind == "lib",
            ["--test", wanted] => kind == "test" && name == *wanted,
            _ => kind != "bin",
        }
    }

    /// Whether the test is a loom model, which is built in another way.
    pub(super) fn loom(&self) -> bool {
        let last = |word: &String| word.rsplit("::").next().unwrap_or_default().to_owned();
        self.filter.iter().any(|word| last(word).starts_with("loom_"))
    }
}

/// Reads a table; empty lines and lines that begin with `#` are left out.
pub(super) fn parse(text: &str) -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let entry = entry(line).with_context(|| format!("line {}: {line}", at + 1))?;
        ensure!(
            entries.iter().all(|other| other.name != entry.name),
            "line {}: {} is listed twice",
            at + 1,
            entry.name
        );
        entries.push(entry);
    }
    Ok(entries)
}

fn entry(line: &str) -> Result<Entry> {
    let columns: Vec<_> = line.split('|').map(str::trim).collect();
    let (name, test, breaks, want) = match columns.as_slice() {
        [name, test, breaks] => (name, test, breaks, Want::Failure),
        [name, test, breaks, "hang"] => (name, test, breaks, Want::Hang),
        _ => bail!("expected `name | test | what it breaks`, and perhaps `| hang`"),
    };
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    ensure!(!name.is_empty() && name.chars().all(word), "`{name}` is no name for a fault");
    ensure!(!breaks.is_empty(), "what does it break?");
    let mut words = test.split_whitespace().map(str::to_owned).peekable();
    let mut target = Vec::new();
    match words.peek().map(String::as_str) {
        Some("--lib") => target.extend(words.next()),
        Some("--test") => target.extend(words.by_ref().take(2)),
        _ => {}
    }
    let examples = words.next_if(|word| word == "--examples").is_some();
    let filter: Vec<_> = words.collect();
    ensure!(!filter.is_empty(), "which test must fail? Without a filter any would do");
    let (name, breaks) = ((*name).to_owned(), (*breaks).to_owned());
    Ok(Entry { name, target, examples, filter, breaks, want })
}

/// Refuses a fault that no line names, and a line whose fault is not planted.
pub(super) fn complete(planted: &[String], entries: &[Entry]) -> Result<()> {
    let planted: BTreeSet<_> = planted.iter().map(String::as_str).collect();
    let listed: BTreeSet<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let join = |names: Vec<&&str>| names.iter().map(|name| **name).collect::<Vec<_>>().join(", ");
    let unlisted = join(planted.difference(&listed).collect());
    ensure!(unlisted.is_empty(), "planted, and in no line of the table: {unlisted}");
    let unplanted = join(listed.difference(&planted).collect());
    ensure!(unplanted.is_empty(), "in the table, and planted nowhere in src/: {unplanted}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "
# what must be caught
lost_bell | door::loom_bell_is_not_lost | the door rings before it pushes
early-free | --test it drop_in_flight | a slot is freed too early
no_cancel  | --lib shutdown --exact     | an orphan is not cancelled | hang
no_heir    | --test it --examples replaced | the dead are not replaced
";

    #[test]
    fn a_table_is_read() {
        let entries = parse(TABLE).expect("well formed");
        let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["lost_bell", "early-free", "no_cancel", "no_heir"]);
        assert!(entries[0].loom() && !entries[1].loom() && !entries[2].loom());
        assert_eq!(entries[1].target, ["--test", "it"]);
        assert_eq!(entries[1].filter, ["drop_in_flight"]);
        assert_eq!(entries[2].target, ["--lib"]);
        assert_eq!(entries[2].filter, ["shutdown", "--exact"]);
        assert_eq!(entries[2].want, Want::Hang);
        assert_eq!(entries[0].want, Want::Failure);
        assert_eq!(entries.iter().filter(|entry| entry.examples).count(), 1);
        assert_eq!(entries[3].filter, ["replaced"]);
    }

    #[test]
    fn a_line_that_proves_nothing_is_refused() {
        for line in [
            "name | filter",
            "name | | breaks",
            "name | --test it | breaks",
            "name | filter |",
            "na me | filter | breaks",
            "name | filter | breaks | perhaps",
            "a | f | b\na | f | b",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn an_error_names_its_line() {
        let error = format!("{:#}", parse("# one\n\nbroken").expect_err("refused"));
        assert!(error.starts_with("line 3: broken: expected"), "{error}");
    }

    #[test]
    fn the_table_must_be_complete_both_ways() {
        let entries = parse("a | f | b").expect("well formed");
        assert!(complete(&["a".into(), "a".into()], &entries).is_ok());
        let error = complete(&["a".into(), "z".into()], &entries).expect_err("z").to_string();
        assert!(error.ends_with("in no line of the table: z"), "{error}");
        let error = complete(&[], &entries).expect_err("a").to_string();
        assert!(error.contains("planted nowhere") && error.ends_with(": a"), "{error}");
    }
}
