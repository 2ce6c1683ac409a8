//! The workspace as cargo and the file system describe it: packages, targets, source files.
//!
//! Nothing here judges or builds; `cargo metadata --no-deps` needs neither network nor compiler.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Every package of the workspace, and where it lies.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) packages: Vec<Package>,
}

/// One package, as far as the checks need to know it.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Absolute; holds Cargo.toml.
    pub(crate) dir: PathBuf,
    pub(crate) targets: Vec<Target>,
}

/// One library, program, test or example of a package.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// "lib", "bin", "test", "example", …
    pub(crate) kind: String,
    pub(crate) source: PathBuf,
}

impl Workspace {
    /// Asks cargo about the workspace that this program was built from.
    pub(crate) fn load() -> Result<Self> {
        let root = root();
        let mut command = cargo(&root, ["metadata", "--no-deps", "--format-version", "1"]);
        let output = command.output().context("starting cargo metadata")?;
        anyhow::ensure!(
            output.status.success(),
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let packages = packages(&serde_json::from_slice(&output.stdout)?)
            .context("cargo metadata wrote what was not expected")?;
        Ok(Self { root, packages })
    }

    /// A cargo command that runs in the root.
    pub(crate) fn cargo<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Command {
        cargo(&self.root, words)
    }

    /// The packages that are shipped: those under `crates/`.
    pub(crate) fn crates(&self) -> impl Iterator<Item = &Package> {
        let home = self.root.join("crates");
        self.packages.iter().filter(move |package| package.dir.starts_with(&home))
    }

    /// A folder under `target/` for a build with flags of its own.
    pub(crate) fn target_dir(&self, name: &str) -> String {
        let base = env::var_os("CARGO_TARGET_DIR").map_or(self.root.join("target"), PathBuf::from);
        base.join(name).to_string_lossy().into_owned()
    }
}

impl Package {
    pub(crate) fn target(&self, kind: &str, name: &str) -> Option<&Target> {
        self.targets.iter().find(|target| target.kind == kind && target.name == name)
    }
}

/// The folder of the workspace's own Cargo.toml.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root").to_owned()
}

/// Every `.rs` file under `dir` in order of name, without `target` and hidden folders.
pub(crate) fn rust_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("reading {folder:?}"))?;
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn cargo<'a>(root: &Path, words: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words).current_dir(root);
    // What `cargo run` tells this program about its own package. Build scripts that look at such
    // variables would run again whenever cargo is called once from here and once by hand.
    for (name, _) in env::vars_os().filter(|(name, _)| is_of_a_package(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    // The children write into a pipe of ours, so the choice of colour is made here for them.
    let choice = anstream::AutoStream::choice(&std::io::stdout());
    if env::var_os("CARGO_TERM_COLOR").is_none() && choice != anstream::ColorChoice::Never {
        command.env("CARGO_TERM_COLOR", "always");
    }
    command
}

fn is_of_a_package(variable: &str) -> bool {
    variable.starts_with("CARGO_PKG_") || variable.starts_with("CARGO_MANIFEST_")
}

fn packages(metadata: &Value) -> Option<Vec<Package>> {
    let one = |package: &Value| {
        let manifest = PathBuf::from(package["manifest_path"].as_str()?);
        Some(Package {
            name: package["name"].as_str()?.to_owned(),
            version: package["version"].as_str()?.to_owned(),
            dir: manifest.parent()?.to_owned(),
            targets: package["targets"].as_array()?.iter().map(target).collect::<Option<_>>()?,
        })
    };
    metadata["packages"].as_array()?.iter().map(one).collect()
}

fn target(target: &Value) -> Option<Target> {
    Some(Target {
        name: target["name"].as_str()?.to_owned(),
        kind: target["kind"][0].as_str()?.to_owned(),
        source: PathBuf::from(target["src_path"].as_str()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_workspace_knows_this_package() {
        let workspace = Workspace::load().expect("cargo metadata runs");
        let xtask = workspace.packages.iter().find(|package| package.name == "xtask");
        let xtask = xtask.expect("xtask is a member");
        assert_eq!(xtask.dir, Path::new(env!("CARGO_MANIFEST_DIR")));
        assert!(xtask.target("bin", "xtask").is_some_and(|t| t.source.ends_with("src/main.rs")));
        assert!(workspace.crates().all(|package| package.name != "xtask"));
        assert!(workspace.crates().any(|package| package.name == "uring-loop"));
    }

    #[test]
    fn the_cargo_it_calls_is_told_nothing_of_this_package() {
        // Cargo sets these for its tests, as it does for what it runs.
        assert!(env::var_os("CARGO_MANIFEST_DIR").is_some());
        let command = cargo(Path::new("."), ["metadata"]);
        let removed: Vec<_> =
            command.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION_MAJOR"] {
            assert!(removed.iter().any(|removed| *removed == name), "{removed:?}");
        }
        assert!(!removed.iter().any(|name| *name == "CARGO_HOME"), "{removed:?}");
    }

    #[test]
    fn metadata_of_another_shape_is_refused() {
        let strange = serde_json::json!({"packages": [{"name": 1}]});
        assert!(packages(&strange).is_none());
    }

    #[test]
    fn rust_files_leave_out_what_was_built() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for name in ["b.rs", "a/c.rs", "target/d.rs", ".hidden/e.rs", "f.txt"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("has a parent")).expect("made");
            fs::write(path, "").expect("written");
        }
        let found = rust_files(dir.path()).expect("readable");
        assert_eq!(found, [dir.path().join("a/c.rs"), dir.path().join("b.rs")]);
    }
}
