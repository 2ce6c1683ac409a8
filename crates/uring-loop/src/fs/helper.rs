//! What io_uring has no opcode for: done by std on a helper thread, or by the simulated kernel
//! where the ring is one. The one file here that knows of both.

use std::fs::Permissions;
use std::io;
use std::path::PathBuf;

use super::File;
#[cfg(any(test, feature = "testing"))]
use super::dir::Named;
use super::dir::{Batch, Source};
use crate::blocking::unblock;
#[cfg(any(test, feature = "testing"))]
use crate::driver::Driver;

/// Runs a call that may block on a helper thread.
pub(super) async fn on_helper<T: Send + 'static>(
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    unblock(call).await?
}

/// Whether the kernel of the running loop is a simulated one.
pub(super) fn simulates() -> bool {
    #[cfg(any(test, feature = "testing"))]
    return Driver::current().simulated().is_some();
    #[cfg(not(any(test, feature = "testing")))]
    false
}

impl File {
    /// Whether it is a file of a simulated kernel, which the real one does not know.
    pub(super) fn simulated(&self) -> bool {
        #[cfg(any(test, feature = "testing"))]
        return self.driver().simulated().is_some();
        #[cfg(not(any(test, feature = "testing")))]
        false
    }
}

/// ftruncate(2), where there is no FTRUNCATE.
pub(super) async fn truncate(file: &File, length: u64) -> io::Result<()> {
    #[cfg(any(test, feature = "testing"))]
    if let Some(sim) = file.driver().simulated() {
        return sim.truncate(std::os::fd::AsRawFd::as_raw_fd(file), length);
    }
    let own = file.duplicate()?;
    on_helper(move || own.set_len(length)).await
}

/// fchmod(2).
pub(super) async fn set_permissions_of(file: &File, permissions: Permissions) -> io::Result<()> {
    #[cfg(any(test, feature = "testing"))]
    if let Some(sim) = file.driver().simulated() {
        return sim.change_mode_of(std::os::fd::AsRawFd::as_raw_fd(file), mode(&permissions));
    }
    let own = file.duplicate()?;
    on_helper(move || own.set_permissions(permissions)).await
}

/// chmod(2).
pub(super) async fn set_permissions(path: PathBuf, permissions: Permissions) -> io::Result<()> {
    #[cfg(any(test, feature = "testing"))]
    if let Some(sim) = Driver::current().simulated() {
        return sim.change_mode(&path, mode(&permissions));
    }
    on_helper(move || std::fs::set_permissions(path, permissions)).await
}

#[cfg(any(test, feature = "testing"))]
fn mode(permissions: &Permissions) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(permissions)
}

/// realpath(3).
pub(super) async fn canonicalize(path: PathBuf) -> io::Result<PathBuf> {
    #[cfg(any(test, feature = "testing"))]
    if let Some(sim) = Driver::current().simulated() {
        return sim.canonicalize(&path);
    }
    on_helper(move || std::fs::canonicalize(path)).await
}

/// readlink(2).
pub(super) async fn read_link(path: PathBuf) -> io::Result<PathBuf> {
    #[cfg(any(test, feature = "testing"))]
    if let Some(sim) = Driver::current().simulated() {
        return sim.read_link(&path);
    }
    on_helper(move || std::fs::read_link(path)).await
}

/// A directory with all that is in it. std goes by open directories, so that a link that somebody
/// puts in its way meanwhile leads it nowhere.
pub(super) async fn remove_dir_all(path: PathBuf) -> io::Result<()> {
    #[cfg(any(test, feature = "testing"))]
    if let Some(sim) = Driver::current().simulated() {
        return sim.remove_all(&path);
    }
    on_helper(move || std::fs::remove_dir_all(path)).await
}

/// Opens a directory, and reads the first batch of what is in it.
pub(super) async fn open_dir(path: PathBuf) -> io::Result<Batch> {
    #[cfg(any(test, feature = "testing"))]
    if let Some(sim) = Driver::current().simulated() {
        let names = sim.list(&path)?.into_iter();
        let named = |(name, inode, kind)| Named { name, inode, kind: Some(kind) };
        return Ok(Batch::whole(names.map(named).collect()));
    }
    on_helper(move || Source::open(path).map(Source::next)).await
}
