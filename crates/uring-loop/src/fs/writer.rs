//! Writing a file in blocks, one behind.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use super::File;
use crate::context;
use crate::report::{Report, ReportKind};

/// How large a block is, unless it is said.
const BLOCK: usize = 64 << 10;

/// A block on its way: how much of it was written, what came of it, the block.
type Writing = Pin<Box<dyn Future<Output = (usize, io::Result<()>, Vec<u8>)>>>;

/// Collects small writes and hands them to the disk in blocks; the caller fills one while the disk
/// has the other. It writes on from the cursor of the file.
///
/// **What was not [flushed](Self::flush) is lost when this is dropped**: a drop cannot wait. In
/// debug mode it is reported ([`ReportKind::Unflushed`]). After an error of the disk nothing is
/// lost: the bytes stay here, and the next write or flush tries again.
///
/// # Cancel safety
///
/// Strict: a write that is dropped has taken nothing, and the disk has its block all the same.
///
/// # Examples
///
/// ```
/// use uring_loop::fs::{self, BufWriter, File};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("numbers");
/// uring_loop::run(async {
///     let mut writer = BufWriter::new(File::create(&path).await?);
///     for number in 0..1000 {
///         writer.write(format!("{number}\n")).await?;
///     }
///     writer.flush().await?;
///     assert!(fs::read_to_string(&path).await?.ends_with("999\n"));
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub struct BufWriter {
    /// Its cursor is where the oldest byte that the disk does not have goes to.
    file: File,
    block: Vec<u8>,
    writing: Option<Writing>,
    /// For the next block.
    spare: Vec<u8>,
    size: usize,
}

impl BufWriter {
    /// Blocks of 64 KiB.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self::with_capacity(BLOCK, file)
    }

    /// Blocks of so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize, file: File) -> Self {
        let (block, spare) = (Vec::with_capacity(bytes), Vec::new());
        BufWriter { file, block, writing: None, spare, size: bytes }
    }

    /// Takes these bytes. It waits only if they find no room in the block and the disk still has
    /// the one before.
    ///
    /// # Errors
    ///
    /// What came of an earlier block, as [`File::write_at`]. Then these bytes were not taken.
    ///
    /// # Cancel safety
    ///
    /// Strict: nothing was taken.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let bytes = bytes.as_ref();
        if self.block.len() + bytes.len() > self.size && !self.block.is_empty() {
            poll_fn(|cx| self.poll_hand_over(cx)).await?;
        }
        self.block.extend_from_slice(bytes);
        Ok(())
    }

    /// Waits until the kernel has everything that was written. [`File::sync_all`] waits for the
    /// disk.
    ///
    /// # Errors
    ///
    /// As [`File::write_at`]. What could not be written stays here.
    ///
    /// # Cancel safety
    ///
    /// Strict: it goes on with the next call.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Waits for the block before this one, and begins to write this one.
    fn poll_hand_over(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_written(cx))?;
        if self.block.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let block = std::mem::replace(&mut self.block, std::mem::take(&mut self.spare));
        let file = self.file.clone();
        let mut writing: Writing = Box::pin(async move {
            let offset = file.position();
            file.write_whole(block, offset).await
        });
        // It is submitted by its first poll. Whoever comes for it leaves a waker then.
        match writing.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => self.writing = Some(writing),
            Poll::Ready(over) => self.note(over)?,
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for the block that the disk has.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(writing) = &mut self.writing else { return Poll::Ready(Ok(())) };
        let over = ready!(writing.as_mut().poll(cx));
        self.writing = None;
        Poll::Ready(self.note(over))
    }

    /// A block has come back. What was not written of it comes before what was collected since.
    fn note(&mut self, over: (usize, io::Result<()>, Vec<u8>)) -> io::Result<()> {
        let (written, result, mut block) = over;
        self.file.cursor += written as u64;
        if result.is_err() {
            block.drain(..written);
            block.append(&mut self.block);
            if mutant!("refused-block-forgotten") {
                block.clear();
            }
            self.block = block;
        } else {
            block.clear();
            self.spare = if block.capacity() > 2 * self.size { Vec::new() } else { block };
        }
        result
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unflushed() {
            ready!(self.poll_hand_over(cx))?;
            ready!(self.poll_written(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn unflushed(&self) -> bool {
        !self.block.is_empty() || self.writing.is_some()
    }

    /// The file.
    #[must_use]
    pub fn get_ref(&self) -> &File {
        &self.file
    }

    /// Flushes, and gives the file back, with its cursor behind what was written.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush); then what could not be written is lost.
    ///
    /// # Cancel safety
    ///
    /// Weak: what was not written yet is lost. [`flush`](Self::flush) first where that matters.
    pub async fn into_inner(mut self) -> io::Result<File> {
        let flushed = self.flush().await;
        // Told to who asked.
        self.block.clear();
        flushed.map(|()| self.file.clone())
    }
}

impl Drop for BufWriter {
    fn drop(&mut self) {
        let debug = context::with_core(|core| core.options.debug.is_some()).unwrap_or(false);
        if self.unflushed() && debug {
            let what = self.file.shown();
            let message = format!("a writer was dropped before all was flushed to {what}");
            Report::new(ReportKind::Unflushed, message).send();
        }
    }
}

impl fmt::Debug for BufWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufWriter")
            .field("file", &self.file)
            .field("collected", &self.block.len())
            .field("writing", &self.writing.is_some())
            .finish()
    }
}
