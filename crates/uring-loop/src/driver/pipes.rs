//! What is done to pipes by plain system calls: making them. On a simulated ring the pipes are
//! simulated too.

use std::io;
use std::os::fd::{IntoRawFd, RawFd};

use super::Driver;
use crate::sys;

impl Driver {
    /// A pipe: the end that is read, and the end that is written.
    pub(crate) fn pipe(&self) -> io::Result<(RawFd, RawFd)> {
        #[cfg(any(test, feature = "testing"))]
        if let Some(sim) = self.simulated() {
            return sim.pipe();
        }
        let (reader, writer) = sys::pipe::pipe()?;
        Ok((reader.into_raw_fd(), writer.into_raw_fd()))
    }

    /// Whether this descriptor exists in a simulated kernel only.
    pub(crate) fn simulates(&self, fd: RawFd) -> bool {
        #[cfg(any(test, feature = "testing"))]
        if let Some(sim) = self.simulated() {
            return sim.simulates(fd);
        }
        let _ = fd;
        false
    }
}
