//! The pseudo-files of the kernel: under any root, and the formats they share.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// More CPUs than any kernel has; a range beyond it is a mistake and not worth the memory.
const MOST_CPUS: usize = 1 << 16;

/// A tree of files.
pub(super) struct Files<'a>(pub(super) &'a Path);

impl Files<'_> {
    /// The trimmed text of a file; `None` when it is not there or not ours to read.
    pub(super) fn read(&self, path: &str) -> Option<String> {
        let bytes = fs::read(self.0.join(path.trim_start_matches('/'))).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }
}

/// The value of `name:` in a text of such lines.
pub(super) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

/// The numbers in `0-2,5`, as the kernel writes sets of CPUs and of nodes; what is malformed is
/// left out, and what no kernel has is cut.
///
/// # Examples
///
/// ```
/// assert!(shard::cpu_list("0-2,5").into_iter().eq([0, 1, 2, 5]));
/// ```
pub fn cpu_list(text: &str) -> BTreeSet<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse::<usize>().ok()?);
        Some(first..=last.min(MOST_CPUS))
    };
    text.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_cpus_are_ranges_and_single_ones() {
        assert_eq!(cpu_list("0-2,5"), BTreeSet::from([0, 1, 2, 5]));
        assert_eq!(cpu_list("7"), BTreeSet::from([7]));
        assert_eq!(cpu_list(""), BTreeSet::new());
        assert_eq!(cpu_list("x,1,4-2"), BTreeSet::from([1]));
        assert!(cpu_list("0-18446744073709551615").len() <= MOST_CPUS + 1);
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let status = "Name:\tx\nCpus_allowed:\t13\nCpus_allowed_list:\t0-1,4\n";
        assert_eq!(field(status, "Cpus_allowed_list"), Some("0-1,4"));
        assert_eq!(field(status, "Cpus"), None);
    }
}
