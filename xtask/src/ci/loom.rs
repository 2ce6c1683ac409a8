//! The loom models of the lock-free parts.
//!
//! A loom job that compiles to an empty test binary passes in silence, so the models are found by
//! reading the sources (`fn loom_…`), and each one must be seen to pass.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::Report;
use super::libtest::{self, Verdict};
use crate::shell;
use crate::tidy::Source;
use crate::workspace::{Package, Workspace, rust_files};

/// What tells cargo to build the loom variant.
pub(super) const RUSTFLAGS: &str = "--cfg loom";

/// The models of one package, by the kind of target they are built into.
#[derive(Default, Debug)]
struct Models {
    /// In `tests/loom.rs` (or `tests/loom/`).
    outside: Vec<String>,
    /// In `src/`.
    inside: Vec<String>,
}

pub(super) fn section(workspace: &Workspace) -> Result<Report> {
    let mut seen = 0;
    for package in workspace.crates() {
        let models = models(package)?;
        if models.outside.is_empty() && models.inside.is_empty() {
            if says_loom(package)? {
                bail!("{} has code under cfg(loom) and no model (`fn loom_…`)", package.name);
            }
            continue;
        }
        seen += models.outside.len() + models.inside.len();
        if !models.outside.is_empty() {
            run(workspace, package, &["--test", "loom"], &models.outside)?;
        }
        if !models.inside.is_empty() {
            run(workspace, package, &["--lib", "loom_"], &models.inside)?;
        }
    }
    match seen {
        0 => Ok(Report::skipped("no crate has code under cfg(loom)")),
        _ => Ok(Report::passed(format!("{seen} models"))),
    }
}

fn run(workspace: &Workspace, package: &Package, what: &[&str], models: &[String]) -> Result<()> {
    let dir = workspace.target_dir("loom");
    let words = ["test", "--release", "--package", &package.name, "--target-dir", &dir];
    let mut command = workspace.cargo(words.into_iter().chain(what.iter().copied()));
    command.env("RUSTFLAGS", RUSTFLAGS);
    let output = shell::check(command)?;
    let missing = missing(models, &output);
    if !missing.is_empty() {
        bail!("models of {} that did not run: {}", package.name, missing.join(", "));
    }
    Ok(())
}

/// The models that the output does not show as passed.
fn missing<'a>(models: &'a [String], output: &str) -> Vec<&'a str> {
    let tests = libtest::tests(output);
    let passed = |model: &String| {
        tests.iter().any(|test| {
            let last = test.name.rsplit("::").next();
            test.verdict == Verdict::Ok && last == Some(model.as_str())
        })
    };
    models.iter().filter(|model| !passed(model)).map(String::as_str).collect()
}

fn models(package: &Package) -> Result<Models> {
    let mut models = Models::default();
    for path in rust_files(&package.dir)? {
        let names = names(&read(&path)?);
        if names.is_empty() {
            continue;
        }
        if path.starts_with(package.dir.join("src")) {
            models.inside.extend(names);
        } else if loom_target(package).iter().any(|home| path.starts_with(home)) {
            models.outside.extend(names);
        } else {
            bail!("{} is not run: loom models live in src/ or in tests/loom.rs", path.display());
        }
    }
    Ok(models)
}

/// Where the files of `--test loom` are: the one file, or its folder.
fn loom_target(package: &Package) -> Option<PathBuf> {
    let source = &package.target("test", "loom")?.source;
    let folder = source.ends_with("loom/main.rs");
    Some(if folder { source.parent()?.to_owned() } else { source.clone() })
}

/// The functions of a file whose name begins with `loom_`.
fn names(text: &str) -> Vec<String> {
    let code = Source::new("", text);
    let functions = code.functions().into_iter().map(|function| function.name);
    functions.filter(|name| name.starts_with("loom_")).collect()
}

fn says_loom(package: &Package) -> Result<bool> {
    for path in rust_files(&package.dir)? {
        if Source::new("", &read(&path)?).code().contains("cfg(loom)") {
            return Ok(true);
        }
    }
    Ok(false)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"//! The door.
// fn loom_in_a_comment() {}
const TEXT: &str = "fn loom_in_a_string() {}";
#[test]
fn loom_bell_is_not_lost() { loom::model(|| {}) }
#[test]
fn loom_two_doors() {}
fn helper() { loom_two_doors() }
"#;

    #[test]
    fn models_are_functions_and_nothing_else() {
        assert_eq!(names(SOURCE), ["loom_bell_is_not_lost", "loom_two_doors"]);
    }

    #[test]
    fn a_model_that_did_not_pass_is_missing() {
        let models = names(SOURCE);
        assert_eq!(missing(&models, "running 0 tests\n"), models);
        let output = "test door::loom_bell_is_not_lost ... ok\ntest loom_two_doors ... FAILED\n";
        assert_eq!(missing(&models, output), ["loom_two_doors"]);
        let output = "test a::loom_bell_is_not_lost ... ok\ntest loom_two_doors ... ok\n";
        assert!(missing(&models, output).is_empty());
        let output = "test loom_bell_is_not_lost_either ... ok\ntest loom_two_doors ... ok\n";
        assert_eq!(missing(&models, output), ["loom_bell_is_not_lost"]);
    }

    #[test]
    fn models_are_sought_in_src_and_in_the_loom_test() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let source = dir.path().join("tests/loom.rs");
        let target = crate::workspace::Target { name: "loom".into(), kind: "test".into(), source };
        let package = Package {
            name: "loops".into(),
            version: "0.1.0".into(),
            dir: dir.path().to_owned(),
            targets: vec![target],
        };
        for folder in ["src", "tests/it"] {
            fs::create_dir_all(dir.path().join(folder)).expect("made");
        }
        fs::write(dir.path().join("src/door.rs"), "fn loom_inside() {}").expect("written");
        fs::write(dir.path().join("tests/loom.rs"), "fn loom_outside() {}").expect("written");
        let found = models(&package).expect("both are run");
        assert_eq!(
            (found.inside, found.outside),
            (vec!["loom_inside".into()], vec!["loom_outside".into()])
        );
        fs::write(dir.path().join("tests/it/main.rs"), "fn loom_lost() {}").expect("written");
        assert!(models(&package).expect_err("nobody runs it").to_string().contains("tests/it"));
    }
}
