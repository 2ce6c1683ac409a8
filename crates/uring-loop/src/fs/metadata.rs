//! What is known about a file.

use std::fmt;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use super::File;
use crate::ops::paths::{Kind, Stamp, Status, Statx};

/// What is known about a file: the answer of statx(2), as [`std::fs::Metadata`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Metadata(Status);

/// What is at the end of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileType(pub(super) Kind);

impl FileType {
    /// A regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.0 == Kind::File
    }

    /// A directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.0 == Kind::Directory
    }

    /// A symbolic link.
    #[must_use]
    pub fn is_symlink(&self) -> bool {
        self.0 == Kind::Symlink
    }

    /// A block device: a disk.
    #[must_use]
    pub fn is_block_device(&self) -> bool {
        self.0 == Kind::BlockDevice
    }

    /// A character device, as a terminal.
    #[must_use]
    pub fn is_char_device(&self) -> bool {
        self.0 == Kind::CharDevice
    }

    /// A pipe with a name.
    #[must_use]
    pub fn is_fifo(&self) -> bool {
        self.0 == Kind::Fifo
    }

    /// A socket with a name.
    #[must_use]
    pub fn is_socket(&self) -> bool {
        self.0 == Kind::Socket
    }
}

fn moment((seconds, nanoseconds): Stamp) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let start = match seconds >= 0 {
        true => SystemTime::UNIX_EPOCH.checked_add(whole),
        false => SystemTime::UNIX_EPOCH.checked_sub(whole),
    };
    // A file system that tells a time beyond all clocks tells nothing.
    start.unwrap_or(SystemTime::UNIX_EPOCH) + Duration::from_nanos(nanoseconds.into())
}

impl Metadata {
    pub(super) fn new(status: Status) -> Self {
        Metadata(status)
    }

    /// What kind of thing it is.
    #[must_use]
    pub fn file_type(&self) -> FileType {
        FileType(self.0.kind)
    }

    /// A regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.file_type().is_file()
    }

    /// A directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.file_type().is_dir()
    }

    /// A symbolic link; only [`symlink_metadata`](super::symlink_metadata) tells of one.
    #[must_use]
    pub fn is_symlink(&self) -> bool {
        self.file_type().is_symlink()
    }

    /// Bytes in it.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "as std's")]
    pub fn len(&self) -> u64 {
        self.0.length
    }

    /// Who may do what.
    #[must_use]
    pub fn permissions(&self) -> Permissions {
        Permissions::from_mode(self.0.mode)
    }

    /// When its bytes were changed last.
    #[must_use]
    pub fn modified(&self) -> SystemTime {
        moment(self.0.modified)
    }

    /// When it was read last, as far as the file system keeps that.
    #[must_use]
    pub fn accessed(&self) -> SystemTime {
        moment(self.0.accessed)
    }

    /// When its bytes, name or permissions were changed last (`ctime`).
    #[must_use]
    pub fn changed(&self) -> SystemTime {
        moment(self.0.changed)
    }

    /// When it was made, if the file system keeps that.
    #[must_use]
    pub fn created(&self) -> Option<SystemTime> {
        self.0.created.map(moment)
    }

    /// Type and permission bits, as `st_mode`.
    #[must_use]
    pub fn mode(&self) -> u32 {
        self.0.mode
    }

    /// The number of its owner.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.0.user
    }

    /// The number of its group.
    #[must_use]
    pub fn gid(&self) -> u32 {
        self.0.group
    }

    /// The file system that it is on.
    #[must_use]
    pub fn dev(&self) -> u64 {
        self.0.device
    }

    /// Of a device: which one.
    #[must_use]
    pub fn rdev(&self) -> u64 {
        self.0.special_device
    }

    /// Its number on that file system.
    #[must_use]
    pub fn ino(&self) -> u64 {
        self.0.inode
    }

    /// How many names it has.
    #[must_use]
    pub fn nlink(&self) -> u64 {
        self.0.links.into()
    }

    /// Room that it takes on the disk, in units of 512 bytes.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.0.blocks
    }

    /// Bytes that are best read or written in one go.
    #[must_use]
    pub fn blksize(&self) -> u64 {
        self.0.block_size.into()
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metadata")
            .field("kind", &self.0.kind)
            .field("len", &self.0.length)
            .field("mode", &format_args!("{:o}", self.0.mode))
            .field("modified", &self.modified())
            .finish_non_exhaustive()
    }
}

impl File {
    /// What is known about the file (`IORING_OP_STATX`, 5.6).
    ///
    /// # Errors
    ///
    /// Those of statx(2), with the path.
    ///
    /// # Cancel safety
    ///
    /// Strict: nothing has changed.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        let status = self.driver().submit(Statx::file(self.fd.clone())).await;
        status.map(Metadata).map_err(|error| self.failed("looking at", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_lie_on_both_sides_of_1970() {
        let second = Duration::from_secs(1);
        assert_eq!(moment((1, 5)), SystemTime::UNIX_EPOCH + second + Duration::from_nanos(5));
        let half = Duration::from_millis(500);
        assert_eq!(moment((-1, 500_000_000)), SystemTime::UNIX_EPOCH - half);
        assert_eq!(
            moment((i64::MAX, 0)),
            SystemTime::UNIX_EPOCH + Duration::from_secs(i64::MAX as u64)
        );
    }
}
