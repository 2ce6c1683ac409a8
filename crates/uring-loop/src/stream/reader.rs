//! Reading lines, so many bytes, or what there is.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::input::Input;
use super::{LIMIT, Lines, Link, ReadError};
use crate::io::RecvBuf;

/// The reading side of a connection, with what has come and was not read yet.
///
/// Bytes are handed out as slices that borrow from the reader: where they lie in one buffer of the
/// loop, nothing is copied. They are read with that: the next call gives what is behind them.
///
/// Other than in asyncio nothing is read ahead: the loop holds a few buffers for a connection that
/// nobody reads, and then the peer has to wait.
///
/// # Cancel safety
///
/// Every method is strict: dropping its future loses no byte.
///
/// # Examples
///
/// ```
/// use uring_loop::stream::{ReadError, open_connection, start_server};
///
/// uring_loop::run(async {
///     let server = start_server("127.0.0.1:0", |_, writer| async move {
///         writer.write("Content-Length: 5\r\n\r\nhellobye");
///     })
///     .await?;
///     let (mut reader, _writer) = open_connection(server.addresses()[0].ip().unwrap()).await?;
///     assert_eq!(reader.read_until(b": ").await?, b"Content-Length: ");
///     assert_eq!(reader.read_line().await?, b"5\r\n");
///     assert_eq!(reader.read_line().await?, b"\r\n");
///     assert_eq!(reader.read_exact(5).await?, b"hello");
///     // What has come of too little is in the error, and nothing is lost.
///     let error = reader.read_exact(100).await.unwrap_err();
///     assert!(matches!(error, ReadError::Incomplete { partial, .. } if partial == b"bye"));
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub struct StreamReader {
    link: Rc<Link>,
    input: Input,
    limit: usize,
    ended: bool,
}

/// Waits for more bytes than there are.
struct Fill<'a> {
    reader: &'a mut StreamReader,
    waits: bool,
}

impl Future for Fill<'_> {
    type Output = io::Result<bool>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.reader.poll_fill(cx);
        self.waits = polled.is_pending();
        polled
    }
}

impl Drop for Fill<'_> {
    fn drop(&mut self) {
        if self.waits {
            self.reader.give_up();
        }
    }
}

/// What a look for a separator came to.
pub(super) enum Found {
    /// So many bytes, the separator included.
    Line(usize),
    Overrun(usize),
    NeedsMore,
}

impl StreamReader {
    pub(super) fn new(link: Rc<Link>) -> Self {
        StreamReader { link, input: Input::default(), limit: LIMIT, ended: false }
    }

    /// Sets how many bytes there may be before a separator; 64 KiB at first.
    ///
    /// # Panics
    ///
    /// If it is 0.
    #[must_use]
    pub fn with_limit(self, limit: usize) -> Self {
        assert!(limit > 0, "a reader's limit must be more than 0");
        StreamReader { limit, ..self }
    }

    pub(super) fn is_of(&self, link: &Rc<Link>) -> bool {
        Rc::ptr_eq(&self.link, link)
    }

    /// What has come and was not read, for another stream to begin with.
    pub(super) fn take_unread(&mut self) -> Vec<u8> {
        self.input.settle();
        self.ended = false;
        self.input.take_all()
    }

    /// Waits for more bytes than there are. `false`: there are none, the stream has ended.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.ended {
            return Poll::Ready(Ok(false));
        }
        let polled = self.link.poll_recv(cx);
        if polled.is_pending() {
            self.input.let_go_of_chunk();
        }
        Poll::Ready(match ready!(polled)? {
            Some(bytes) => {
                self.input.push(bytes);
                Ok(true)
            }
            None => {
                self.ended = true;
                Ok(false)
            }
        })
    }

    async fn fill(&mut self) -> io::Result<bool> {
        Fill { reader: self, waits: false }.await
    }

    /// Whoever waited for more waits no more.
    pub(super) fn give_up(&self) {
        self.link.give_up_recv();
    }

    /// Waits until there are bytes or the stream has ended.
    async fn some(&mut self) -> io::Result<()> {
        self.input.settle();
        if self.input.len() == 0 {
            self.fill().await?;
        }
        Ok(())
    }

    /// Reads up to `most` bytes, as soon as there are any; none at the end of the stream.
    ///
    /// # Errors
    ///
    /// Those of the stream; they stay.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn read(&mut self, most: usize) -> io::Result<&[u8]> {
        if most == 0 {
            return Ok(&[]);
        }
        self.some().await?;
        let count = self.input.front().len().min(most);
        Ok(self.input.lend(count))
    }

    /// Fills a buffer with what there is, as soon as there is anything, and answers how many bytes
    /// that was; 0 at the end of the stream, and for a buffer without room.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn read_into(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.read(buffer.len()).await?;
        buffer[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Takes what there is, in the buffer in which it came; `None` at the end.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn read_buffer(&mut self) -> io::Result<Option<RecvBuf>> {
        self.some().await?;
        Ok(self.input.take_front())
    }

    /// Reads exactly so many bytes.
    ///
    /// # Errors
    ///
    /// [`ReadError::Incomplete`] with what there was if the stream ends before; the stream's own.
    ///
    /// # Cancel safety
    ///
    /// Strict: what has come is there for the next call.
    #[doc(alias = "readexactly")]
    pub async fn read_exact(&mut self, count: usize) -> Result<&[u8], ReadError> {
        self.input.settle();
        while self.input.len() < count {
            if !self.fill().await? {
                return Err(self.incomplete(Some(count)));
            }
        }
        Ok(self.input.lend(count))
    }

    /// Reads everything up to the end of the stream.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// Strict: what has come is there for the next call.
    pub async fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        self.input.settle();
        while self.fill().await? {}
        Ok(self.input.take_all())
    }

    /// Reads a line with its `\n`. At the end of the stream it gives what there is, which may be
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`ReadError::Limit`] for a line longer than the reader's limit. It is dropped: with its end
    /// if that has come, otherwise what has come of it. Those of the stream.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    #[doc(alias = "readline")]
    pub async fn read_line(&mut self) -> Result<&[u8], ReadError> {
        let mut offset = 0;
        self.input.settle();
        let line = loop {
            match self.look(&[b"\n"], &mut offset) {
                Found::Line(length) => break length,
                Found::Overrun(consumed) => return Err(self.drop_line(consumed)),
                Found::NeedsMore => {}
            }
            if !self.fill().await? {
                self.input.let_go_of_chunk();
                break self.input.len();
            }
        };
        Ok(self.input.lend(line))
    }

    /// Reads a line with its `\n`; `None` at the end of the stream.
    ///
    /// # Errors
    ///
    /// As [`read_line`](Self::read_line).
    ///
    /// # Cancel safety
    ///
    /// Strict.
    #[doc(alias = "__anext__")]
    pub async fn next_line(&mut self) -> Result<Option<&[u8]>, ReadError> {
        Ok(Some(self.read_line().await?).filter(|line| !line.is_empty()))
    }

    /// The lines as a stream of vectors.
    #[doc(alias = "__aiter__")]
    pub fn lines(&mut self) -> Lines<'_> {
        Lines::new(self)
    }

    /// Reads up to the separator and with it.
    ///
    /// # Errors
    ///
    /// [`ReadError::Incomplete`] with what there was if the stream ends before;
    /// [`ReadError::Limit`] if there is more than the reader's limit before the separator, which
    /// leaves the bytes where they are; those of the stream.
    ///
    /// # Panics
    ///
    /// If the separator is empty.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    #[doc(alias = "readuntil")]
    pub async fn read_until(&mut self, separator: &[u8]) -> Result<&[u8], ReadError> {
        self.read_until_any(&[separator]).await
    }

    /// The same with several separators, of which the one counts that ends first.
    ///
    /// # Errors
    ///
    /// As [`read_until`](Self::read_until).
    ///
    /// # Panics
    ///
    /// If there is none, or one is empty.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn read_until_any(&mut self, separators: &[&[u8]]) -> Result<&[u8], ReadError> {
        let good = !separators.is_empty() && separators.iter().all(|one| !one.is_empty());
        assert!(good, "a separator needs a byte at least");
        let mut offset = 0;
        self.input.settle();
        let line = loop {
            match self.look(separators, &mut offset) {
                Found::Line(length) => break length,
                Found::Overrun(consumed) => return Err(ReadError::Limit { consumed }),
                Found::NeedsMore => {}
            }
            if !self.fill().await? {
                return Err(self.incomplete(None));
            }
        };
        Ok(self.input.lend(line))
    }

    /// Looks for the separator that ends first. Before `offset` none begins: it goes up with what
    /// was looked at.
    pub(super) fn look(&self, separators: &[&[u8]], offset: &mut usize) -> Found {
        let ends = separators.iter().filter_map(|separator| {
            let start = self.input.find(separator, *offset)?;
            Some((start + separator.len(), start))
        });
        if let Some((end, start)) = ends.min() {
            return if start > self.limit { Found::Overrun(start) } else { Found::Line(end) };
        }
        let longest = separators.iter().map(|separator| separator.len()).max().unwrap_or(1);
        *offset = (*offset).max((self.input.len() + 1).saturating_sub(longest));
        if *offset > self.limit { Found::Overrun(*offset) } else { Found::NeedsMore }
    }

    /// Drops a line that is too long: asyncio's `readline` in Lib/asyncio/streams.py does so, and
    /// drops everything if it sees no end.
    pub(super) fn drop_line(&mut self, consumed: usize) -> ReadError {
        let has_end = self.input.has_at(b"\n", consumed);
        self.input.consume(if has_end { consumed + 1 } else { self.input.len() });
        ReadError::Limit { consumed }
    }

    fn incomplete(&mut self, expected: Option<usize>) -> ReadError {
        ReadError::Incomplete { partial: self.input.take_all(), expected }
    }

    /// Waits until there are bytes, and shows those that lie together; none at the end of the
    /// stream. They are to be taken by [`consume`](Self::consume).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.some().await?;
        Ok(self.input.front())
    }

    /// Takes the first bytes of those that [`fill_buf`](Self::fill_buf) has shown.
    ///
    /// # Panics
    ///
    /// If there are fewer.
    pub fn consume(&mut self, count: usize) {
        self.input.settle();
        assert!(
            count <= self.input.front().len(),
            "consume takes what fill_buf has shown, no more"
        );
        self.input.consume(count);
    }

    /// How many bytes have come and were not read yet.
    pub fn buffered(&self) -> usize {
        self.input.len()
    }

    /// Whether everything was read and the stream was seen to end.
    pub fn at_eof(&self) -> bool {
        self.ended && self.input.len() == 0
    }

    pub(super) fn take_line(&mut self, length: usize) -> Vec<u8> {
        let line = self.input.lend(length).to_vec();
        self.input.settle();
        line
    }

    pub(super) fn settle(&mut self) {
        self.input.settle();
    }
}

impl fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamReader")
            .field("buffered", &self.input.len())
            .field("limit", &self.limit)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
