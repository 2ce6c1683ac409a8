//! The file that a bound Unix socket leaves in the file system.

use std::os::unix::net::SocketAddr;
use std::path::PathBuf;

use crate::driver::Driver;
use crate::sys::path::Identity;

/// A file that a socket of ours has made.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

impl SocketFile {
    /// That of a socket just bound; none for an abstract name.
    pub(super) fn of(driver: &Driver, address: &SocketAddr) -> Option<Self> {
        let path = address.as_pathname()?.to_owned();
        let identity = driver.identity(&path).ok()?;
        Some(SocketFile { path, identity })
    }

    /// Removes it, unless another file stands there by now.
    pub(super) fn remove(self, driver: &Driver) {
        driver.remove_name(&self.path, self.identity);
    }
}
