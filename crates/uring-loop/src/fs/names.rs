//! What is done to files by their names: each a single operation of the ring, unless it says
//! otherwise.

use std::fs::Permissions;
use std::io;
use std::path::{Path, PathBuf};

use super::error::{at, failed};
use super::{Metadata, helper};
use crate::driver::Driver;
use crate::ops::paths::{Change, Statx, c_path};

async fn change(intent: impl FnOnce() -> String, change: io::Result<Change>) -> io::Result<()> {
    let result = match change {
        Ok(change) => Driver::current().submit(change).await,
        Err(error) => Err(error),
    };
    result.map_err(|error| failed(intent(), error))
}

/// What is known about the file that a path leads to (`IORING_OP_STATX`, 5.6).
///
/// # Errors
///
/// Those of statx(2), with the path.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Strict: nothing changes.
#[doc(alias = "stat")]
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    status(path.as_ref(), false).await
}

/// The same, but of a symbolic link itself rather than of what it leads to.
///
/// # Errors
///
/// Those of statx(2), with the path.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Strict: nothing changes.
#[doc(alias = "lstat")]
pub async fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    status(path.as_ref(), true).await
}

async fn status(path: &Path, link: bool) -> io::Result<Metadata> {
    let intent = at("looking at", path);
    let op = Statx::path(c_path(path).map_err(&intent)?, link);
    Driver::current().submit(op).await.map(Metadata::new).map_err(intent)
}

/// Whether a path leads to something (`IORING_OP_STATX`, 5.6); a link that leads nowhere does not.
///
/// # Errors
///
/// Those of statx(2) that leave it open, as a directory on the way that may not be looked into.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Strict: nothing changes.
#[doc(alias = "try_exists")]
pub async fn exists(path: impl AsRef<Path>) -> io::Result<bool> {
    match metadata(path).await {
        Ok(_) => Ok(true),
        Err(error) if nowhere(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether there is nothing of this name, or nothing that could have things in it on the way.
pub(super) fn nowhere(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Gives a file or directory another name, on the same file system; what had that name is replaced
/// at once, so that nobody ever finds none of the two (`IORING_OP_RENAMEAT`, 5.11).
///
/// # Errors
///
/// Those of rename(2), with both paths: `CrossesDevices` from one file system to another.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Weak: it may have happened.
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let (from, to) = (from.as_ref(), to.as_ref());
    let op = c_path(from).and_then(|from| Ok(Change::Rename { from, to: c_path(to)? }));
    change(|| format!("renaming {} to {}", from.display(), to.display()), op).await
}

/// Gives a file one more name (`IORING_OP_LINKAT`, 5.15).
///
/// # Errors
///
/// Those of link(2), with both paths.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Weak: it may have happened.
pub async fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref(), link.as_ref());
    let op = c_path(original).and_then(|from| Ok(Change::Link { from, to: c_path(link)? }));
    change(|| format!("linking {} to {}", link.display(), original.display()), op).await
}

/// Makes a symbolic link at `link` that says `original` (`IORING_OP_SYMLINKAT`, 5.15).
///
/// # Errors
///
/// Those of symlink(2), with both paths.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Weak: it may have happened.
pub async fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref(), link.as_ref());
    let op =
        c_path(original).and_then(|target| Ok(Change::Symlink { target, path: c_path(link)? }));
    change(|| format!("linking {} to {}", link.display(), original.display()), op).await
}

/// What a symbolic link says (on a helper thread: there is no opcode for it).
///
/// # Errors
///
/// Those of readlink(2), with the path: `InvalidInput` if it is none.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Strict: nothing changes.
pub async fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref();
    helper::read_link(path.to_owned()).await.map_err(at("reading the link", path))
}

/// The whole path from the root, without links, `.` and `..` (on a helper thread: there is no
/// opcode for it).
///
/// # Errors
///
/// Those of realpath(3), with the path.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Strict: nothing changes.
#[doc(alias = "realpath")]
pub async fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref();
    helper::canonicalize(path.to_owned()).await.map_err(at("finding", path))
}

/// Says who may do what with a file (on a helper thread: there is no opcode for it).
///
/// # Errors
///
/// Those of chmod(2), with the path.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Weak: it happens all the same.
#[doc(alias = "chmod")]
pub async fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    let path = path.as_ref();
    let result = helper::set_permissions(path.to_owned(), permissions).await;
    result.map_err(at("changing the permissions of", path))
}

/// Removes a name of a file; with the last one, and when nobody has it open, the file goes
/// (`IORING_OP_UNLINKAT`, 5.11).
///
/// # Errors
///
/// Those of unlink(2), with the path.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Weak: it may have happened.
#[doc(alias = "unlink")]
pub async fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    let op = c_path(path).map(|path| Change::Unlink { path, directory: false });
    change(|| format!("removing {}", path.display()), op).await
}

/// Removes an empty directory (`IORING_OP_UNLINKAT` with `AT_REMOVEDIR`, 5.11).
///
/// # Errors
///
/// Those of rmdir(2), with the path: `DirectoryNotEmpty`.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Weak: it may have happened.
#[doc(alias = "rmdir")]
pub async fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    let op = c_path(path).map(|path| Change::Unlink { path, directory: true });
    change(|| format!("removing {}", path.display()), op).await
}

/// Removes a directory with everything in it, and follows no link on the way (on a helper thread,
/// in one go).
///
/// # Errors
///
/// Those of the calls it takes, with the path. Part of it may be gone.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Weak: it goes on to its end.
#[doc(alias = "rmtree")]
pub async fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    let intent = at("removing all of", path);
    helper::remove_dir_all(path.to_owned()).await.map_err(intent)
}

/// Permission bits of a directory that is made, less the umask.
const DIRECTORY_MODE: u32 = 0o777;

/// Makes a directory (`IORING_OP_MKDIRAT`, 5.15).
///
/// # Errors
///
/// Those of mkdir(2), with the path.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Weak: it may have happened.
#[doc(alias = "mkdir")]
pub async fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    let op = c_path(path).map(|path| Change::Mkdir { path, mode: DIRECTORY_MODE });
    change(|| format!("making the directory {}", path.display()), op).await
}

/// Makes a directory and those it lies in, as far as they are not there. Several that do this at
/// once don't get in each other's way.
///
/// # Errors
///
/// Those of mkdir(2), with the path that could not be made; `AlreadyExists` if something is there
/// that is no directory.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Weak: some of them may have been made.
#[doc(alias = "makedirs")]
pub async fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    // Down from what is asked for, until one can be made; then up again.
    let mut missing: Vec<&Path> = Vec::new();
    let mut at = path;
    loop {
        match make_or_find(at).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(at),
            other => break other?,
        }
        match at.parent() {
            Some(parent) if parent != Path::new("") => at = parent,
            // Of a relative path nothing is left but the current directory.
            _ => break,
        }
    }
    for path in missing.into_iter().rev() {
        make_or_find(path).await?;
    }
    Ok(())
}

/// Makes a directory; one that is there will do.
async fn make_or_find(path: &Path) -> io::Result<()> {
    if path == Path::new("") {
        return Ok(());
    }
    match create_dir(path).await {
        Err(error) => match metadata(path).await {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            // It is there, but what it is the disk does not tell: that is what has gone wrong.
            Err(unread)
                if error.kind() == io::ErrorKind::AlreadyExists
                    && unread.kind() != io::ErrorKind::NotFound =>
            {
                Err(unread)
            }
            _ => Err(error),
        },
        made => made,
    }
}
