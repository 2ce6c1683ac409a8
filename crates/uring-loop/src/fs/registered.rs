//! The tier for who counts what every operation costs: files and buffers that are registered.

use std::io;
use std::rc::Rc;

use super::File;
use crate::driver::Driver;
use crate::driver::fixed::FixedBuffers;
use crate::driver::registered::FillPlace;

impl FixedBuffers {
    /// Registers `count` buffers of `size` bytes, rounded up to pages, with the ring of this
    /// thread's loop (`IORING_REGISTER_BUFFERS_UPDATE`, 5.13, in a sparse table, 5.19).
    ///
    /// The kernel pins their memory now rather than for each operation. That pays for direct access
    /// to a fast disk; a read from the page cache copies all the same.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for no buffers, or more than 1 GiB; `OutOfMemory` if they are more than may
    /// be locked (`RLIMIT_MEMLOCK`); what an old kernel says.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use uring_loop::buf::FixedBuffers;
    /// use uring_loop::fs::File;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("x");
    /// uring_loop::run(async {
    ///     let buffers = FixedBuffers::new(8, 4096)?;
    ///     let mut file = File::create_new(&path).await?;
    ///     file.register().await?;
    ///     let mut buffer = buffers.take().expect("none is taken yet");
    ///     buffer.extend_from_slice(b"pinned");
    ///     let (written, buffer) = file.write_all_at(buffer, 0).await;
    ///     written?;
    ///     let (read, buffer) = file.read_at(buffer, 0).await;
    ///     assert_eq!((read?, &buffer[..]), (6, &b"pinned"[..]));
    ///     Ok::<(), std::io::Error>(())
    /// })?
    /// # ; Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn new(count: u16, size: usize) -> io::Result<Self> {
        FixedBuffers::on(Driver::current(), count, size)
    }
}

impl File {
    /// Registers the file with the ring of its loop (`IORING_OP_FILES_UPDATE`, 5.6, in a sparse
    /// table, 5.19): from now on reads and writes by this handle, and by clones that are made of
    /// it, don't look the descriptor up, which counts where threads share the table of descriptors.
    ///
    /// A loop has places for 256 registered files. The place is given back when the last of these
    /// handles goes.
    ///
    /// # Errors
    ///
    /// `QuotaExceeded` if all places are taken; what an old kernel says.
    ///
    /// # Cancel safety
    ///
    /// Strict: a place that was filled too late is emptied.
    pub async fn register(&mut self) -> io::Result<()> {
        if self.place.is_some() {
            return Ok(());
        }
        let intent = |error| self.failed("registering", error);
        let place = self.driver().file_place().map_err(intent)?;
        let filled = self.driver().submit(FillPlace::new(place, &self.fd)).await;
        self.place = Some(Rc::new(filled.map_err(|error| self.failed("registering", error))?));
        Ok(())
    }
}
