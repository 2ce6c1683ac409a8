//! Open files in memory. Their names are in `tree.rs`.

use std::collections::BTreeMap;

use super::Errno;
use super::tree::{NodeId, Tree, What};

/// An open file description: its own position in a file that others may have open too.
pub(super) type OpenFileId = u64;

/// "The file's own position" in an entry's offset (io_uring_enter(2)).
const OWN_POSITION: u64 = u64::MAX;

/// The umask: what is made is not for others to write to.
const UMASK: u32 = 0o022;

/// No file is longer: what comes beyond is a mistake of a test's.
const LONGEST: usize = 1 << 30;

/// What O_DIRECT asks of the simulated disk: of memory, and of offset and length.
pub(super) const DIRECT_ALIGNMENT: (u32, u32) = (4, 512);

#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) tree: Tree,
    open: BTreeMap<OpenFileId, OpenFile>,
    next: OpenFileId,
}

#[derive(Debug)]
struct OpenFile {
    node: NodeId,
    position: u64,
    readable: bool,
    writable: bool,
    append: bool,
    direct: bool,
}

impl Files {
    /// A new file with these bytes; with a path it can be opened by that, and replaces what was
    /// there. The directories above it are made.
    pub(super) fn create(&mut self, path: Option<&[u8]>, bytes: Vec<u8>) -> Result<NodeId, Errno> {
        let Some(path) = path else { return Ok(self.tree.add(What::File(bytes), 0o644)) };
        self.tree.make_parents(path)?;
        let (node, _) = self.tree.open_or_make(path, 0o644)?;
        *self.tree.bytes_mut(node)? = bytes;
        Ok(node)
    }

    /// Opens a file for reading and writing.
    pub(super) fn open_node(&mut self, node: NodeId) -> OpenFileId {
        self.insert(OpenFile {
            node,
            position: 0,
            readable: true,
            writable: true,
            append: false,
            direct: false,
        })
    }

    fn insert(&mut self, file: OpenFile) -> OpenFileId {
        self.next += 1;
        self.open.insert(self.next, file);
        self.next
    }

    /// openat(2).
    pub(super) fn open(&mut self, path: &[u8], flags: i32, mode: u32) -> Result<OpenFileId, Errno> {
        let access = flags & libc::O_ACCMODE;
        let has = |flag: i32| flags & flag != 0;
        let node = self.find_to_open(path, flags, mode)?;
        let directory = matches!(self.tree.node(node).what, What::Directory(_));
        if directory && (access != libc::O_RDONLY || has(libc::O_CREAT)) {
            return Err(libc::EISDIR);
        }
        if !directory && has(libc::O_DIRECTORY) {
            return Err(libc::ENOTDIR);
        }
        if has(libc::O_TRUNC) && access != libc::O_RDONLY {
            self.tree.bytes_mut(node)?.clear();
        }
        Ok(self.insert(OpenFile {
            node,
            position: 0,
            readable: access != libc::O_WRONLY,
            writable: access != libc::O_RDONLY,
            append: has(libc::O_APPEND),
            direct: has(libc::O_DIRECT),
        }))
    }

    fn find_to_open(&mut self, path: &[u8], flags: i32, mode: u32) -> Result<NodeId, Errno> {
        let has = |flag: i32| flags & flag != 0;
        let follow = !has(libc::O_NOFOLLOW);
        if has(libc::O_CREAT) && has(libc::O_EXCL) {
            return self.tree.make(path, What::File(Vec::new()), mode & !UMASK);
        }
        let node = match self.tree.look_up(path, follow) {
            Err(libc::ENOENT) if has(libc::O_CREAT) => {
                self.tree.open_or_make(path, mode & !UMASK)?.0
            }
            found => found?,
        };
        match self.tree.node(node).what {
            What::Symlink(_) => Err(libc::ELOOP),
            _ => Ok(node),
        }
    }

    pub(super) fn close(&mut self, id: OpenFileId) {
        self.open.remove(&id);
    }

    /// mkdirat(2).
    pub(super) fn make_directory(&mut self, path: &[u8], mode: u32) -> Result<(), Errno> {
        self.tree.make(path, What::Directory(BTreeMap::new()), mode & !UMASK).map(drop)
    }

    fn file(&mut self, id: OpenFileId) -> &mut OpenFile {
        self.open.get_mut(&id).expect("a file is open as long as something refers to it")
    }

    /// What an open file is a description of.
    pub(super) fn node(&self, id: OpenFileId) -> Option<NodeId> {
        self.open.get(&id).map(|file| file.node)
    }

    /// A transfer past the page cache is cut short between blocks only.
    pub(super) fn cut(&mut self, id: OpenFileId, most: usize) -> usize {
        let unit = DIRECT_ALIGNMENT.1 as usize;
        if self.file(id).direct { (most / unit * unit).max(unit) } else { most }
    }

    /// What O_DIRECT asks of a transfer.
    pub(super) fn check_direct(
        &mut self,
        id: OpenFileId,
        offset: u64,
        pieces: impl IntoIterator<Item = (u64, u64)>,
    ) -> Result<(), Errno> {
        let (memory, unit) = DIRECT_ALIGNMENT;
        let fits = |(address, length): (u64, u64)| {
            address.is_multiple_of(memory.into()) && length.is_multiple_of(unit.into())
        };
        let file = self.file(id);
        if !file.direct {
            return Ok(());
        }
        let offset = if offset == OWN_POSITION { file.position } else { offset };
        let aligned = offset.is_multiple_of(unit.into()) && pieces.into_iter().all(fits);
        if aligned { Ok(()) } else { Err(libc::EINVAL) }
    }

    pub(super) fn read(
        &mut self,
        id: OpenFileId,
        offset: u64,
        most: usize,
    ) -> Result<Vec<u8>, Errno> {
        let file = self.file(id);
        if !file.readable {
            return Err(libc::EBADF);
        }
        let (start, node) = (place(file.position, offset)?, file.node);
        let bytes = self.tree.bytes(node)?;
        let start = start.min(bytes.len());
        let read = bytes[start..bytes.len().min(start.saturating_add(most))].to_vec();
        if offset == OWN_POSITION {
            self.file(id).position += read.len() as u64;
        }
        Ok(read)
    }

    pub(super) fn write(
        &mut self,
        id: OpenFileId,
        offset: u64,
        bytes: &[u8],
    ) -> Result<usize, Errno> {
        let file = self.file(id);
        if !file.writable {
            return Err(libc::EBADF);
        }
        let (position, append, node) = (file.position, file.append, file.node);
        let content = self.tree.bytes_mut(node)?;
        let start = if append { content.len() } else { place(position, offset)? };
        let end =
            start.checked_add(bytes.len()).filter(|end| *end <= LONGEST).ok_or(libc::EFBIG)?;
        if bytes.is_empty() {
            return Ok(0);
        }
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(bytes);
        if offset == OWN_POSITION {
            self.file(id).position = end as u64;
        }
        Ok(bytes.len())
    }

    /// ftruncate(2).
    pub(super) fn truncate(&mut self, id: OpenFileId, length: u64) -> Result<(), Errno> {
        let file = self.file(id);
        if !file.writable || i64::try_from(length).is_err() {
            return Err(libc::EINVAL);
        }
        let node = file.node;
        let length = usize::try_from(length).ok().filter(|length| *length <= LONGEST);
        self.tree.bytes_mut(node)?.resize(length.ok_or(libc::EFBIG)?, 0);
        Ok(())
    }

    /// fallocate(2) in its plain mode.
    pub(super) fn allocate(
        &mut self,
        id: OpenFileId,
        offset: u64,
        length: u64,
    ) -> Result<(), Errno> {
        let file = self.file(id);
        if length == 0 || i64::try_from(offset).is_err() || i64::try_from(length).is_err() {
            return Err(libc::EINVAL);
        }
        if !file.writable {
            return Err(libc::EBADF);
        }
        let node = file.node;
        let end = usize::try_from(offset + length).ok().filter(|end| *end <= LONGEST);
        let end = end.ok_or(libc::EFBIG)?;
        let bytes = self.tree.bytes_mut(node)?;
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        Ok(())
    }

    pub(super) fn bytes(&self, id: OpenFileId) -> Option<&[u8]> {
        self.tree.bytes(self.node(id)?).ok().map(Vec::as_slice)
    }

    pub(super) fn named_bytes(&self, path: &[u8]) -> Option<&[u8]> {
        let node = self.tree.look_up(path, true).ok()?;
        self.tree.bytes(node).ok().map(Vec::as_slice)
    }
}

fn place(position: u64, offset: u64) -> Result<usize, Errno> {
    let offset = if offset == OWN_POSITION { position } else { offset };
    // loff_t is signed.
    if offset > i64::MAX as u64 { Err(libc::EINVAL) } else { Ok(offset as usize) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anonymous(files: &mut Files, bytes: &[u8]) -> NodeId {
        files.create(None, bytes.to_vec()).expect("without a name nothing is in its way")
    }

    #[test]
    fn a_file_has_as_many_positions_as_it_was_opened_times() {
        let mut files = Files::default();
        let node = anonymous(&mut files, b"abcdef");
        let (one, two) = (files.open_node(node), files.open_node(node));
        assert_eq!(files.read(one, OWN_POSITION, 2), Ok(b"ab".to_vec()));
        assert_eq!(files.read(one, OWN_POSITION, 2), Ok(b"cd".to_vec()));
        assert_eq!(files.read(two, OWN_POSITION, 9), Ok(b"abcdef".to_vec()));
        assert_eq!(files.read(two, 4, 9), Ok(b"ef".to_vec()));
        assert_eq!(files.read(two, 99, 9), Ok(Vec::new()));
        assert_eq!(files.read(two, 1 << 63, 9), Err(libc::EINVAL));
    }

    #[test]
    fn a_write_past_the_end_leaves_a_hole_of_zeroes() {
        let mut files = Files::default();
        let node = anonymous(&mut files, b"a");
        let file = files.open_node(node);
        assert_eq!(files.write(file, 3, b"xy"), Ok(2));
        assert_eq!(files.bytes(file), Some(&b"a\0\0xy"[..]));
        assert_eq!(files.write(file, 9, b""), Ok(0));
        assert_eq!(files.bytes(file).map(<[u8]>::len), Some(5), "no bytes make no hole");
        assert_eq!(files.truncate(file, 2), Ok(()));
        assert_eq!(files.allocate(file, 1, 3), Ok(()));
        assert_eq!(files.bytes(file), Some(&b"a\0\0\0"[..]));
    }

    #[test]
    fn open_keeps_to_its_flags() {
        let mut files = Files::default();
        assert_eq!(files.open(b"x", libc::O_RDWR, 0), Err(libc::ENOENT));
        let append = libc::O_CREAT | libc::O_APPEND | libc::O_WRONLY;
        let log = files.open(b"x", append, 0o666).expect("new");
        assert_eq!(files.write(log, 0, b"one"), Ok(3));
        assert_eq!(files.write(log, 0, b"two"), Ok(3));
        assert_eq!(files.read(log, 0, 9), Err(libc::EBADF));
        assert_eq!(files.named_bytes(b"x"), Some(&b"onetwo"[..]));
        assert_eq!(files.open(b"x", libc::O_CREAT | libc::O_EXCL, 0), Err(libc::EEXIST));
        files.open(b"x", libc::O_TRUNC | libc::O_WRONLY, 0).expect("it is there");
        assert_eq!(files.named_bytes(b"x"), Some(&b""[..]));
        let node = files.tree.look_up(b"x", true).expect("it is there");
        assert_eq!(files.tree.node(node).mode, 0o644);
        assert_eq!(files.open(b"/", libc::O_RDWR, 0), Err(libc::EISDIR));
        assert_eq!(files.open(b"x", libc::O_DIRECTORY, 0), Err(libc::ENOTDIR));
    }
}
