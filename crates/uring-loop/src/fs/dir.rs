//! What is in a directory: read by a helper thread, in batches.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::error::at;
use super::metadata::FileType;
use super::{Metadata, helper, metadata, symlink_metadata};
use crate::ops::paths::Kind;

/// Entries that one visit to a helper thread brings.
const BATCH: usize = 256;

/// A name in a directory.
pub(super) struct Named {
    pub(super) name: OsString,
    pub(super) inode: u64,
    /// Not every file system tells.
    pub(super) kind: Option<Kind>,
}

/// A directory that is being read, on its way between the loop and a helper thread.
pub(super) struct Source(std::fs::ReadDir);

/// Entries, and where more come from.
pub(super) struct Batch {
    entries: std::vec::IntoIter<io::Result<Named>>,
    more: Option<Source>,
}

impl Batch {
    /// Everything that is in a directory.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn whole(names: Vec<Named>) -> Self {
        let entries: Vec<_> = names.into_iter().map(Ok).collect();
        Batch { entries: entries.into_iter(), more: None }
    }
}

impl Source {
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        std::fs::read_dir(path).map(Source)
    }

    /// Reads on; the call that blocks.
    pub(super) fn next(mut self) -> Batch {
        let entries: Vec<_> = self.0.by_ref().take(BATCH).map(|entry| entry.map(named)).collect();
        // An error does not end the listing, but nothing comes behind it for ever either: std ends
        // at the first.
        let more = (entries.len() == BATCH).then_some(self);
        Batch { entries: entries.into_iter(), more }
    }
}

fn named(entry: std::fs::DirEntry) -> Named {
    use std::os::unix::fs::{DirEntryExt, FileTypeExt};
    // Told by the directory; only a file system that does not tell is asked again, here where that
    // may block.
    let kind = entry.file_type().ok().map(|kind| match kind {
        _ if kind.is_file() => Kind::File,
        _ if kind.is_dir() => Kind::Directory,
        _ if kind.is_symlink() => Kind::Symlink,
        _ if kind.is_block_device() => Kind::BlockDevice,
        _ if kind.is_char_device() => Kind::CharDevice,
        _ if kind.is_fifo() => Kind::Fifo,
        _ if kind.is_socket() => Kind::Socket,
        _ => Kind::Other,
    });
    Named { name: entry.file_name(), inode: entry.ino(), kind }
}

/// Opens a directory to look through it (on a helper thread: there is no opcode for it).
///
/// # Errors
///
/// Those of opendir(3), with the path.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Strict: nothing changes.
///
/// # Examples
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// uring_loop::run(async {
///     uring_loop::fs::write(folder.join("a"), "text").await?;
///     let mut entries = uring_loop::fs::read_dir(folder).await?;
///     while let Some(entry) = entries.next().await.transpose()? {
///         assert!(entry.file_name() == "a" && entry.file_type().await?.is_file());
///     }
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "scandir")]
#[doc(alias = "listdir")]
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let path = path.as_ref();
    let batch = helper::open_dir(path.to_owned()).await.map_err(at("looking through", path))?;
    Ok(ReadDir { folder: path.into(), state: State::Here(batch) })
}

/// A directory that is looked through, in no order; made by [`read_dir`]. It leaves `.` and `..`
/// out. It is a [`Stream`](futures_core::Stream), too.
#[must_use = "it tells what is in the directory when it is asked"]
pub struct ReadDir {
    folder: Arc<Path>,
    state: State,
}

type Reading = Pin<Box<dyn Future<Output = io::Result<Batch>>>>;

enum State {
    Here(Batch),
    /// A helper thread reads on.
    Away(Reading),
    Ended,
}

impl ReadDir {
    /// The next entry; `None` is the end.
    ///
    /// # Errors
    ///
    /// Those of readdir(3), with the path.
    ///
    /// # Cancel safety
    ///
    /// Strict: the entry is there for the next call.
    pub async fn next(&mut self) -> Option<io::Result<DirEntry>> {
        poll_fn(|cx| self.poll_entry(cx)).await
    }

    fn poll_entry(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<DirEntry>>> {
        loop {
            match &mut self.state {
                State::Here(batch) => {
                    if let Some(entry) = batch.entries.next() {
                        let entry = entry.map_err(at("looking through", &self.folder));
                        let folder = self.folder.clone();
                        return Poll::Ready(Some(entry.map(|named| DirEntry { folder, named })));
                    }
                    self.state = match batch.more.take() {
                        Some(source) => {
                            let read = move || Ok(source.next());
                            State::Away(Box::pin(helper::on_helper(read)))
                        }
                        None => State::Ended,
                    };
                }
                State::Away(reading) => {
                    let batch = ready!(reading.as_mut().poll(cx));
                    self.state = State::Ended;
                    match batch {
                        Ok(batch) => self.state = State::Here(batch),
                        Err(error) => {
                            let error = at("looking through", &self.folder)(error);
                            return Poll::Ready(Some(Err(error)));
                        }
                    }
                }
                State::Ended => return Poll::Ready(None),
            }
        }
    }
}

impl futures_core::Stream for ReadDir {
    type Item = io::Result<DirEntry>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_entry(cx)
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadDir({})", self.folder.display())
    }
}

/// A name in a directory.
pub struct DirEntry {
    folder: Arc<Path>,
    named: Named,
}

impl DirEntry {
    /// The name alone.
    #[must_use]
    pub fn file_name(&self) -> &OsStr {
        &self.named.name
    }

    /// The path that was given to [`read_dir`], with the name.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join(&self.named.name)
    }

    /// Its number on the file system.
    #[must_use]
    pub fn ino(&self) -> u64 {
        self.named.inode
    }

    /// What it is; a symbolic link is one. Most file systems have told that along with the name;
    /// others are asked now.
    ///
    /// # Errors
    ///
    /// Those of [`symlink_metadata`].
    ///
    /// # Cancel safety
    ///
    /// Strict: nothing changes.
    pub async fn file_type(&self) -> io::Result<FileType> {
        match self.named.kind {
            Some(kind) => Ok(FileType(kind)),
            None => symlink_metadata(self.path()).await.map(|metadata| metadata.file_type()),
        }
    }

    /// What is known about it; of a symbolic link, about what that leads to.
    ///
    /// # Errors
    ///
    /// Those of [`metadata`](fn@metadata).
    ///
    /// # Cancel safety
    ///
    /// Strict: nothing changes.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        metadata(self.path()).await
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DirEntry({})", self.path().display())
    }
}
