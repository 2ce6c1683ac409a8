//! Pipes: making them, opening those that have names, and their mode.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{SFlag, fstat};
use nix::sys::statfs::fstatfs;

/// A pipe, close-on-exec and *blocking*, as the sockets are (`socket.rs` says why): the end that is
/// read, and the end that is written (pipe2(2)).
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(OFlag::O_CLOEXEC)?)
}

/// Opens a named pipe for reading, without waiting for a writer (fifo(7)). O_NONBLOCK stays set.
pub(crate) fn open_reader(path: &Path) -> io::Result<OwnedFd> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
    Ok(options.open(path)?.into())
}

/// Opens a named pipe for writing; `None` if nobody has it open for reading (ENXIO). O_NONBLOCK
/// stays set.
pub(crate) fn open_writer(path: &Path) -> io::Result<Option<OwnedFd>> {
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(OFlag::O_NONBLOCK.bits());
    match options.open(path) {
        Ok(file) => Ok(Some(file.into())),
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether io_uring sees to it that reads of this descriptor neither block nor miss its end. Where
/// it does not, each read wants a poll before it.
///
/// It does if the file is in non-blocking mode, or known to it as one that can be tried without
/// blocking (`FMODE_NOWAIT`): files, sockets, pipes without a name. Of all others it asks first
/// whether they have bytes, and does not take a hang-up for an answer (`io_file_supports_nowait` in
/// io_uring/rw.c; kernel 6.18): a multishot read of a named pipe or terminal never ends.
pub(crate) fn can_be_tried(fd: impl AsFd) -> bool {
    /// `PIPEFS_MAGIC`.
    const PIPES: nix::sys::statfs::FsType = nix::sys::statfs::FsType(0x5049_5045);
    let fd = fd.as_fd();
    let flags = fcntl(fd, FcntlArg::F_GETFL).map(OFlag::from_bits_retain);
    if flags.is_ok_and(|flags| flags.contains(OFlag::O_NONBLOCK)) {
        return true;
    }
    let Ok(status) = fstat(fd) else { return true };
    match SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG | SFlag::S_IFBLK | SFlag::S_IFSOCK => true,
        SFlag::S_IFIFO => fstatfs(fd).is_ok_and(|system| system.filesystem_type() == PIPES),
        _ => false,
    }
}

/// Sets or clears O_NONBLOCK, which belongs to the open file and not to the descriptor: whoever
/// shares it is concerned too.
pub(crate) fn set_nonblocking(fd: impl AsFd, nonblocking: bool) -> io::Result<()> {
    let fd = fd.as_fd();
    let before = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    let mut flags = before;
    flags.set(OFlag::O_NONBLOCK, nonblocking);
    if flags != before {
        fcntl(fd, FcntlArg::F_SETFL(flags))?;
    }
    Ok(())
}
