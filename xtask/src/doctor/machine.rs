//! The machine as its pseudo-files tell it: `/proc`, `/sys`, and the formats they share.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use shard::{Topology, cpu_list};

/// Where the files are read from; `/` but in tests.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) root: PathBuf,
}

impl Machine {
    pub(crate) fn this() -> Self {
        Self { root: "/".into() }
    }

    /// The trimmed text of a file; `None` when it is not there or not ours to read.
    pub(crate) fn read(&self, path: &str) -> Option<String> {
        let bytes = fs::read(self.root.join(path.trim_start_matches('/'))).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.root.join(path.trim_start_matches('/')).exists()
    }

    /// The names in a folder, in order; none when it is not there.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(path.trim_start_matches('/')));
        let entries = entries.into_iter().flatten().filter_map(Result::ok);
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    }

    /// A field of `/proc/self/status`.
    pub(crate) fn status(&self, name: &str) -> Option<String> {
        let status = self.read("/proc/self/status")?;
        field(&status, name).map(str::to_owned)
    }

    /// Whether this process has a capability, by its number in `linux/capability.h`.
    pub(crate) fn capable(&self, capability: u32) -> bool {
        let effective = self.status("CapEff").and_then(|hex| u64::from_str_radix(&hex, 16).ok());
        effective.is_some_and(|set| set >> capability & 1 == 1)
    }

    /// Which CPUs there are for shards; `None` when not visible.
    pub(crate) fn topology(&self) -> Option<Topology> {
        Topology::read(&self.root).ok()
    }

    /// The CPUs this process may run on; empty when not visible.
    pub(crate) fn affinity(&self) -> BTreeSet<usize> {
        self.status("Cpus_allowed_list").map(|list| cpu_list(&list)).unwrap_or_default()
    }
}

/// The value of `name:` in a text of such lines.
pub(crate) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

/// The word in brackets, as in `always [madvise] never`.
pub(crate) fn chosen(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(word, _)| word)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use super::*;

    /// A machine made of these files; it is gone when the folder is dropped.
    pub(crate) fn made_of(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for (path, text) in files {
            let path = dir.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("made");
            fs::write(path, text).expect("written");
        }
        let machine = Machine { root: dir.path().to_owned() };
        (dir, machine)
    }

    #[test]
    fn status_is_read_by_field() {
        let status = "Name:\tx\nCapEff:\t0000000000204000\nCpus_allowed_list:\t0-1,4\n";
        let (_dir, machine) = made_of(&[("/proc/self/status", status)]);
        assert_eq!(machine.status("Name").as_deref(), Some("x"));
        assert_eq!(machine.status("Cpus"), None);
        assert_eq!(machine.affinity(), BTreeSet::from([0, 1, 4]));
        assert!(machine.capable(14) && machine.capable(21) && !machine.capable(20));
    }

    #[test]
    fn the_chosen_word_is_in_brackets() {
        assert_eq!(chosen("always [madvise] never"), Some("madvise"));
        assert_eq!(chosen("tsc"), None);
    }
}
