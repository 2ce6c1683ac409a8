//! Copying a file: by the file system, by the kernel, or through our memory.

use std::fs as sync;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::error::failed;
use super::helper::{self, on_helper};
use super::{File, Metadata};
use crate::sys::file;

/// What the kernel copies in one visit to a helper thread: a copy that is dropped ends after it.
const VISIT: u64 = 16 << 20;

/// What goes through our memory in one go.
const BLOCK: usize = 256 << 10;

/// Copies a file with its permission bits; what was in the other one is replaced. Answers how many
/// bytes were copied.
///
/// It tries in turn: to share the blocks on the disk (`FICLONE`, on Btrfs, XFS and their like); to
/// have the kernel copy, 16 MiB at a time (copy_file_range(2)); and to read and write. There is no
/// opcode for the first two, so a helper thread does them, and all of a small file in one visit.
/// Nobody else should write to either of them meanwhile.
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
    if !helper::simulates() {
        let (from, to) = (from.to_owned(), to.to_owned());
        if let Some(visited) = on_helper(move || Visited::first(&from, &to)).await? {
            return visited.go_on().await;
        }
    }
    step_by_step(from, to).await
}

/// A copy between two visits to a helper thread.
struct Visited {
    source: sync::File,
    target: sync::File,
    /// So many bytes are there.
    done: u64,
    left: Left,
    /// Those that the target is to have at the end, if it has others.
    permissions: Option<sync::Permissions>,
}

/// What there is to do yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    /// To copy on.
    More,
    /// The same, and the kernel does not do it for these two files.
    Refused,
}

impl Visited {
    /// Opens both and begins; with a file that is not large it ends, too. `None` if the target is
    /// there and is no file: to open that may take for ever.
    fn first(from: &Path, to: &Path) -> io::Result<Option<Self>> {
        if sync::metadata(to).is_ok_and(|there| !there.is_file()) {
            return Ok(None);
        }
        let source = file::open_without_waiting(from)?;
        let metadata = source.metadata()?;
        check_source(metadata.is_file())?;
        let mut options = sync::File::options();
        let target = options.write(true).create(true).mode(metadata.mode() & 0o7777).open(to)?;
        let there = target.metadata()?;
        check_target((metadata.dev(), metadata.ino()), (there.dev(), there.ino()))?;
        // Not before: a copy to itself would find nothing to copy.
        if there.len() > 0 {
            target.set_len(0)?;
        }
        let permissions = (there.mode() != metadata.mode()).then(|| metadata.permissions());
        let mut visited = Visited { source, target, done: 0, left: Left::More, permissions };
        if metadata.len() == 0 {
            // What tells no length, as the files of /proc, is read to find out.
            visited.left = Left::Refused;
        } else if file::share_blocks(&visited.source, &visited.target).is_ok() {
            (visited.done, visited.left) = (metadata.len(), Left::Nothing);
        } else {
            visited.copy_on()?;
        }
        if visited.left == Left::Nothing {
            visited.complete()?;
        }
        Ok(Some(visited))
    }

    /// Has the kernel copy up to so many bytes, or to the end.
    fn copy_on(&mut self) -> io::Result<()> {
        let end = self.done + VISIT;
        while self.left == Left::More && self.done < end {
            let most = (end - self.done) as usize;
            match file::copy_range(&self.source, &self.target, self.done, most) {
                Ok(0) if self.done > 0 => self.left = Left::Nothing,
                // Right at the start: a file system that can't, and says nothing.
                Ok(0) => self.left = Left::Refused,
                Ok(count) => self.done += count as u64,
                Err(error) if refuses(&error) => self.left = Left::Refused,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A file that was made has them, less the umask; one that was there has its own.
    fn complete(&mut self) -> io::Result<()> {
        self.permissions.take().map_or(Ok(()), |wanted| self.target.set_permissions(wanted))
    }

    async fn go_on(mut self) -> io::Result<u64> {
        while self.left == Left::More {
            self = on_helper(move || self.copy_on().map(|()| self)).await?;
        }
        if self.left == Left::Refused {
            let lent = |file: &sync::File| file.try_clone().map(File::from_std);
            let (source, target) = (lent(&self.source)?, lent(&self.target)?);
            self.done = through_memory(&source, &target, self.done).await?;
        }
        if self.permissions.is_some() {
            self = on_helper(move || self.complete().map(|()| self)).await?;
        }
        Ok(self.done)
    }
}

fn check_source(is_file: bool) -> io::Result<()> {
    if is_file {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "only a regular file is copied"))
}

/// Of both: which file system, and which file of it.
fn check_target(source: (u64, u64), target: (u64, u64)) -> io::Result<()> {
    if source != target {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "they are the same file"))
}

/// By operations of the ring: to what is no file, as a device or a pipe, and on a simulated ring.
async fn step_by_step(from: &Path, to: &Path) -> io::Result<u64> {
    let source = File::open(from).await?;
    let metadata = source.metadata().await?;
    check_source(metadata.is_file())?;
    let mut options = File::options();
    let target = options.write(true).create(true).mode(metadata.mode() & 0o7777).open(to).await?;
    let there = target.metadata().await?;
    let file = |metadata: &Metadata| (metadata.dev(), metadata.ino());
    check_target(file(&metadata), file(&there))?;
    if there.is_file() && there.len() > 0 {
        target.set_len(0).await?;
    }
    let copied = through_memory(&source, &target, 0).await?;
    if there.is_file() && there.mode() != metadata.mode() {
        target.set_permissions(metadata.permissions()).await?;
    }
    target.close().await?;
    Ok(copied)
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
