//! The rules about the workspace as a whole: files that belong together, and lists that shrink.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::Finding;
use super::files::lies;
use super::rules::{CONFINED, Confined, FUNCTION, LONG_FUNCTIONS, LongFunction};
use super::source::{Role, Source, has_word};
use crate::workspace::Package;

/// Where the tables are, for findings about an entry of theirs.
const TABLES: &str = "xtask/src/tidy/rules.rs";

/// Every rule of this file.
pub(super) fn check(root: &Path, packages: &[Package], sources: &[Source]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    findings.extend(CONFINED.iter().flat_map(|rule| unused_places(rule, sources)));
    findings.extend(LONG_FUNCTIONS.iter().filter_map(|entry| ratchet(entry, sources)));
    findings.extend(sources.iter().filter_map(|source| undeclared(source, sources)));
    findings.extend(sources.iter().filter_map(shows_itself));
    let version = packages.iter().find(|package| package.name == "uring-loop");
    let version = version.context("there is no package uring-loop")?.version.as_str();
    findings.extend(match read(root, "CHANGELOG.md")? {
        Some(text) => changelog(&text, version),
        None => Some(Finding::warning("CHANGELOG.md", 0, "does not exist")),
    });
    match read(root, "docs/ARCHITECTURE.md")? {
        Some(text) => findings.extend(map_is_whole(&text, &crates(sources))),
        None => findings.push(Finding::warning("docs/ARCHITECTURE.md", 0, "does not exist")),
    }
    Ok(findings)
}

fn read(root: &Path, name: &str) -> Result<Option<String>> {
    let path = root.join(name);
    if !path.exists() {
        return Ok(None);
    }
    fs::read_to_string(&path).map(Some).with_context(|| format!("reading {}", path.display()))
}

/// A place where something is allowed and nothing needs it.
fn unused_places(rule: &Confined, sources: &[Source]) -> Vec<Finding> {
    // A star stands for crates that may come.
    let named = rule.places.iter().filter(|place| !place.contains('*'));
    let unused = named.filter(|place| {
        let mut there = sources.iter().filter(|source| lies(&source.path, place));
        !there.any(|source| source.product_lines().any(|(_, line)| rule.what.is_in(line)))
    });
    let message = |place: &&str| format!("{place} is listed for {} and has none", rule.what);
    unused.map(|place| Finding::warning(TABLES, 1, message(place))).collect()
}

/// The list of long functions may only shrink.
fn ratchet(entry: &LongFunction, sources: &[Source]) -> Option<Finding> {
    let LongFunction { path, name, lines } = entry;
    let source = sources.iter().find(|source| source.path == *path);
    let function = source.and_then(|source| {
        source.functions().into_iter().filter(|f| f.name == *name).max_by_key(|f| f.length())
    });
    let message = match function.map(|function| function.length()) {
        None => format!("{path} has no fn {name}: take it off the list"),
        Some(now) if now <= FUNCTION => format!("fn {name} has {now} lines: take it off the list"),
        Some(now) if now < *lines => format!("fn {name} has {now} lines: lower its number"),
        Some(_) => return None,
    };
    Some(Finding::refused(TABLES, 1, message))
}

/// Folders in which every file is a program by itself.
const ROOTS: &[&str] = &["tests", "benches", "examples", "bin"];

/// A file that no `mod` names is never compiled, a test in it never run.
fn undeclared(source: &Source, sources: &[Source]) -> Option<Finding> {
    let (folder, file) = source.path.rsplit_once('/')?;
    let name = file.strip_suffix(".rs")?;
    let holds_roots =
        |folder: &str| ROOTS.iter().any(|kind| folder.rsplit('/').next() == Some(kind));
    // What cargo finds by itself.
    let library = folder.rsplit('/').next() == Some("src") && name == "lib";
    if holds_roots(folder) || library || name == "main" || name == "build" {
        return None;
    }
    let (home, name) = match name {
        "mod" => folder.rsplit_once('/')?,
        name => (folder, name),
    };
    let beside = format!("{home}.rs");
    let parents = ["mod.rs", "lib.rs", "main.rs"].map(|parent| format!("{home}/{parent}"));
    let is_parent = |other: &Source| {
        let folder = other.path.rsplit_once('/').map(|(folder, _)| folder);
        let root_beside = holds_roots(home) && folder == Some(home);
        parents.contains(&other.path) || other.path == beside || root_beside
    };
    let declares = |line: &str| line.contains("mod ") && has_word(line, name) && line.contains(';');
    let mut parents = sources.iter().filter(|other| is_parent(other));
    let declared = parents.any(|parent| parent.code().lines().any(declares))
        || sources.iter().any(|other| other.path_attributes().contains(&source.path));
    let message = format!("no file declares `mod {name};`: this one is never compiled");
    (!declared).then(|| Finding::refused(&source.path, 1, message))
}

/// The root of a library with something to offer shows it in an example that runs.
fn shows_itself(source: &Source) -> Option<Finding> {
    let library = source.path.starts_with("crates/") && source.path.ends_with("/src/lib.rs");
    let offers = source.code().lines().any(|line| line.starts_with("pub "));
    if !library || source.role != Role::Product || !offers {
        return None;
    }
    let docs = source.text().lines().filter_map(|line| line.strip_prefix("//!"));
    let runs = docs.map(str::trim).any(|line| line == "```" || line == "```rust");
    let message = "the docs of a crate have an example that runs";
    (!runs).then(|| Finding::refused(&source.path, 1, message))
}

/// The version is in a heading.
fn changelog(text: &str, version: &str) -> Option<Finding> {
    let says = |line: &str| {
        let mut words = line.split(|c: char| c.is_whitespace() || "[](),".contains(c));
        line.starts_with('#') && words.any(|word| word.trim_start_matches('v') == version)
    };
    let message = format!("has no heading for the current version {version}");
    (!text.lines().any(says)).then(|| Finding::refused("CHANGELOG.md", 0, message))
}

/// A crate and the folders right in its `src/`.
struct Crate {
    name: String,
    folders: Vec<String>,
}

fn crates(sources: &[Source]) -> Vec<Crate> {
    let mut crates: Vec<Crate> = Vec::new();
    for source in sources {
        let parts: Vec<_> = source.path.split('/').collect();
        let ["crates", name, "src", inner @ ..] = parts.as_slice() else { continue };
        if crates.iter().all(|one| one.name != *name) {
            crates.push(Crate { name: (*name).to_owned(), folders: Vec::new() });
        }
        let one = crates.iter_mut().find(|one| one.name == *name).expect("it was just pushed");
        if let [folder, _, ..] = inner
            && !one.folders.iter().any(|known| known == folder)
        {
            one.folders.push((*folder).to_owned());
        }
    }
    crates
}

/// The map names every crate, and every folder as `name/`.
fn map_is_whole(text: &str, crates: &[Crate]) -> Vec<Finding> {
    let mut missing = Vec::new();
    for one in crates {
        if !has_word(text, &one.name) {
            missing.push(format!("does not name the crate {}", one.name));
        }
        for folder in one.folders.iter().filter(|folder| !text.contains(&format!("{folder}/"))) {
            missing.push(format!("does not name {folder}/ of {}", one.name));
        }
    }
    missing
        .into_iter()
        .map(|message| Finding::refused("docs/ARCHITECTURE.md", 0, message))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::rules::What;
    use super::*;

    fn sources(files: &[(&str, &str)]) -> Vec<Source> {
        files.iter().map(|(path, text)| Source::new(path, text)).collect()
    }

    #[test]
    fn a_leave_that_nothing_needs_is_told() {
        let rule = Confined {
            what: What::Word("unsafe"),
            within: "crates/",
            places: &["crates/a/src/raw.rs", "crates/a/src/sys/", "crates/*/src/sys/"],
            why: "",
        };
        let sources = sources(&[
            ("crates/a/src/raw.rs", "// unsafe\n"),
            ("crates/a/src/sys/mod.rs", "unsafe fn f() {}\n"),
        ]);
        let told = unused_places(&rule, &sources);
        assert_eq!(told.len(), 1);
        assert!(told[0].message.starts_with("crates/a/src/raw.rs "), "{}", told[0].message);
    }

    #[test]
    fn the_list_of_long_functions_only_shrinks() {
        let long = format!("fn turn() {{\n{}}}\n", "    f();\n".repeat(78));
        let sources = sources(&[("src/a.rs", &long), ("src/b.rs", "fn turn() {}\n")]);
        let told = |path, lines| {
            let entry = LongFunction { path, name: "turn", lines };
            ratchet(&entry, &sources).map(|finding| finding.message)
        };
        assert_eq!(told("src/a.rs", 80), None);
        assert_eq!(told("src/a.rs", 85).expect("lower"), "fn turn has 80 lines: lower its number");
        assert!(told("src/b.rs", 80).expect("short").ends_with("take it off the list"));
        assert!(told("src/c.rs", 80).expect("gone").starts_with("src/c.rs has no fn turn"));
    }

    #[test]
    fn a_file_that_no_mod_names_is_found() {
        let sources = sources(&[
            ("crates/a/src/lib.rs", "pub mod net;\nmod time;\n// mod lost;\n"),
            ("crates/a/src/net/mod.rs", "mod tcp;\n"),
            ("crates/a/src/net/tcp.rs", ""),
            ("crates/a/src/net/udp.rs", ""),
            ("crates/a/src/time.rs", "#[cfg(test)]\nmod tests;\n"),
            ("crates/a/src/time/tests.rs", ""),
            ("crates/a/src/lost.rs", ""),
            ("crates/a/src/bin/tool.rs", ""),
            ("crates/a/tests/loom.rs", ""),
            ("crates/a/tests/it/main.rs", "mod drops;\n"),
            ("crates/a/tests/it/drops.rs", ""),
            ("crates/a/tests/it/dead.rs", ""),
            ("crates/a/examples/hello.rs", "mod shared;\n#[path = \"hello/mod.rs\"]\nmod all;\n"),
            ("crates/a/examples/hello/mod.rs", "mod one;\n"),
            ("crates/a/examples/hello/one.rs", ""),
            ("crates/a/examples/hello/two.rs", ""),
            ("crates/a/examples/shared/mod.rs", ""),
            ("crates/a/examples/unshared/mod.rs", ""),
            ("crates/a/build.rs", ""),
        ]);
        let told = sources.iter().filter_map(|source| undeclared(source, &sources));
        let told: Vec<_> = told.map(|finding| finding.path).collect();
        let expected = [
            "crates/a/src/net/udp.rs",
            "crates/a/src/lost.rs",
            "crates/a/tests/it/dead.rs",
            "crates/a/examples/hello/two.rs",
            "crates/a/examples/unshared/mod.rs",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_crate_shows_itself_in_an_example_that_runs() {
        let told = |text: &str| shows_itself(&Source::new("crates/a/src/lib.rs", text)).is_some();
        assert!(told("//! A.\npub mod net;\n"));
        assert!(told("//! A.\n//! ```text\n//! x\n//! ```ignore\npub mod net;\n"));
        assert!(!told("//! A.\n//! ```\n//! a::f();\n//! ```\npub mod net;\n"));
        assert!(!told("//! Empty yet.\n"));
    }

    #[test]
    fn the_changelog_has_the_version_in_a_heading() {
        assert!(changelog("# Changes\n\n## [0.1.0] - 2026-11-21\n", "0.1.0").is_none());
        assert!(changelog("## v0.1.0\n", "0.1.0").is_none());
        assert!(changelog("## 10.1.0\nsince 0.1.0\n", "0.1.0").is_some());
    }

    #[test]
    fn the_map_names_every_crate_and_folder() {
        let sources = sources(&[
            ("crates/shard/src/lib.rs", ""),
            ("crates/shard/src/mesh/spsc.rs", ""),
            ("crates/shard/src/mesh/deep/x.rs", ""),
            ("crates/shard/tests/it/main.rs", ""),
            ("xtask/src/ci/mod.rs", ""),
        ]);
        let crates = crates(&sources);
        let told = |text: &str| {
            let findings = map_is_whole(text, &crates);
            findings.into_iter().map(|finding| finding.message).collect::<Vec<_>>()
        };
        assert_eq!(told("`shard` has `mesh/`."), [""; 0]);
        let both = ["does not name the crate shard", "does not name mesh/ of shard"];
        assert_eq!(told("sharding over a mesh"), both);
    }
}
