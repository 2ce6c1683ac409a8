//! Standard input and output, whatever they are: a terminal, a pipe, a socket, a file.
//!
//! Their open files are shared with other processes, the shell above all. So nothing is set on
//! them: O_NONBLOCK would be set for all, and stay when this process is gone. Their position, if
//! they are files, is the shared one. And they are never closed here.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::error::{failed, invalid};
use super::file::none_taken;
use super::input::{Feed, Input, Reading, chomp};
use crate::driver::buf::{IoBuf, IoBufMut, fill};
use crate::driver::{Driver, Op};
use crate::ops::fs::{NO_OFFSET, Patient, Read, Target, Write, WriteRest};
use crate::ops::ring::PollAdd;
use crate::sys::file::is_char_device;

/// Bytes that are read from standard input in one go.
const BLOCK: usize = 8 << 10;

/// One of the three descriptors.
#[derive(Clone, Debug)]
struct End {
    driver: Rc<Driver>,
    raw: RawFd,
    /// A terminal does not know "don't wait": even when it was ready a moment ago, somebody else
    /// may have taken what there was. The loop must not be who waits then, so one of the kernel's
    /// workers is.
    worker: bool,
    name: &'static str,
}

impl End {
    #[track_caller]
    fn new(descriptor: BorrowedFd<'_>, name: &'static str) -> Self {
        let worker = is_char_device(descriptor);
        End { driver: Driver::current(), raw: descriptor.as_raw_fd(), worker, name }
    }

    fn failed(&self, error: io::Error) -> io::Error {
        failed(self.name.to_owned(), error)
    }

    async fn read(self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        let file = Target::descriptor(self.raw);
        // A worker that waits is harder to call back than a poll.
        let wait = self.worker;
        let read = |buffer| Read { buffer, offset: NO_OFFSET, file };
        let (result, buffer) = self.moved(buffer, read, PollAdd::readable, wait).await;
        (result.map_err(|error| self.failed(error)), buffer)
    }

    async fn write_all<B: IoBuf>(&self, mut buffer: B) -> (io::Result<()>, B) {
        let (file, length) = (Target::descriptor(self.raw), buffer.bytes().len());
        let mut written = 0;
        while written < length {
            let rest = |buffer| {
                let write = Write { buffer, offset: NO_OFFSET, file };
                WriteRest { write, skip: written }
            };
            let (result, back) = self.moved(buffer, rest, PollAdd::writable, false).await;
            buffer = back;
            match result {
                Ok(0) => return (Err(self.failed(none_taken())), buffer),
                Ok(count) => written += count,
                Err(error) => return (Err(self.failed(error)), buffer),
            }
        }
        (Ok(()), buffer)
    }

    /// As `File::moved`, for what may wait for ever. `wait`: first until it is ready.
    async fn moved<T, B>(
        &self,
        mut buffer: B,
        make: impl Fn(B) -> T,
        ready: fn(RawFd) -> PollAdd,
        mut wait: bool,
    ) -> (io::Result<usize>, B)
    where
        T: Op<Output = (io::Result<usize>, B)>,
    {
        loop {
            if wait && let Err(error) = self.driver.submit(ready(self.raw)).await {
                return (Err(error), buffer);
            }
            let op = Patient { op: make(buffer), worker: self.worker };
            let (result, back) = self.driver.submit(op).await;
            buffer = back;
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody else has set O_NONBLOCK on it.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait = true,
                other => return (other, buffer),
            }
        }
    }
}

impl Feed for End {
    fn read(&mut self, room: Vec<u8>) -> Reading {
        Box::pin(self.clone().read(room))
    }

    /// Nobody asked for more: what comes may be meant for another process.
    fn came(&mut self, _: usize, _: usize) -> bool {
        false
    }
}

/// Standard input.
///
/// It reads what there is, up to 8 KiB, and keeps what was not asked for: so there should be one
/// handle for all of a program, and none of std's beside it. Bytes that were read and not taken go
/// with the handle.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```no_run
/// uring_loop::run(async {
///     let mut input = uring_loop::fs::stdin();
///     while let Some(line) = input.next_line().await? {
///         uring_loop::fs::stdout().write_all(format!("you said {line}\n")).await.0?;
///     }
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
#[must_use]
pub fn stdin() -> Stdin {
    let end = End::new(io::stdin().as_fd(), "reading standard input");
    Stdin { input: Input::new(BLOCK), end }
}

/// Standard input; made by [`stdin`].
///
/// # Cancel safety
///
/// Strict: a read that was begun belongs to this handle, and what it brings is for the next call. A
/// handle that is dropped calls its read back.
#[derive(Debug)]
pub struct Stdin {
    input: Input,
    end: End,
}

impl Stdin {
    /// Fills the start of a buffer with what is there, or with what comes first, and answers how
    /// many bytes that is; 0 is the end.
    ///
    /// # Errors
    ///
    /// Those of read(2); `InvalidInput` for a buffer without room.
    ///
    /// # Cancel safety
    ///
    /// Strict: the bytes are there for the next call.
    pub async fn read<B: IoBufMut>(&mut self, mut buffer: B) -> (io::Result<usize>, B) {
        if buffer.spare().1 == 0 {
            return (Err(self.end.failed(invalid("a read into no room at all"))), buffer);
        }
        if let Err(error) = poll_fn(|cx| self.input.poll_some(&mut self.end, cx)).await {
            return (Err(error), buffer);
        }
        let count = fill(&mut buffer, self.input.bytes());
        self.input.consume(count);
        (Ok(count), buffer)
    }

    /// Everything up to the end.
    ///
    /// # Errors
    ///
    /// Those of read(2).
    ///
    /// # Cancel safety
    ///
    /// Strict: the bytes are there for the next call.
    pub async fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        while poll_fn(|cx| self.input.poll_more(&mut self.end, cx)).await? > 0 {}
        let bytes = self.input.bytes().to_vec();
        self.input.clear();
        Ok(bytes)
    }

    /// Appends a line with its end (the last one may have none), and answers how many bytes it has;
    /// 0 is the end.
    ///
    /// # Errors
    ///
    /// Those of read(2); `InvalidData` if it is not UTF-8, and the line is passed over.
    ///
    /// # Cancel safety
    ///
    /// Strict: what has come of the line is there for the next call.
    #[doc(alias = "readline")]
    pub async fn read_line(&mut self, line: &mut String) -> io::Result<usize> {
        let whole = self.input.line(&mut self.end).await?;
        line.push_str(&whole);
        Ok(whole.len())
    }

    /// The next line without its end; `None` is the end of the input.
    ///
    /// # Errors
    ///
    /// As [`read_line`](Self::read_line).
    ///
    /// # Cancel safety
    ///
    /// Strict: what has come of the line is there for the next call.
    pub async fn next_line(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        let count = self.read_line(&mut line).await?;
        Ok((count > 0).then(|| chomp(line)))
    }
}

impl futures_core::Stream for Stdin {
    /// Lines without their ends.
    type Item = io::Result<String>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // What has come of a line stays in the handle, so a fresh future each time loses nothing.
        let line = ready!(std::pin::pin!(self.next_line()).poll(cx));
        Poll::Ready(line.transpose())
    }
}

macro_rules! output {
    ($name:ident, $make:ident, $std:path, $words:literal, $intent:literal) => {
        #[doc = concat!("Standard ", $words, "; made by [`", stringify!($make), "`].")]
        #[derive(Debug)]
        pub struct $name {
            end: End,
        }

        #[doc = concat!("Standard ", $words, ".")]
        ///
        /// Nothing is collected here: what is written goes to the kernel at once, and in the order
        /// of the calls of one handle. It does not go through the buffer of std: flush that first
        /// (`std::io::Write::flush(&mut std::io::stdout())`) where `print!` and this are mixed, for
        /// it holds back what has no end of line yet. Writes of two handles, or of two processes,
        /// mix as write(2) says: of a pipe, only up to 4096 bytes are written in one piece.
        ///
        /// # Panics
        ///
        /// If no loop runs on this thread.
        #[track_caller]
        #[must_use]
        pub fn $make() -> $name {
            $name { end: End::new($std().as_fd(), $intent) }
        }

        impl $name {
            /// Writes a whole buffer and gives it back. It waits while nobody reads.
            ///
            /// # Errors
            ///
            /// Those of write(2): `BrokenPipe` when nobody will read any more.
            ///
            /// # Cancel safety
            ///
            /// Weak: dropped in flight, some of the bytes may have been written.
            pub async fn write_all<B: IoBuf>(&mut self, buffer: B) -> (io::Result<()>, B) {
                self.end.write_all(buffer).await
            }
        }
    };
}

output!(Stdout, stdout, io::stdout, "output", "writing to standard output");
output!(Stderr, stderr, io::stderr, "error", "writing to standard error");
