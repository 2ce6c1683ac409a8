//! The names of the simulated files: directories, symbolic links, what path_resolution(7) says of
//! them. The current directory is the root.

use std::collections::{BTreeMap, VecDeque};

use super::Errno;

/// A file, directory or link, with a name or without.
pub(super) type NodeId = usize;

/// The directory that everything with a name is below.
pub(super) const ROOT: NodeId = 0;

/// Links that a path may lead over (`MAXSYMLINKS`), and bytes of a name (`NAME_MAX`).
const MOST_LINKS: usize = 40;
const LONGEST_NAME: usize = 255;

#[derive(Debug)]
pub(super) enum What {
    File(Vec<u8>),
    Directory(BTreeMap<Vec<u8>, NodeId>),
    Symlink(Vec<u8>),
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) what: What,
    /// Permission bits.
    pub(super) mode: u32,
    pub(super) links: u32,
    /// In nanoseconds of virtual time.
    pub(super) modified: u64,
    pub(super) made: u64,
}

impl Node {
    pub(super) fn what_is_directory(&self) -> bool {
        matches!(self.what, What::Directory(_))
    }
}

#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// Virtual time.
    pub(super) now: u64,
}

/// Where a path leads.
struct Found {
    folder: NodeId,
    name: Vec<u8>,
    node: Option<NodeId>,
    /// The names from the root to the folder.
    way: Vec<Vec<u8>>,
}

impl Default for Tree {
    fn default() -> Self {
        let mut tree = Tree { nodes: Vec::new(), now: 0 };
        tree.add(What::Directory(BTreeMap::new()), 0o755);
        tree
    }
}

fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> {
    let names = path.split(|byte| *byte == b'/');
    names.filter(|name| !matches!(*name, b"" | b".")).map(<[u8]>::to_vec)
}

impl Tree {
    /// Something without a name yet.
    pub(super) fn add(&mut self, what: What, mode: u32) -> NodeId {
        let (modified, made) = (self.now, self.now);
        self.nodes.push(Node { what, mode, links: 0, modified, made });
        self.nodes.len() - 1
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id]
    }

    /// The bytes of a regular file.
    pub(super) fn bytes(&self, id: NodeId) -> Result<&Vec<u8>, Errno> {
        match &self.nodes[id].what {
            What::File(bytes) => Ok(bytes),
            What::Directory(_) => Err(libc::EISDIR),
            What::Symlink(_) => Err(libc::EINVAL),
        }
    }

    /// The same, about to be changed.
    pub(super) fn bytes_mut(&mut self, id: NodeId) -> Result<&mut Vec<u8>, Errno> {
        let now = self.now;
        let node = &mut self.nodes[id];
        match &mut node.what {
            What::File(bytes) => {
                node.modified = now;
                Ok(bytes)
            }
            What::Directory(_) => Err(libc::EISDIR),
            What::Symlink(_) => Err(libc::EINVAL),
        }
    }

    pub(super) fn entries(&self, id: NodeId) -> Result<&BTreeMap<Vec<u8>, NodeId>, Errno> {
        match &self.nodes[id].what {
            What::Directory(entries) => Ok(entries),
            _ => Err(libc::ENOTDIR),
        }
    }

    fn entries_mut(&mut self, id: NodeId) -> Result<&mut BTreeMap<Vec<u8>, NodeId>, Errno> {
        let now = self.now;
        let node = &mut self.nodes[id];
        match &mut node.what {
            What::Directory(entries) => {
                node.modified = now;
                Ok(entries)
            }
            _ => Err(libc::ENOTDIR),
        }
    }

    fn find(&self, path: &[u8], follow: bool) -> Result<Found, Errno> {
        if path.is_empty() {
            return Err(libc::ENOENT);
        }
        let wants_directory = path.ends_with(b"/");
        let mut rest: VecDeque<Vec<u8>> = parts(path).collect();
        let mut way: Vec<(NodeId, Vec<u8>)> = Vec::new();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            let folder = way.last().map_or(ROOT, |(node, _)| *node);
            let entries = self.entries(folder)?;
            if name == b".." {
                way.pop();
                continue;
            }
            if name.len() > LONGEST_NAME {
                return Err(libc::ENAMETOOLONG);
            }
            let last = rest.is_empty();
            let Some(node) = entries.get(&name).copied() else {
                let way = way.into_iter().map(|(_, name)| name).collect();
                return if last {
                    Ok(Found { folder, name, node: None, way })
                } else {
                    Err(libc::ENOENT)
                };
            };
            match &self.nodes[node].what {
                What::Symlink(target) if !last || follow || wants_directory => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(libc::ELOOP);
                    }
                    if target.starts_with(b"/") {
                        way.clear();
                    }
                    parts(target).rev().for_each(|part| rest.push_front(part));
                }
                _ => way.push((node, name)),
            }
        }
        let (node, name) = way.pop().unwrap_or((ROOT, Vec::new()));
        if wants_directory {
            self.entries(node)?;
        }
        let folder = way.last().map_or(ROOT, |(node, _)| *node);
        let way = way.into_iter().map(|(_, name)| name).collect();
        Ok(Found { folder, name, node: Some(node), way })
    }

    /// What a path leads to.
    pub(super) fn look_up(&self, path: &[u8], follow: bool) -> Result<NodeId, Errno> {
        self.find(path, follow)?.node.ok_or(libc::ENOENT)
    }

    /// The path without links and dots.
    pub(super) fn canonical(&self, path: &[u8]) -> Result<Vec<u8>, Errno> {
        let found = self.find(path, true)?;
        found.node.ok_or(libc::ENOENT)?;
        let mut names = found.way;
        names.push(found.name);
        Ok([b"/".to_vec(), names.join(&b'/')].concat())
    }

    /// Makes something at a path where there is nothing.
    pub(super) fn make(&mut self, path: &[u8], what: What, mode: u32) -> Result<NodeId, Errno> {
        let node = self.add(what, mode);
        self.put(path, node)?;
        Ok(node)
    }

    fn put(&mut self, path: &[u8], node: NodeId) -> Result<(), Errno> {
        let found = self.find(path, false)?;
        if found.node.is_some() {
            return Err(libc::EEXIST);
        }
        self.entries_mut(found.folder)?.insert(found.name, node);
        self.nodes[node].links += 1;
        Ok(())
    }

    /// open(2) with O_CREAT: what the path leads to, also by a link, or a new file there; and
    /// whether it is new.
    pub(super) fn open_or_make(&mut self, path: &[u8], mode: u32) -> Result<(NodeId, bool), Errno> {
        let found = self.find(path, true)?;
        if let Some(node) = found.node {
            return Ok((node, false));
        }
        if path.ends_with(b"/") {
            return Err(libc::EISDIR);
        }
        let node = self.add(What::File(Vec::new()), mode);
        self.entries_mut(found.folder)?.insert(found.name, node);
        self.nodes[node].links += 1;
        Ok((node, true))
    }

    /// unlink(2), or rmdir(2).
    pub(super) fn remove(&mut self, path: &[u8], directory: bool) -> Result<(), Errno> {
        let found = self.find(path, false)?;
        let node = found.node.ok_or(libc::ENOENT)?;
        match (&self.nodes[node].what, directory) {
            (What::Directory(_), false) => return Err(libc::EISDIR),
            (What::Directory(_), true) if node == ROOT => return Err(libc::EBUSY),
            (What::Directory(entries), true) if !entries.is_empty() => return Err(libc::ENOTEMPTY),
            (What::Directory(_), true) | (_, false) => {}
            (_, true) => return Err(libc::ENOTDIR),
        }
        self.entries_mut(found.folder)?.remove(&found.name);
        self.nodes[node].links -= 1;
        Ok(())
    }

    /// A directory with all that is in it.
    pub(super) fn remove_all(&mut self, path: &[u8]) -> Result<(), Errno> {
        let node = self.look_up(path, false)?;
        let names: Vec<Vec<u8>> = self.entries(node)?.keys().cloned().collect();
        for name in names {
            let below = [path, b"/", &name].concat();
            let node = self.look_up(&below, false)?;
            match &self.nodes[node].what {
                What::Directory(_) => self.remove_all(&below)?,
                _ => self.remove(&below, false)?,
            }
        }
        self.remove(path, true)
    }

    /// rename(2).
    pub(super) fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<(), Errno> {
        let source = self.find(from, false)?;
        let node = source.node.ok_or(libc::ENOENT)?;
        let target = self.find(to, false)?;
        if target.node == Some(node) {
            return Ok(());
        }
        let moves_directory = self.nodes[node].what_is_directory();
        // Not to below itself.
        let mut way: Vec<Vec<u8>> = target.way.clone();
        while moves_directory && !way.is_empty() {
            let path = [b"/".to_vec(), way.join(&b'/')].concat();
            if self.look_up(&path, false) == Ok(node) {
                return Err(libc::EINVAL);
            }
            way.pop();
        }
        if let Some(replaced) = target.node {
            match (&self.nodes[replaced].what, moves_directory) {
                (What::Directory(_), false) => return Err(libc::EISDIR),
                (What::Directory(entries), true) if !entries.is_empty() => {
                    return Err(libc::ENOTEMPTY);
                }
                (What::Directory(_), true) | (_, false) => {}
                (_, true) => return Err(libc::ENOTDIR),
            }
            self.nodes[replaced].links -= 1;
        }
        self.entries_mut(source.folder)?.remove(&source.name);
        self.entries_mut(target.folder)?.insert(target.name, node);
        Ok(())
    }

    /// link(2).
    pub(super) fn link(&mut self, from: &[u8], to: &[u8]) -> Result<(), Errno> {
        let node = self.look_up(from, false)?;
        if self.nodes[node].what_is_directory() {
            return Err(libc::EPERM);
        }
        self.put(to, node)
    }

    /// Makes the directories above a path.
    pub(super) fn make_parents(&mut self, path: &[u8]) -> Result<(), Errno> {
        let mut names: Vec<Vec<u8>> = parts(path).collect();
        names.pop();
        let mut so_far = Vec::new();
        for name in names {
            so_far.push(b'/');
            so_far.extend(name);
            match self.make(&so_far, What::Directory(BTreeMap::new()), 0o755) {
                Ok(_) | Err(libc::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> What {
        What::Directory(BTreeMap::new())
    }

    fn tree() -> Tree {
        let mut tree = Tree::default();
        for (path, what) in [
            ("/a", directory()),
            ("/a/b", directory()),
            ("/a/file", What::File(b"text".to_vec())),
            ("/link", What::Symlink(b"a/b".to_vec())),
            ("/a/b/up", What::Symlink(b"../file".to_vec())),
            ("/round", What::Symlink(b"/round".to_vec())),
        ] {
            tree.make(path.as_bytes(), what, 0o644).expect("nothing is there");
        }
        tree
    }

    #[test]
    fn paths_lead_over_links_and_dots() {
        let tree = tree();
        let file = tree.look_up(b"/a/file", true);
        assert!(file.is_ok());
        for path in ["a/file", "/link/up", "/a/./b/../file", "/link/../file", "//a//file"] {
            assert_eq!(tree.look_up(path.as_bytes(), true), file, "{path}");
        }
        assert_ne!(tree.look_up(b"/link", false), tree.look_up(b"/link", true));
        assert_eq!(tree.canonical(b"/link/up"), Ok(b"/a/file".to_vec()));
        assert_eq!(tree.canonical(b"/"), Ok(b"/".to_vec()));
        for (path, errno) in [
            ("", libc::ENOENT),
            ("/none", libc::ENOENT),
            ("/none/x", libc::ENOENT),
            ("/a/file/x", libc::ENOTDIR),
            ("/a/file/", libc::ENOTDIR),
            ("/round", libc::ELOOP),
        ] {
            assert_eq!(tree.look_up(path.as_bytes(), true), Err(errno), "{path}");
        }
    }

    #[test]
    fn what_is_in_use_is_not_removed_or_replaced() {
        let mut tree = tree();
        for (result, errno) in [
            (tree.remove(b"/a", true), libc::ENOTEMPTY),
            (tree.remove(b"/a", false), libc::EISDIR),
            (tree.remove(b"/a/file", true), libc::ENOTDIR),
            (tree.remove(b"/", true), libc::EBUSY),
            (tree.rename(b"/a", b"/a/b/c"), libc::EINVAL),
            (tree.rename(b"/a/file", b"/a/b"), libc::EISDIR),
            (tree.rename(b"/a/b", b"/a/file"), libc::ENOTDIR),
            (tree.link(b"/a", b"/c"), libc::EPERM),
            (tree.link(b"/a/file", b"/link"), libc::EEXIST),
        ] {
            assert_eq!(result, Err(errno));
        }
        assert_eq!(tree.remove_all(b"/a"), Ok(()));
        assert_eq!(tree.look_up(b"/a", true), Err(libc::ENOENT));
    }

    #[test]
    fn a_file_goes_by_all_its_names() {
        let mut tree = tree();
        tree.link(b"/a/file", b"/other").expect("free");
        let file = tree.look_up(b"/other", false).expect("linked");
        assert_eq!(tree.node(file).links, 2);
        tree.rename(b"/other", b"/a/file").expect("the same file: nothing happens");
        assert_eq!(tree.node(file).links, 2);
        tree.rename(b"/a/file", b"/link").expect("replaces the link itself");
        assert_eq!(tree.look_up(b"/link", false), Ok(file));
        tree.remove(b"/link", false).expect("a name");
        assert_eq!(tree.node(file).links, 1);
    }
}
