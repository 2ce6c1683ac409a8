//! Files in memory, with names or without.

use std::collections::BTreeMap;

use super::Errno;

/// An open file description: its own position in a file that others may have open too.
pub(super) type OpenFileId = u64;

/// "The file's own position" in an entry's offset (io_uring_enter(2)).
const OWN_POSITION: u64 = u64::MAX;

#[derive(Debug, Default)]
pub(super) struct Files {
    contents: Vec<Vec<u8>>,
    names: BTreeMap<Vec<u8>, usize>,
    open: BTreeMap<OpenFileId, OpenFile>,
    next: OpenFileId,
}

#[derive(Debug)]
struct OpenFile {
    content: usize,
    position: u64,
    readable: bool,
    writable: bool,
    append: bool,
}

impl Files {
    /// A new file with these bytes; with a name it can be opened by it.
    pub(super) fn create(&mut self, name: Option<&[u8]>, bytes: Vec<u8>) -> usize {
        self.contents.push(bytes);
        let content = self.contents.len() - 1;
        if let Some(name) = name {
            self.names.insert(name.to_vec(), content);
        }
        content
    }

    /// Opens a file for reading and writing.
    pub(super) fn open_content(&mut self, content: usize) -> OpenFileId {
        self.insert(OpenFile {
            content,
            position: 0,
            readable: true,
            writable: true,
            append: false,
        })
    }

    fn insert(&mut self, file: OpenFile) -> OpenFileId {
        self.next += 1;
        self.open.insert(self.next, file);
        self.next
    }

    /// openat(2) with a name that is compared as it stands: there are no directories.
    pub(super) fn open(&mut self, name: &[u8], flags: i32) -> Result<OpenFileId, Errno> {
        let access = flags & libc::O_ACCMODE;
        let content = match self.names.get(name) {
            Some(_) if flags & (libc::O_CREAT | libc::O_EXCL) == libc::O_CREAT | libc::O_EXCL => {
                return Err(libc::EEXIST);
            }
            Some(content) => *content,
            None if flags & libc::O_CREAT != 0 => self.create(Some(name), Vec::new()),
            None => return Err(libc::ENOENT),
        };
        if flags & libc::O_TRUNC != 0 && access != libc::O_RDONLY {
            self.contents[content].clear();
        }
        Ok(self.insert(OpenFile {
            content,
            position: 0,
            readable: access != libc::O_WRONLY,
            writable: access != libc::O_RDONLY,
            append: flags & libc::O_APPEND != 0,
        }))
    }

    pub(super) fn close(&mut self, id: OpenFileId) {
        self.open.remove(&id);
    }

    fn file(&mut self, id: OpenFileId) -> &mut OpenFile {
        self.open.get_mut(&id).expect("a file is open as long as something refers to it")
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
        let (start, content) = (place(file.position, offset)?, file.content);
        let bytes = &self.contents[content];
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
        let (position, append, content) = (file.position, file.append, file.content);
        let content = &mut self.contents[content];
        let start = if append { content.len() } else { place(position, offset)? };
        let end = start.checked_add(bytes.len()).ok_or(libc::EFBIG)?;
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(bytes);
        if offset == OWN_POSITION {
            self.file(id).position = end as u64;
        }
        Ok(bytes.len())
    }

    pub(super) fn bytes(&self, id: OpenFileId) -> Option<&[u8]> {
        Some(&self.contents[self.open.get(&id)?.content])
    }

    pub(super) fn named_bytes(&self, name: &[u8]) -> Option<&[u8]> {
        Some(&self.contents[*self.names.get(name)?])
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

    #[test]
    fn a_file_has_as_many_positions_as_it_was_opened_times() {
        let mut files = Files::default();
        let content = files.create(None, b"abcdef".to_vec());
        let (one, two) = (files.open_content(content), files.open_content(content));
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
        let content = files.create(None, b"a".to_vec());
        let file = files.open_content(content);
        assert_eq!(files.write(file, 3, b"xy"), Ok(2));
        assert_eq!(files.bytes(file), Some(&b"a\0\0xy"[..]));
    }

    #[test]
    fn open_keeps_to_its_flags() {
        let mut files = Files::default();
        assert_eq!(files.open(b"x", libc::O_RDWR), Err(libc::ENOENT));
        let log = files.open(b"x", libc::O_CREAT | libc::O_APPEND | libc::O_WRONLY).expect("new");
        assert_eq!(files.write(log, 0, b"one"), Ok(3));
        assert_eq!(files.write(log, 0, b"two"), Ok(3));
        assert_eq!(files.read(log, 0, 9), Err(libc::EBADF));
        assert_eq!(files.named_bytes(b"x"), Some(&b"onetwo"[..]));
        assert_eq!(files.open(b"x", libc::O_CREAT | libc::O_EXCL), Err(libc::EEXIST));
        files.open(b"x", libc::O_TRUNC | libc::O_WRONLY).expect("it is there");
        assert_eq!(files.named_bytes(b"x"), Some(&b""[..]));
    }
}
