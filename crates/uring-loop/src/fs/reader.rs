//! Reading a file in blocks, one ahead.

use std::future::{Future, poll_fn};
use std::io::{self, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::File;
use super::input::{Feed, Input, Reading, chomp};
use crate::driver::buf::{IoBufMut, fill};

/// How large a block is, unless it is said.
const BLOCK: usize = 64 << 10;

/// Reads a file in blocks, and the next one while the caller is busy with this one: for lines and
/// other small pieces.
///
/// It is for regular files, and reads on from the cursor. What somebody else writes where it has
/// read already is not seen.
///
/// # Cancel safety
///
/// Strict: what was read stays in the reader until it is taken as a whole.
///
/// # Examples
///
/// ```
/// use uring_loop::fs::{self, BufReader, File};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("tea");
/// uring_loop::run(async {
///     fs::write(&path, "green\nherbal\n").await?;
///     let mut reader = BufReader::new(File::open(&path).await?);
///     let mut teas = Vec::new();
///     while let Some(tea) = reader.next_line().await? {
///         teas.push(tea);
///     }
///     assert_eq!(teas, ["green", "herbal"]);
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct BufReader {
    input: Input,
    source: Source,
}

/// The file, and where the next block is.
#[derive(Debug)]
struct Source {
    file: File,
    next: u64,
}

impl Feed for Source {
    fn read(&mut self, room: Vec<u8>) -> Reading {
        let (file, offset) = (self.file.clone(), self.next);
        Box::pin(async move { file.read_at(room, offset).await })
    }

    fn came(&mut self, count: usize, room: usize) -> bool {
        self.next += count as u64;
        // Less than a block is, most of the time, the last one.
        count == room
    }
}

impl BufReader {
    /// Blocks of 64 KiB.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self::with_capacity(BLOCK, file)
    }

    /// Blocks of so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize, file: File) -> Self {
        let next = file.position();
        BufReader { input: Input::new(bytes), source: Source { file, next } }
    }

    /// Waits for bytes and shows them; none are the end of the file. They stay until they are
    /// [consumed](Self::consume).
    ///
    /// # Errors
    ///
    /// As [`File::read_at`].
    ///
    /// # Cancel safety
    ///
    /// Strict: they stay in the reader.
    pub async fn fill_buf(&mut self) -> io::Result<&[u8]> {
        poll_fn(|cx| self.input.poll_some(&mut self.source, cx)).await?;
        Ok(self.input.bytes())
    }

    /// What can be read without waiting.
    #[must_use]
    pub fn buffer(&self) -> &[u8] {
        self.input.bytes()
    }

    /// Takes so many of the bytes that [`fill_buf`](Self::fill_buf) has shown.
    ///
    /// # Panics
    ///
    /// If there are not so many.
    pub fn consume(&mut self, count: usize) {
        self.input.consume(count);
    }

    /// Fills the start of a buffer with what is there, and answers how many bytes that is; 0 is the
    /// end of the file.
    ///
    /// # Errors
    ///
    /// As [`File::read_at`].
    ///
    /// # Cancel safety
    ///
    /// Strict: the bytes stay in the reader.
    pub async fn read<B: IoBufMut>(&mut self, mut buffer: B) -> (io::Result<usize>, B) {
        if let Err(error) = self.fill_buf().await {
            return (Err(error), buffer);
        }
        let count = fill(&mut buffer, self.input.bytes());
        self.input.consume(count);
        (Ok(count), buffer)
    }

    /// Appends the bytes up to and with `byte`, or to the end of the file, and answers how many
    /// those are; 0 is the end.
    ///
    /// # Errors
    ///
    /// As [`File::read_at`].
    ///
    /// # Cancel safety
    ///
    /// Strict: they stay in the reader until all have come.
    pub async fn read_until(&mut self, byte: u8, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let count = self.input.until(&mut self.source, byte).await?;
        bytes.extend_from_slice(&self.input.bytes()[..count]);
        self.input.consume(count);
        Ok(count)
    }

    /// Appends a line with its end (the last one may have none), and answers how many bytes it has;
    /// 0 is the end of the file.
    ///
    /// # Errors
    ///
    /// As [`File::read_at`]; `InvalidData` if it is not UTF-8, and the line is passed over.
    ///
    /// # Cancel safety
    ///
    /// Strict: it stays in the reader until it is whole.
    #[doc(alias = "readline")]
    pub async fn read_line(&mut self, line: &mut String) -> io::Result<usize> {
        let whole = self.input.line(&mut self.source).await;
        let whole = whole.map_err(|error| self.source.file.failed("reading a line of", error))?;
        line.push_str(&whole);
        Ok(whole.len())
    }

    /// The next line without its end; `None` is the end of the file.
    ///
    /// # Errors
    ///
    /// As [`read_line`](Self::read_line).
    ///
    /// # Cancel safety
    ///
    /// Strict: it stays in the reader until it is whole.
    pub async fn next_line(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        let count = self.read_line(&mut line).await?;
        Ok((count > 0).then(|| chomp(line)))
    }

    /// The lines as a [`Stream`](futures_core::Stream), without their ends. It ends after an error
    /// of the disk.
    pub fn lines(self) -> Lines {
        Lines { reader: Some(self) }
    }

    /// Goes to another place, and forgets what was read.
    ///
    /// # Errors
    ///
    /// As [`File::seek`].
    ///
    /// # Cancel safety
    ///
    /// Strict: it has not moved.
    pub async fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.source.file.cursor = self.position();
        let place = self.source.file.seek(to).await?;
        if !mutant!("what-was-read-ahead-outlives-a-seek") {
            self.input.clear();
        }
        self.source.next = place;
        Ok(place)
    }

    /// Where in the file the next byte that is taken comes from.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.source.next - self.input.bytes().len() as u64
    }

    /// The file.
    #[must_use]
    pub fn get_ref(&self) -> &File {
        &self.source.file
    }

    /// The file, with its cursor at what was not taken yet.
    #[must_use]
    pub fn into_inner(self) -> File {
        let cursor = self.position();
        File { cursor, ..self.source.file }
    }
}

/// The lines of a file; made by [`BufReader::lines`].
#[derive(Debug)]
#[must_use = "it reads when it is asked"]
pub struct Lines {
    /// Gone after an error of the disk.
    reader: Option<BufReader>,
}

impl Lines {
    /// The next line without its end.
    ///
    /// # Errors
    ///
    /// As [`BufReader::read_line`].
    ///
    /// # Cancel safety
    ///
    /// Strict: it stays in the reader until it is whole.
    pub async fn next(&mut self) -> Option<io::Result<String>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_line(cx)).await
    }

    fn poll_line(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<String>>> {
        let Some(reader) = &mut self.reader else { return Poll::Ready(None) };
        // What has come of a line stays in the reader, so a fresh future each time loses nothing.
        let line = ready!(std::pin::pin!(reader.next_line()).poll(cx));
        let lasts = line.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::InvalidData);
        if lasts {
            self.reader = None;
        }
        Poll::Ready(line.transpose())
    }
}

impl futures_core::Stream for Lines {
    type Item = io::Result<String>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_line(cx)
    }
}
