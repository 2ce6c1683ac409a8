//! How a file is opened.

use std::io;
use std::path::Path;

use super::File;
use super::error::at;
use crate::driver::Driver;
use crate::ops::paths::{How, Open, c_path};

/// How a file is opened, as [`std::fs::OpenOptions`].
///
/// # Examples
///
/// ```
/// use uring_loop::fs::OpenOptions;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("log");
/// uring_loop::run(async {
///     let log = OpenOptions::new().append(true).create(true).open(&path).await?;
///     log.write_all_at("one line\n", 0).await.0?; // at the end, whatever the offset
///     log.sync_data().await
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions(How);

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl OpenOptions {
    /// Nothing is allowed yet.
    #[must_use]
    pub fn new() -> Self {
        OpenOptions(How { mode: 0o666, ..How::default() })
    }

    /// To read.
    pub fn read(&mut self, read: bool) -> &mut Self {
        self.0.read = read;
        self
    }

    /// To write.
    pub fn write(&mut self, write: bool) -> &mut Self {
        self.0.write = write;
        self
    }

    /// To write at the end: each write goes behind what is there at that moment, and no offset or
    /// cursor counts for it (`O_APPEND`).
    pub fn append(&mut self, append: bool) -> &mut Self {
        self.0.append = append;
        self
    }

    /// Empties a file that is there.
    pub fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.0.truncate = truncate;
        self
    }

    /// Makes the file if it is not there.
    pub fn create(&mut self, create: bool) -> &mut Self {
        self.0.create = create;
        self
    }

    /// Makes the file, and fails with `AlreadyExists` if it is there.
    pub fn create_new(&mut self, create_new: bool) -> &mut Self {
        self.0.create_new = create_new;
        self
    }

    /// Past the page cache, between the disk and the caller's memory (`O_DIRECT`). Memory, offset
    /// and length of each read and write must then be aligned: see
    /// [`AlignedBuf`](crate::buf::AlignedBuf) and [`File::alignment`].
    pub fn direct(&mut self, direct: bool) -> &mut Self {
        self.0.direct = direct;
        self
    }

    /// Permission bits of a file that is made, less the umask; 0o666 at first.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.0.mode = mode;
        self
    }

    /// Further flags of open(2), as `O_NOFOLLOW` or `O_SYNC`; the access mode is left out of them.
    pub fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.0.flags = flags;
        self
    }

    /// Opens a file (`IORING_OP_OPENAT`, 5.6); it is closed in a child process that is started.
    /// With [`direct`](Self::direct) it also asks for the alignment (`STATX_DIOALIGN`, 6.1).
    ///
    /// # Errors
    ///
    /// Those of open(2), with the path; `InvalidInput` for options that contradict each other, or
    /// a path with a zero byte.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Cancel safety
    ///
    /// Weak: dropped in flight, a file may have been made or truncated. A descriptor that is opened
    /// too late is closed.
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let path = path.as_ref();
        let intent = at("opening", path);
        let driver = Driver::current();
        let mut name = c_path(path).map_err(&intent)?;
        loop {
            let open = Open::new(driver.clone(), name, &self.0).map_err(&intent)?;
            let (opened, back) = driver.submit(open).await;
            match opened {
                // A signal to the kernel's worker: nothing has happened.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => name = back,
                Err(error) => return Err(intent(error)),
                Ok(fd) => {
                    let mut file = File::new(fd, Some(back));
                    if self.0.direct {
                        file.find_alignment().await.map_err(&intent)?;
                    }
                    return Ok(file);
                }
            }
        }
    }
}
