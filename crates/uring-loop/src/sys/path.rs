//! The file that a Unix socket leaves in the file system, and its removal.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Which file it is, whatever its name: device and inode.
pub(crate) type Identity = (u64, u64);

pub(crate) fn identity(path: &Path) -> io::Result<Identity> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Removes a name if it still stands for this file. (Who puts another there between the look and
/// the removal loses it: the kernel has no call that does both.)
pub(crate) fn remove_if(path: &Path, identity: Identity) {
    if self::identity(path).is_ok_and(|now| now == identity) {
        // Somebody else may have been faster; and who drops a listener has no use for an error.
        let _ = std::fs::remove_file(path);
    }
}
