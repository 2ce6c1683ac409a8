//! The test's side of simulated files; and what is done to files by plain calls rather than by the
//! ring, which a simulated kernel does at once.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::descriptors::Object;
use super::files::OpenFileId;
use super::handle::{SimHandle, check};
use super::paths;
use super::tree::What;
use crate::ops::paths::Kind;

fn bytes_of(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

impl SimHandle {
    /// A file with these bytes, opened for reading and writing.
    pub fn create_file(&self, bytes: impl Into<Vec<u8>>) -> RawFd {
        let world = &mut *self.world();
        let node = world.files.create(None, bytes.into()).expect("it has no name");
        let file = world.files.open_node(node);
        world.descriptors.open(Object::File(file))
    }

    /// A file with these bytes and this path. The directories above it are made; what a file of
    /// this path held is replaced.
    ///
    /// # Panics
    ///
    /// If it cannot be: a part of the path is a file, or the whole of it a directory.
    #[track_caller]
    pub fn create_named_file(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        let made = self.world().files.create(Some(path.as_bytes()), bytes.into());
        if let Err(errno) = made {
            panic!("making {path}: {}", io::Error::from_raw_os_error(errno));
        }
    }

    /// What an open file holds now.
    pub fn file_bytes(&self, fd: RawFd) -> Option<Vec<u8>> {
        let file = self.open_file(fd).ok()?;
        self.world_quietly().files.bytes(file).map(<[u8]>::to_vec)
    }

    /// What the file of this path holds now.
    pub fn named_file_bytes(&self, path: &str) -> Option<Vec<u8>> {
        self.world_quietly().files.named_bytes(path.as_bytes()).map(<[u8]>::to_vec)
    }

    fn open_file(&self, fd: RawFd) -> io::Result<OpenFileId> {
        match check(self.world_quietly().descriptors.resolve(fd))? {
            Object::File(file) => Ok(file),
            _ => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        }
    }

    /// ftruncate(2).
    pub(crate) fn truncate(&self, fd: RawFd, length: u64) -> io::Result<()> {
        let file = self.open_file(fd)?;
        check(self.world().files.truncate(file, length))
    }

    /// fchmod(2).
    pub(crate) fn change_mode_of(&self, fd: RawFd, mode: u32) -> io::Result<()> {
        let file = self.open_file(fd)?;
        let files = &mut self.world().files;
        let node = files.node(file).expect("it was just looked up");
        files.tree.node_mut(node).mode = mode & 0o7777;
        Ok(())
    }

    /// chmod(2).
    pub(crate) fn change_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        let files = &mut self.world().files;
        let node = check(files.tree.look_up(bytes_of(path), true))?;
        files.tree.node_mut(node).mode = mode & 0o7777;
        Ok(())
    }

    /// realpath(3).
    pub(crate) fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        let path = check(self.world_quietly().files.tree.canonical(bytes_of(path)))?;
        Ok(PathBuf::from(OsString::from_vec(path)))
    }

    /// readlink(2).
    pub(crate) fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        let tree = &self.world_quietly().files.tree;
        let node = check(tree.look_up(bytes_of(path), false))?;
        match &tree.node(node).what {
            What::Symlink(target) => Ok(PathBuf::from(OsStr::from_bytes(target))),
            _ => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        }
    }

    /// A directory with all that is in it.
    pub(crate) fn remove_all(&self, path: &Path) -> io::Result<()> {
        check(self.world().files.tree.remove_all(bytes_of(path)))
    }

    /// The names in a directory, with number and kind.
    pub(crate) fn list(&self, path: &Path) -> io::Result<Vec<(OsString, u64, Kind)>> {
        let tree = &self.world_quietly().files.tree;
        let entries = check(tree.look_up(bytes_of(path), true).and_then(|id| tree.entries(id)))?;
        let entry = |(name, id): (&Vec<u8>, &usize)| {
            let kind = Kind::of_mode(paths::mode(tree.node(*id)));
            (OsString::from_vec(name.clone()), *id as u64 + 1, kind)
        };
        Ok(entries.iter().map(entry).collect())
    }
}
