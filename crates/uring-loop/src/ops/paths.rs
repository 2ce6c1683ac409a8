//! Operations on files by name: opening, looking, and changing directories.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use crate::driver::fd::Fd;
use crate::driver::ring::{Cqe, Sqe, opcode};
use crate::driver::{Driver, Op};

/// A path as the kernel wants it.
///
/// # Errors
///
/// A zero byte in it.
pub(crate) fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, "there is a zero byte in the name of a file")
    })
}

/// How a file is to be opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct How {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) append: bool,
    pub(crate) truncate: bool,
    pub(crate) create: bool,
    pub(crate) create_new: bool,
    pub(crate) direct: bool,
    pub(crate) flags: i32,
    /// Permission bits of a file that is made, less the umask.
    pub(crate) mode: u32,
}

impl How {
    /// `O_*`, as std makes them of the same options.
    ///
    /// # Errors
    ///
    /// Combinations that mean nothing (EINVAL).
    fn flags(&self) -> io::Result<i32> {
        let invalid = |text: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        let access = match (self.read, self.write, self.append) {
            (true, false, false) => libc::O_RDONLY,
            (false, true, false) => libc::O_WRONLY,
            (true, true, false) => libc::O_RDWR,
            (false, _, true) => libc::O_WRONLY | libc::O_APPEND,
            (true, _, true) => libc::O_RDWR | libc::O_APPEND,
            (false, false, false) => return invalid("a file is opened to read, write or append"),
        };
        let no_append = if mutant!("append-goes-to-the-offset") { libc::O_APPEND } else { 0 };
        let access = access & !no_append;
        let changes = self.truncate || self.create || self.create_new;
        if changes && !self.write && !self.append {
            return invalid("only a file that is opened to write can be made or truncated");
        }
        if self.truncate && self.append && !self.create_new {
            return invalid("a file is either truncated or appended to");
        }
        let creation = match (self.create, self.truncate, self.create_new) {
            (_, _, true) => libc::O_CREAT | libc::O_EXCL,
            (true, true, false) => libc::O_CREAT | libc::O_TRUNC,
            (true, false, false) => libc::O_CREAT,
            (false, true, false) => libc::O_TRUNC,
            (false, false, false) => 0,
        };
        let direct = if self.direct { libc::O_DIRECT } else { 0 };
        let custom = self.flags & !libc::O_ACCMODE;
        Ok(access | creation | direct | custom | libc::O_CLOEXEC)
    }
}

/// `IORING_OP_OPENAT` (5.6). The path comes back beside the descriptor.
pub(crate) struct Open {
    driver: Rc<Driver>,
    path: CString,
    flags: i32,
    mode: u32,
}

impl Open {
    pub(crate) fn new(driver: Rc<Driver>, path: CString, how: &How) -> io::Result<Self> {
        Ok(Open { driver, path, flags: how.flags()?, mode: how.mode })
    }
}

// SAFETY: the entry points to the path on the heap, which `self` owns.
unsafe impl Op for Open {
    type Output = (io::Result<Fd>, CString);

    fn prepare(&mut self, sqe: &mut Sqe) {
        sqe.opcode = opcode::OPENAT;
        sqe.fd = libc::AT_FDCWD;
        sqe.addr = self.path.as_ptr() as u64;
        sqe.len = self.mode;
        sqe.op_flags = self.flags as u32;
    }

    fn complete(self, cqe: Cqe) -> Self::Output {
        let driver = self.driver;
        (cqe.into_result().map(|raw| Fd::new(driver, raw as RawFd)), self.path)
    }
}

/// What is at the end of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    File,
    Directory,
    Symlink,
    BlockDevice,
    CharDevice,
    Fifo,
    Socket,
    Other,
}

impl Kind {
    pub(crate) fn of_mode(mode: u32) -> Self {
        match mode & libc::S_IFMT {
            libc::S_IFREG => Kind::File,
            libc::S_IFDIR => Kind::Directory,
            libc::S_IFLNK => Kind::Symlink,
            libc::S_IFBLK => Kind::BlockDevice,
            libc::S_IFCHR => Kind::CharDevice,
            libc::S_IFIFO => Kind::Fifo,
            libc::S_IFSOCK => Kind::Socket,
            _ => Kind::Other,
        }
    }
}

/// A moment in the clock of file systems: seconds and nanoseconds since 1970.
pub(crate) type Stamp = (i64, u32);

/// What `struct statx` says (statx(2)), in Rust's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) kind: Kind,
    /// Type and permission bits.
    pub(crate) mode: u32,
    pub(crate) length: u64,
    pub(crate) blocks: u64,
    pub(crate) block_size: u32,
    pub(crate) links: u32,
    pub(crate) inode: u64,
    pub(crate) user: u32,
    pub(crate) group: u32,
    pub(crate) device: u64,
    pub(crate) special_device: u64,
    pub(crate) accessed: Stamp,
    pub(crate) modified: Stamp,
    pub(crate) changed: Stamp,
    pub(crate) created: Option<Stamp>,
    /// What O_DIRECT asks of memory and of offsets: 0 if the file cannot do it.
    pub(crate) direct: Option<(u32, u32)>,
}

impl Status {
    fn new(raw: &libc::statx) -> Self {
        let stamp = |time: &libc::statx_timestamp| (time.tv_sec, time.tv_nsec);
        let told = |mask: u32| raw.stx_mask & mask != 0;
        let mode = u32::from(raw.stx_mode);
        Status {
            kind: Kind::of_mode(mode),
            mode,
            length: raw.stx_size,
            blocks: raw.stx_blocks,
            block_size: raw.stx_blksize,
            links: raw.stx_nlink,
            inode: raw.stx_ino,
            user: raw.stx_uid,
            group: raw.stx_gid,
            device: nix::sys::stat::makedev(raw.stx_dev_major.into(), raw.stx_dev_minor.into()),
            special_device: nix::sys::stat::makedev(
                raw.stx_rdev_major.into(),
                raw.stx_rdev_minor.into(),
            ),
            accessed: stamp(&raw.stx_atime),
            modified: stamp(&raw.stx_mtime),
            changed: stamp(&raw.stx_ctime),
            created: told(libc::STATX_BTIME).then(|| stamp(&raw.stx_btime)),
            direct: told(libc::STATX_DIOALIGN)
                .then_some((raw.stx_dio_mem_align, raw.stx_dio_offset_align)),
        }
    }
}

/// `IORING_OP_STATX` (5.6).
pub(crate) struct Statx {
    path: CString,
    /// Kept open for the worker that looks it up.
    file: Option<Rc<Fd>>,
    flags: i32,
    /// Filled by the kernel.
    status: MaybeUninit<libc::statx>,
}

impl Statx {
    /// What a name leads to; the link itself, if `link` and it is one.
    pub(crate) fn path(path: CString, link: bool) -> Self {
        let flags = if link { libc::AT_SYMLINK_NOFOLLOW } else { 0 };
        Statx { path, file: None, flags, status: MaybeUninit::zeroed() }
    }

    /// An open file.
    pub(crate) fn file(file: Rc<Fd>) -> Self {
        let (path, flags) = (CString::default(), libc::AT_EMPTY_PATH);
        Statx { path, file: Some(file), flags, status: MaybeUninit::zeroed() }
    }
}

// SAFETY: the entry points to the path on the heap and to the struct in `self`, which does not
// move. The descriptor is looked up by a worker, some time after the entry was taken in; `self`
// keeps it open.
unsafe impl Op for Statx {
    type Output = io::Result<Status>;

    fn prepare(&mut self, sqe: &mut Sqe) {
        let mask = libc::STATX_BASIC_STATS | libc::STATX_BTIME | libc::STATX_DIOALIGN;
        sqe.opcode = opcode::STATX;
        sqe.fd = self.file.as_ref().map_or(libc::AT_FDCWD, |file| file.as_raw_fd());
        sqe.addr = self.path.as_ptr() as u64;
        sqe.len = mask;
        sqe.off = self.status.as_mut_ptr() as u64;
        sqe.op_flags = self.flags as u32;
    }

    fn complete(self, cqe: Cqe) -> io::Result<Status> {
        cqe.into_result()?;
        // SAFETY: zeroed, which is a valid statx of integers, and then filled by the kernel.
        Ok(Status::new(unsafe { self.status.assume_init_ref() }))
    }
}

/// A change of directories that answers nothing.
pub(crate) enum Change {
    /// `IORING_OP_RENAMEAT` (5.11); what has the new name is replaced.
    Rename { from: CString, to: CString },
    /// `IORING_OP_LINKAT` (5.15).
    Link { from: CString, to: CString },
    /// `IORING_OP_SYMLINKAT` (5.15).
    Symlink { target: CString, path: CString },
    /// `IORING_OP_UNLINKAT` (5.11).
    Unlink { path: CString, directory: bool },
    /// `IORING_OP_MKDIRAT` (5.15).
    Mkdir { path: CString, mode: u32 },
}

fn address(path: &CStr) -> u64 {
    path.as_ptr() as u64
}

// SAFETY: the entry points to paths on the heap, which `self` owns; the only descriptor is
// AT_FDCWD.
unsafe impl Op for Change {
    type Output = io::Result<()>;

    fn prepare(&mut self, sqe: &mut Sqe) {
        sqe.fd = libc::AT_FDCWD;
        match self {
            Change::Rename { from, to } | Change::Link { from, to } => {
                (sqe.addr, sqe.off) = (address(from), address(to));
                sqe.len = libc::AT_FDCWD as u32;
            }
            Change::Symlink { target, path } => {
                (sqe.addr, sqe.off) = (address(target), address(path));
            }
            Change::Unlink { path, directory } => {
                sqe.addr = address(path);
                sqe.op_flags = if *directory { libc::AT_REMOVEDIR as u32 } else { 0 };
            }
            Change::Mkdir { path, mode } => {
                sqe.addr = address(path);
                sqe.len = *mode;
            }
        }
        sqe.opcode = match self {
            Change::Rename { .. } => opcode::RENAMEAT,
            Change::Link { .. } => opcode::LINKAT,
            Change::Symlink { .. } => opcode::SYMLINKAT,
            Change::Unlink { .. } => opcode::UNLINKAT,
            Change::Mkdir { .. } => opcode::MKDIRAT,
        };
    }

    fn complete(self, cqe: Cqe) -> io::Result<()> {
        cqe.into_result().map(drop)
    }
}
