//! What a crate needs to be shipped: what its manifest says, and the files that go with it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::Finding;
use crate::workspace::Package;

/// How lines of a manifest begin, and what they are for.
const LINES: &[(&str, &str)] = &[
    ("description = ", "a description: one line for the registry"),
    ("keywords = ", "keywords, up to five, for those who search"),
    ("readme = ", "a readme, which the registry shows"),
    ("license.workspace = true", "the licence of the workspace"),
    ("repository.workspace = true", "the repository"),
    ("rust-version.workspace = true", "the oldest Rust"),
    ("[package.metadata.docs.rs]", "[package.metadata.docs.rs], with all features and for Linux"),
];

/// Files that are packed with a crate. A package has no other way to them than its own folder, so
/// licences are links to those of the workspace.
const FILES: &[&str] = &["README.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// Every rule of this file, for the packages under `crates/`.
pub(super) fn check(root: &Path, packages: &[Package]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in packages.iter().filter(|one| one.dir.starts_with(root.join("crates"))) {
        let folder = package.dir.strip_prefix(root).unwrap_or(&package.dir).display().to_string();
        let path = package.dir.join("Cargo.toml");
        let manifest = fs::read_to_string(&path).with_context(|| format!("reading {path:?}"))?;
        let name = format!("{folder}/Cargo.toml");
        let lacks = missing(&manifest).map(|what| format!("does not say {what}"));
        findings.extend(lacks.map(|message| Finding::refused(&name, 0, message)));
        for file in FILES.iter().filter(|file| !package.dir.join(file).is_file()) {
            findings.push(Finding::refused(&format!("{folder}/{file}"), 0, "does not exist"));
        }
    }
    Ok(findings)
}

fn missing(manifest: &str) -> impl Iterator<Item = &'static str> {
    let says = |start: &str| manifest.lines().any(|line| line.starts_with(start));
    LINES.iter().filter(move |(start, _)| !says(start)).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_that_lacks_something_is_told_what() {
        let whole: String = LINES.iter().map(|(start, _)| format!("{start}\n")).collect();
        assert_eq!(missing(&whole).count(), 0);
        let without = whole.replace("keywords", "words");
        assert!(missing(&without).eq(["keywords, up to five, for those who search"]));
    }

    #[test]
    fn a_crate_without_its_files_is_told_which() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let dir = root.path().join("crates/new");
        fs::create_dir_all(&dir).expect("made");
        let whole: String = LINES.iter().map(|(start, _)| format!("{start}\n")).collect();
        fs::write(dir.join("Cargo.toml"), whole).expect("written");
        fs::write(dir.join("README.md"), "").expect("written");
        let packages = [dir, root.path().join("tool")].map(|dir| Package {
            name: "new".into(),
            version: "0.1.0".into(),
            dir,
            targets: Vec::new(),
        });
        let found = check(root.path(), &packages).expect("readable");
        let lines: Vec<_> = found.iter().map(ToString::to_string).collect();
        let expected = ["LICENSE-APACHE", "LICENSE-MIT"];
        assert_eq!(lines, expected.map(|file| format!("crates/new/{file}:1: does not exist")));
    }
}
