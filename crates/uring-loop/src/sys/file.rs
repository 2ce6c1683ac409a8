//! Calls on files that neither io_uring nor std has. Those that copy may block: for helper threads.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::check;

/// Makes `to` share the blocks of all of `from`, on a file system that can (ioctl_ficlone(2)).
pub(crate) fn share_blocks(from: &File, to: &File) -> io::Result<()> {
    // SAFETY: FICLONE takes a descriptor as its argument and touches no memory of ours.
    let result = unsafe { libc::ioctl(to.as_raw_fd(), libc::FICLONE, from.as_raw_fd()) };
    check(result.into()).map(drop)
}

/// Opens a file to be read. A pipe that nobody writes to is open at once, too (`O_NONBLOCK`, which
/// means nothing to files).
pub(crate) fn open_without_waiting(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

/// Has the kernel copy up to `most` bytes, at the same offset in both, and answers how many it were
/// (copy_file_range(2)).
pub(crate) fn copy_range(from: &File, to: &File, offset: u64, most: usize) -> io::Result<usize> {
    let invalid = |_| io::Error::from_raw_os_error(libc::EINVAL);
    let mut at_from: libc::off64_t = offset.try_into().map_err(invalid)?;
    let mut at_to = at_from;
    let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
    loop {
        // SAFETY: both offsets outlive the call; it touches no other memory of ours.
        let copied = unsafe { libc::copy_file_range(from, &mut at_from, to, &mut at_to, most, 0) };
        match usize::try_from(copied) {
            Ok(copied) => return Ok(copied),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// Whether an error says that the call as such is not there.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EOPNOTSUPP))
}

/// Whether a descriptor is a device that is read byte by byte, as a terminal.
pub(crate) fn is_char_device(fd: BorrowedFd<'_>) -> bool {
    let status = nix::sys::stat::fstat(fd);
    status.is_ok_and(|status| status.st_mode & libc::S_IFMT == libc::S_IFCHR)
}
