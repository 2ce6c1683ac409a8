//! Copying a file: by the file system, by the kernel, or through our memory.

use std::io;
use std::path::Path;

use super::error::failed;
use super::{File, helper};
use crate::sys::file;

/// What the kernel copies in one visit to a helper thread: a copy that is dropped ends after it.
const VISIT: usize = 16 << 20;

/// What goes through our memory in one go.
const BLOCK: usize = 256 << 10;

/// Copies a file with its permission bits; what was in the other one is replaced. Answers how many
/// bytes were copied.
///
/// It tries in turn: to share the blocks on the disk (`FICLONE`, on Btrfs, XFS and their like); to
/// have the kernel copy, 16 MiB at a time (copy_file_range(2)), both on a helper thread, since
/// there is no opcode for them; and to read and write. Nobody else should write to either of them
/// meanwhile.
///
/// # Errors
///
/// Those of opening, reading and writing, with the paths; `InvalidInput` if `from` is no regular
/// file. Part of it may have been copied.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Weak: part of it has been copied; what a helper thread has begun goes on to the end of its 16
/// MiB.
///
/// # Examples
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// uring_loop::run(async {
///     uring_loop::fs::write(folder.join("a"), "text").await?;
///     assert_eq!(uring_loop::fs::copy(folder.join("a"), folder.join("b")).await?, 4);
///     assert_eq!(uring_loop::fs::read(folder.join("b")).await?, b"text");
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "copyfile")]
pub async fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let (from, to) = (from.as_ref(), to.as_ref());
    let copied = copy_whole(from, to).await;
    copied.map_err(|error| failed(format!("copying {} to {}", from.display(), to.display()), error))
}

async fn copy_whole(from: &Path, to: &Path) -> io::Result<u64> {
    let source = File::open(from).await?;
    let metadata = source.metadata().await?;
    if !metadata.is_file() {
        let text = "only a regular file is copied";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mut options = File::options();
    let target = options.write(true).create(true).mode(metadata.mode() & 0o7777).open(to).await?;
    let there = target.metadata().await?;
    if (there.dev(), there.ino()) == (metadata.dev(), metadata.ino()) {
        let text = "they are the same file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    // Not before: a copy to itself would find nothing to copy.
    if there.is_file() && there.len() > 0 {
        target.set_len(0).await?;
    }
    let copied = copy_bytes(&source, &target, metadata.len()).await?;
    // A file that was made has them, less the umask; one that was there has its own.
    if there.is_file() && there.mode() != metadata.mode() {
        target.set_permissions(metadata.permissions()).await?;
    }
    target.close().await?;
    Ok(copied)
}

/// How far the kernel got.
enum Kernel {
    /// To the end.
    Copied(u64),
    /// It does not do it for these two files, beyond so many bytes.
    Refused(u64),
}

async fn copy_bytes(source: &File, target: &File, length: u64) -> io::Result<u64> {
    // What tells no length, as the files of /proc, is read to find out.
    let done = if length == 0 || source.simulated() {
        0
    } else {
        match by_the_kernel(source, target, length).await? {
            Kernel::Copied(bytes) => return Ok(bytes),
            Kernel::Refused(done) => done,
        }
    };
    through_memory(source, target, done).await
}

async fn by_the_kernel(source: &File, target: &File, length: u64) -> io::Result<Kernel> {
    let (from, to) = (source.duplicate()?, target.duplicate()?);
    if helper::on_helper(move || Ok(file::share_blocks(&from, &to).is_ok())).await? {
        return Ok(Kernel::Copied(length));
    }
    let mut done = 0;
    loop {
        let (from, to) = (source.duplicate()?, target.duplicate()?);
        let copied = helper::on_helper(move || file::copy_range(&from, &to, done, VISIT)).await;
        match copied {
            // The end; or, right at the start, a file system that can't and says nothing.
            Ok(0) if done > 0 => return Ok(Kernel::Copied(done)),
            Ok(0) => return Ok(Kernel::Refused(0)),
            Ok(count) => done += count as u64,
            Err(error) if refuses(&error) => return Ok(Kernel::Refused(done)),
            Err(error) => return Err(error),
        }
    }
}

/// Whether it would go without the kernel's help: two file systems that don't know each other, one
/// that can't, a filter that forbids the call.
fn refuses(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::CrossesDevices
            | io::ErrorKind::Unsupported
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::ResourceBusy
    ) || file::is_missing(error)
}

async fn through_memory(source: &File, target: &File, mut done: u64) -> io::Result<u64> {
    let mut buffer = Vec::with_capacity(BLOCK);
    loop {
        let (read, filled) = source.read_at(buffer, done).await;
        let read = read?;
        if read == 0 || (read < BLOCK && done > 0 && mutant!("short-read-ends-a-copy")) {
            return Ok(done);
        }
        let (written, back) = target.write_all_at(filled, done).await;
        written?;
        done += read as u64;
        buffer = back;
    }
}
