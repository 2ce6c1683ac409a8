//! The folder that is copied: making it, copying a file by blocking calls, comparing, removing.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use tempfile::TempDir;

/// Bytes of one read and one write, on all models.
pub const PIECE: usize = 64 * 1024;

/// A folder with files in `from`, and `to` beside it; removed when dropped.
#[derive(Debug)]
pub struct Folder {
    root: TempDir,
}

impl Folder {
    /// Writes `count` files of 1 to 128 KiB below the folder for temporary files, in a folder of
    /// their own. The same `count` gives the same files.
    ///
    /// # Errors
    ///
    /// When the files can't be written.
    pub fn make(count: usize) -> anyhow::Result<Self> {
        let root = tempfile::Builder::new().prefix("workload-copy-").tempdir();
        let folder = Self { root: root.context("making a temporary folder")? };
        fs::create_dir_all(folder.from()).context("making a folder to copy")?;
        fs::create_dir_all(folder.to()).context("making a folder to copy to")?;
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let mut bytes = Vec::new();
        for number in 0..count {
            let mut next = || {
                // xorshift64
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random
            };
            let size = 1024 + next() as usize % (127 * 1024);
            bytes.clear();
            while bytes.len() < size {
                bytes.extend_from_slice(&next().to_le_bytes());
            }
            let path = folder.from().join(format!("{number:06}"));
            fs::write(&path, &bytes[..size]).with_context(|| format!("writing {path:?}"))?;
        }
        Ok(folder)
    }

    /// What is copied.
    #[must_use]
    pub fn from(&self) -> PathBuf {
        self.root.path().join("from")
    }

    /// Where to.
    #[must_use]
    pub fn to(&self) -> PathBuf {
        self.root.path().join("to")
    }

    /// Compares the first `count` files with their copies, byte by byte.
    ///
    /// # Errors
    ///
    /// When a copy is missing or differs, or there are more of them.
    pub fn verify(&self, count: usize) -> anyhow::Result<()> {
        let found = fs::read_dir(self.to())?.count();
        ensure!(found == count, "{count} files were to be copied, {found} were");
        for number in 0..count {
            let name = format!("{number:06}");
            let copy = fs::read(self.to().join(&name)).with_context(|| format!("copy {name}"))?;
            ensure!(copy == fs::read(self.from().join(&name))?, "the copy of {name} differs");
        }
        Ok(())
    }

    /// The kind of file system that holds it.
    #[must_use]
    pub fn file_system(&self) -> String {
        let Ok(about) = nix::sys::statfs::statfs(self.root.path()) else { return "unknown".into() };
        // statfs(2)
        match about.filesystem_type().0 as u64 {
            0xef53 => "ext4".into(),
            0x0102_1994 => "tmpfs".into(),
            0x9123_683e => "btrfs".into(),
            0x5846_5342 => "xfs".into(),
            0x794c_7630 => "overlayfs".into(),
            other => format!("type {other:#x}"),
        }
    }
}

/// Copies a file in pieces; returns its length.
///
/// # Errors
///
/// When it can't be read, or `to` can't be written.
pub fn copy(from: &Path, to: &Path) -> anyhow::Result<u64> {
    let mut source = File::open(from).with_context(|| format!("opening {from:?}"))?;
    let mut target = File::create(to).with_context(|| format!("making {to:?}"))?;
    let mut buffer = vec![0; PIECE];
    let mut length = 0;
    loop {
        let count = source.read(&mut buffer).with_context(|| format!("reading {from:?}"))?;
        if count == 0 {
            return Ok(length);
        }
        target.write_all(&buffer[..count]).with_context(|| format!("writing {to:?}"))?;
        length += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_a_wrong_copy_is_found_out() {
        let folder = Folder::make(3).unwrap();
        for name in ["000000", "000001", "000002"] {
            assert!(folder.verify(3).is_err());
            copy(&folder.from().join(name), &folder.to().join(name)).unwrap();
        }
        folder.verify(3).unwrap();
        let path = folder.to().join("000001");
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(folder.verify(3).unwrap_err().to_string().contains("000001"));
        let root = folder.root.path().to_owned();
        drop(folder);
        assert!(!root.exists());
    }
}
