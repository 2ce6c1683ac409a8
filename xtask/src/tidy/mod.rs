//! `cargo xtask tidy`: the house rules that a machine can check; also a test of this crate.
//!
//! Each rule is a small function with a test on a made-up text. What may stand where is in the
//! tables of `rules.rs`, the place to edit when a new file needs unsafe code; `files.rs` has the
//! rules about one file, `tree.rs` those about the whole workspace, `manifests.rs` those about what
//! a crate needs to be shipped.

mod files;
mod layers;
mod lex;
mod manifests;
mod rules;
mod source;
mod tree;

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

pub(crate) use self::source::Source;
use crate::workspace::{Package, Workspace, rust_files};

/// One breach of a rule, or something to look at.
#[derive(PartialEq, Eq, PartialOrd, Ord, Clone, Debug)]
pub(crate) struct Finding {
    path: String,
    /// The first line is 1; 0 means the file as a whole.
    line: usize,
    message: String,
    weight: Weight,
}

#[derive(PartialEq, Eq, PartialOrd, Ord, Clone, Copy, Debug)]
enum Weight {
    Refused,
    Warning,
}

impl Finding {
    fn refused(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into(), weight: Weight::Refused }
    }

    fn warning(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { weight: Weight::Warning, ..Self::refused(path, line, message) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.weight == Weight::Warning { "warning: " } else { "" };
        write!(f, "{}:{}: {kind}{}", self.path, self.line.max(1), self.message)
    }
}

/// Everything found, in order of place.
#[derive(Debug)]
pub(crate) struct Findings {
    files: usize,
    all: Vec<Finding>,
}

impl Findings {
    pub(crate) fn refused(&self) -> usize {
        self.all.iter().filter(|finding| finding.weight == Weight::Refused).count()
    }

    /// One line each on stdout, in the form that editors jump to.
    pub(crate) fn print(&self) -> Result<()> {
        let mut out = anstream::stdout();
        for finding in &self.all {
            writeln!(out, "{finding}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused = self.refused();
        let warnings = self.all.len() - refused;
        write!(f, "{} files, {refused} refused, {warnings} warnings", self.files)
    }
}

/// Checks the workspace; false when something is refused.
pub(crate) fn run() -> Result<bool> {
    let workspace = Workspace::load()?;
    let findings = check(&workspace.root, &workspace.packages)?;
    findings.print()?;
    anstream::eprintln!("tidy: {findings}");
    Ok(findings.refused() == 0)
}

/// Applies every rule to every Rust file under `root`.
pub(crate) fn check(root: &Path, packages: &[Package]) -> Result<Findings> {
    let mut sources = Vec::new();
    for path in rust_files(root)? {
        let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy();
        sources.push(Source::new(&name, &text));
    }
    let mut all: Vec<_> = sources.iter().flat_map(files::check).collect();
    all.extend(sources.iter().flat_map(layers::check));
    all.extend(tree::check(root, packages, &sources)?);
    all.extend(manifests::check(root, packages)?);
    all.sort();
    Ok(Findings { files: sources.len(), all })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let workspace = Workspace::load().expect("cargo metadata runs");
        let findings = check(&workspace.root, &workspace.packages).expect("readable");
        let lines: Vec<_> = findings.all.iter().map(ToString::to_string).collect();
        assert_eq!(findings.refused(), 0, "\n{}\n", lines.join("\n"));
        assert!(findings.files > 10, "only {} files were looked at", findings.files);
    }

    #[test]
    fn a_finding_is_printed_as_editors_read_it() {
        let finding = Finding::refused("a/b.rs", 7, "no");
        assert_eq!(finding.to_string(), "a/b.rs:7: no");
        assert_eq!(Finding::warning("a/b.rs", 0, "long").to_string(), "a/b.rs:1: warning: long");
    }
}
