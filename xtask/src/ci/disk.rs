//! The disk that the checks fill: several sections build with flags of their own, each into its own
//! folder, and a linker that finds no room dies of SIGBUS, which says nothing about the cause.

use std::fs;
use std::path::Path;

use nix::sys::statvfs::statvfs;

use crate::workspace::Workspace;

/// With less than this left, a link may have failed for want of it.
const SHORT: u64 = 1 << 30;

/// One sentence if the disk that is built on is nearly full.
pub(super) fn short(workspace: &Workspace) -> Option<String> {
    let free = free(Path::new(&workspace.target_dir("")))?;
    (free < SHORT).then(|| {
        let mib = free >> 20;
        format!("only {mib} MiB of disk are left, which may be why: `cargo clean` frees some")
    })
}

fn free(path: &Path) -> Option<u64> {
    let stat = statvfs(path).ok()?;
    Some(stat.blocks_available() * stat.fragment_size())
}

/// Removes what the section of this name has built into a folder of its own, if it has one. What
/// else is kept there stays: inputs that a fuzzer found, say.
pub(super) fn sweep(workspace: &Workspace, section: &str) {
    sweep_folder(Path::new(&workspace.target_dir(section)));
}

fn sweep_folder(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let host = name.to_string_lossy().contains("-linux-");
        if host || name == "debug" || name == "release" {
            // What cannot be removed harms nobody.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_section_alone_has_built_goes_and_the_rest_stays() {
        let target = tempfile::tempdir().unwrap();
        let at = |folder: &str| target.path().join(folder);
        let folders =
            ["fuzz/x86_64-unknown-linux-gnu", "fuzz/release/deps", "fuzz/failures", "debug"];
        for folder in folders {
            fs::create_dir_all(at(folder)).unwrap();
        }
        sweep_folder(&at("fuzz"));
        sweep_folder(&at("clippy"));
        assert_eq!(folders.map(|folder| at(folder).exists()), [false, false, true, true]);
    }

    #[test]
    fn the_room_of_a_disk_is_known() {
        assert!(free(Path::new("/")).is_some());
        assert_eq!(free(Path::new("/no/such/folder")), None);
    }
}
