//! The operations on names (OPENAT, STATX, RENAMEAT, LINKAT, SYMLINKAT, UNLINKAT, MKDIRAT), and
//! those on open files that are no transfer. A worker of the kernel does them all.

use std::mem::offset_of;

use super::attempt::failure;
use super::descriptors::Object;
use super::files::DIRECT_ALIGNMENT;
use super::layout::Piece;
use super::request::{Outcome, Request};
use super::tree::{Node, NodeId, What};
use super::world::World;
use super::{Errno, memory};
use crate::driver::ring::{Sqe, opcode};

/// Where the paths of an entry are.
fn paths(sqe: &Sqe) -> impl Iterator<Item = u64> {
    let second = matches!(sqe.opcode, opcode::RENAMEAT | opcode::LINKAT | opcode::SYMLINKAT);
    [sqe.addr].into_iter().chain(second.then_some(sqe.off))
}

impl World {
    /// Paths are the kernel's to read, and the status is its to write.
    pub(super) fn pin_names(&self, request: &mut Request) -> Result<(), Errno> {
        let sqe = request.sqe;
        for address in paths(&sqe) {
            let length = memory::read_text(address)?.len() as u64 + 1;
            request.pin_read(Piece { address, length })?;
        }
        if sqe.opcode == opcode::STATX {
            let length = size_of::<libc::statx>() as u64;
            request.pin_write(Piece { address: sqe.off, length });
        }
        Ok(())
    }

    pub(super) fn perform_on_names(&mut self, request: &Request) -> Outcome {
        self.files.tree.now = self.now;
        let sqe = &request.sqe;
        match sqe.opcode {
            opcode::OPENAT => Outcome::from(self.open(sqe)),
            opcode::STATX => Outcome::from(self.statx(sqe).map(|()| 0)),
            _ => match self.change_names(sqe) {
                Ok(()) => Outcome::done(0),
                Err(errno) => failure(request, errno),
            },
        }
    }

    fn open(&mut self, sqe: &Sqe) -> Result<i32, Errno> {
        let path = memory::read_text(sqe.addr)?;
        if self.descriptors.is_full() {
            return Err(libc::EMFILE);
        }
        let file = self.files.open(&path, sqe.op_flags as i32, sqe.len)?;
        Ok(self.descriptors.open(Object::File(file)))
    }

    fn change_names(&mut self, sqe: &Sqe) -> Result<(), Errno> {
        let first = memory::read_text(sqe.addr)?;
        let second = || memory::read_text(sqe.off);
        match sqe.opcode {
            opcode::RENAMEAT => match sqe.op_flags {
                0 => self.files.tree.rename(&first, &second()?),
                // RENAME_NOREPLACE and its like: nothing here asks for them.
                _ => Err(libc::EINVAL),
            },
            opcode::LINKAT => self.files.tree.link(&first, &second()?),
            opcode::SYMLINKAT if first.is_empty() => Err(libc::ENOENT),
            opcode::SYMLINKAT => {
                let target = What::Symlink(first);
                self.files.tree.make(&second()?, target, 0o777).map(drop)
            }
            opcode::UNLINKAT => {
                let directory = sqe.op_flags & libc::AT_REMOVEDIR as u32 != 0;
                self.files.tree.remove(&first, directory)
            }
            opcode::MKDIRAT => self.files.make_directory(&first, sqe.len),
            _ => Err(libc::EINVAL),
        }
    }

    fn statx(&mut self, sqe: &Sqe) -> Result<(), Errno> {
        let path = memory::read_text(sqe.addr)?;
        let flag = |flag: i32| sqe.op_flags & flag as u32 != 0;
        let node = if path.is_empty() && flag(libc::AT_EMPTY_PATH) {
            match self.descriptors.resolve(sqe.fd)? {
                Object::File(file) => self.files.node(file).ok_or(libc::EBADF)?,
                _ => return Err(libc::EBADF),
            }
        } else {
            self.files.tree.look_up(&path, !flag(libc::AT_SYMLINK_NOFOLLOW))?
        };
        memory::write(sqe.off, &status(node, self.files.tree.node(node)))
    }

    /// FSYNC, FALLOCATE and FTRUNCATE.
    pub(super) fn settle_file(&mut self, request: &Request) -> Outcome {
        let Some(Object::File(file)) = request.object else { return Outcome::done(-libc::EINVAL) };
        self.files.tree.now = self.now;
        let sqe = &request.sqe;
        let result = match sqe.opcode {
            opcode::FALLOCATE => self.files.allocate(file, sqe.off, sqe.addr),
            opcode::FTRUNCATE => self.files.truncate(file, sqe.off),
            _ => Ok(()),
        };
        Outcome::from(result.map(|()| 0))
    }
}

/// Type and permission bits.
pub(super) fn mode(node: &Node) -> u32 {
    let kind = match node.what {
        What::File(_) => libc::S_IFREG,
        What::Directory(_) => libc::S_IFDIR,
        What::Symlink(_) => libc::S_IFLNK,
    };
    kind | node.mode
}

/// A `struct statx`.
fn status(id: NodeId, node: &Node) -> Vec<u8> {
    let length = match &node.what {
        What::File(bytes) | What::Symlink(bytes) => bytes.len() as u64,
        What::Directory(_) => 4096,
    };
    let mask = libc::STATX_BASIC_STATS | libc::STATX_BTIME | libc::STATX_DIOALIGN;
    let blocks = length.div_ceil(4096) * 8;
    let links = node.links + u32::from(node.what_is_directory());
    let mut bytes = vec![0; size_of::<libc::statx>()];
    let mut put = |offset: usize, field: &[u8]| {
        bytes[offset..offset + field.len()].copy_from_slice(field);
    };
    put(offset_of!(libc::statx, stx_mask), &mask.to_ne_bytes());
    put(offset_of!(libc::statx, stx_blksize), &4096_u32.to_ne_bytes());
    put(offset_of!(libc::statx, stx_nlink), &links.to_ne_bytes());
    put(offset_of!(libc::statx, stx_mode), &(mode(node) as u16).to_ne_bytes());
    put(offset_of!(libc::statx, stx_ino), &(id as u64 + 1).to_ne_bytes());
    put(offset_of!(libc::statx, stx_size), &length.to_ne_bytes());
    put(offset_of!(libc::statx, stx_blocks), &blocks.to_ne_bytes());
    for (offset, moment) in [
        (offset_of!(libc::statx, stx_atime), node.modified),
        (offset_of!(libc::statx, stx_mtime), node.modified),
        (offset_of!(libc::statx, stx_ctime), node.modified),
        (offset_of!(libc::statx, stx_btime), node.made),
    ] {
        put(offset, &(moment / 1_000_000_000).to_ne_bytes());
        put(offset + 8, &((moment % 1_000_000_000) as u32).to_ne_bytes());
    }
    put(offset_of!(libc::statx, stx_dio_mem_align), &DIRECT_ALIGNMENT.0.to_ne_bytes());
    put(offset_of!(libc::statx, stx_dio_offset_align), &DIRECT_ALIGNMENT.1.to_ne_bytes());
    bytes
}
