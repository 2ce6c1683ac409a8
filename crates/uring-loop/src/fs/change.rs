//! What changes an open file other than by writing: keeping its bytes on the disk, its length, its
//! permissions, its end.

use std::fs::Permissions;
use std::io;
use std::rc::Rc;

use super::file::failed_on;
use super::{File, helper};
use crate::driver::ring::opcode;
use crate::ops::fs::{Close, OnFile, Plain};

impl File {
    /// Waits until everything that was written is on the disk, and what is known about the file
    /// too (`IORING_OP_FSYNC`, 5.1). What is still being written is not waited for.
    ///
    /// # Errors
    ///
    /// Those of fsync(2), with the path. After one, nobody can say what is on the disk, and the
    /// next call does not tell again.
    ///
    /// # Cancel safety
    ///
    /// Weak: it may go on.
    #[doc(alias = "fsync")]
    pub async fn sync_all(&self) -> io::Result<()> {
        self.plain("syncing", Plain::Sync { data: false }).await
    }

    /// The same without what is not needed to read the bytes again, as times
    /// (`IORING_FSYNC_DATASYNC`).
    ///
    /// # Errors
    ///
    /// As [`sync_all`](Self::sync_all).
    ///
    /// # Cancel safety
    ///
    /// Weak: it may go on.
    #[doc(alias = "fdatasync")]
    pub async fn sync_data(&self) -> io::Result<()> {
        self.plain("syncing", Plain::Sync { data: true }).await
    }

    /// Takes room on the disk for `length` bytes from `offset` on (`IORING_OP_FALLOCATE`, 5.6), so
    /// that writing there won't find the disk full. A file that ends before is made longer.
    ///
    /// # Errors
    ///
    /// Those of fallocate(2), with the path: `StorageFull`; `Unsupported` by some file systems;
    /// `InvalidInput` for no length at all.
    ///
    /// # Cancel safety
    ///
    /// Weak: it may have happened.
    #[doc(alias = "posix_fallocate")]
    pub async fn allocate(&self, offset: u64, length: u64) -> io::Result<()> {
        self.plain("allocating room for", Plain::Allocate { offset, length }).await
    }

    /// Makes the file so many bytes long: cuts it off, or fills it up with zeroes
    /// (`IORING_OP_FTRUNCATE`, 6.9; on a helper thread where the kernel has none).
    ///
    /// # Errors
    ///
    /// Those of ftruncate(2), with the path.
    ///
    /// # Cancel safety
    ///
    /// Weak: it may have happened, or may still.
    #[doc(alias = "truncate")]
    pub async fn set_len(&self, length: u64) -> io::Result<()> {
        if self.driver().supports(opcode::FTRUNCATE) {
            return self.plain("truncating", Plain::Truncate { length }).await;
        }
        let result = helper::truncate(self, length).await;
        result.map_err(|error| self.failed("truncating", error))
    }

    /// Says who may do what (on a helper thread: there is no opcode for it).
    ///
    /// # Errors
    ///
    /// Those of fchmod(2), with the path.
    ///
    /// # Cancel safety
    ///
    /// Weak: it happens all the same.
    pub async fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        let result = helper::set_permissions_of(self, permissions).await;
        result.map_err(|error| self.failed("changing the permissions of", error))
    }

    /// Closes the file and tells what came of it (`IORING_OP_CLOSE`, 5.6): some file systems write
    /// only then, or tell of a failed write only then. A drop closes too, and tells nobody.
    ///
    /// While other handles or operations use the open file, this gives up one handle and no more.
    ///
    /// # Errors
    ///
    /// Those of close(2), with the path. The file is closed all the same.
    ///
    /// # Cancel safety
    ///
    /// Strict: it is closed.
    pub async fn close(self) -> io::Result<()> {
        let name = self.name;
        // A registered file is open by its place, too.
        drop(self.place);
        let fd = match Rc::try_unwrap(self.fd) {
            Ok(fd) => fd,
            Err(_shared) => return Ok(()),
        };
        let driver = fd.driver().clone();
        let result = driver.submit(Close(fd)).await;
        result.map_err(|error| failed_on(name.as_deref(), "closing", error))
    }

    async fn plain(&self, intent: &str, what: Plain) -> io::Result<()> {
        loop {
            let result = self.driver().submit(OnFile { file: self.fd.clone(), what }).await;
            match result {
                // A signal to the kernel's worker.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map_err(|error| self.failed(intent, error)),
            }
        }
    }
}
