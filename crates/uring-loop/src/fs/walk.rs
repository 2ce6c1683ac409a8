//! A directory with everything below it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::dir::{DirEntry, read_dir};
use super::metadata::FileType;

/// Goes through everything below a directory, depth first: each directory comes before what is in
/// it. Symbolic links are told, not followed, so it always ends.
///
/// # Examples
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// uring_loop::run(async {
///     uring_loop::fs::create_dir_all(folder.join("a/b")).await?;
///     let mut walk = uring_loop::fs::walk(folder);
///     let mut depths = Vec::new();
///     while let Some(entry) = walk.next().await.transpose()? {
///         depths.push((entry.path().strip_prefix(folder).unwrap().to_owned(), entry.depth()));
///     }
///     assert_eq!(depths, [("a".into(), 1), ("a/b".into(), 2)]);
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub fn walk(root: impl AsRef<Path>) -> Walk {
    let root = Step::Into(root.as_ref().to_owned(), 0);
    Walk { stack: vec![root], listing: Vec::new(), listed: None }
}

/// Everything below a directory; made by [`walk`].
// A directory is read as a whole before what is in it is told: then no descriptor is held while
// somebody works on what was told, however deep the tree is.
#[must_use = "it goes on when it is asked"]
pub struct Walk {
    /// What is still to be told or gone into; the next is the last.
    stack: Vec<Step>,
    /// Of the directory that is being read.
    listing: Vec<Step>,
    /// Read from it, and not yet known what it is; with its depth.
    listed: Option<(DirEntry, usize)>,
}

enum Step {
    Tell(WalkEntry),
    /// A directory and its depth.
    Into(PathBuf, usize),
    Reading(Box<super::ReadDir>, usize),
}

/// Something that [`walk`] has met.
#[derive(Debug)]
pub struct WalkEntry {
    entry: DirEntry,
    kind: FileType,
    depth: usize,
}

impl WalkEntry {
    /// The path that was given to [`walk`], with what is below it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.entry.path()
    }

    /// How far below the root: what is in the root itself is at 1.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// What it is.
    #[must_use]
    pub fn file_type(&self) -> FileType {
        self.kind
    }

    /// The name in its directory.
    #[must_use]
    pub fn entry(&self) -> &DirEntry {
        &self.entry
    }
}

impl Walk {
    /// The next entry; `None` is the end. After an error, as of a directory that may not be looked
    /// into, it goes on with the rest.
    ///
    /// # Errors
    ///
    /// Those of [`read_dir`] and of its entries, with the path.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Cancel safety
    ///
    /// Strict: the entry is there for the next call.
    pub async fn next(&mut self) -> Option<io::Result<WalkEntry>> {
        loop {
            if let Err(error) = self.note_listed().await {
                return Some(Err(error));
            }
            match self.stack.last_mut()? {
                Step::Tell(_) => {
                    let Some(Step::Tell(entry)) = self.stack.pop() else { unreachable!("looked") };
                    let followed = entry.kind.is_symlink() && mutant!("a-walk-follows-links");
                    if entry.kind.is_dir() || followed {
                        self.stack.push(Step::Into(entry.path(), entry.depth));
                    }
                    return Some(Ok(entry));
                }
                Step::Into(path, depth) => {
                    let (opened, depth) = (read_dir(&*path).await, *depth);
                    self.stack.pop();
                    match opened {
                        Ok(reading) => self.stack.push(Step::Reading(Box::new(reading), depth)),
                        Err(error) => return Some(Err(error)),
                    }
                }
                Step::Reading(reading, depth) => match reading.next().await {
                    Some(Ok(entry)) => self.listed = Some((entry, *depth + 1)),
                    Some(Err(error)) => return Some(Err(error)),
                    None => {
                        self.stack.pop();
                        self.stack.extend(self.listing.drain(..).rev());
                    }
                },
            }
        }
    }

    /// Asks what the entry is that was read last. It is kept meanwhile, so that a drop loses none.
    async fn note_listed(&mut self) -> io::Result<()> {
        let Some((entry, _)) = &self.listed else { return Ok(()) };
        let kind = entry.file_type().await;
        let Some((entry, depth)) = self.listed.take() else { return Ok(()) };
        match kind {
            Ok(kind) => self.listing.push(Step::Tell(WalkEntry { entry, kind, depth })),
            // It went meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Leaves out what is below the directory that was told last.
    pub fn skip(&mut self) {
        self.stack.pop_if(|step| matches!(step, Step::Into(..)));
    }
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk").field("to_do", &self.stack.len()).finish_non_exhaustive()
    }
}
