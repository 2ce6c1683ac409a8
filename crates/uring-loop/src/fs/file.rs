//! An open file: reading and writing at offsets. In `cursor.rs` it goes on from where the last call
//! ended, in `vectored.rs` with several buffers; what is asked about the file is in `metadata.rs`,
//! what changes it otherwise in `change.rs`.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::Path;
use std::rc::Rc;

use super::OpenOptions;
use super::direct::Alignment;
use super::error::{failed, invalid, shown};
use crate::driver::buf::{IoBuf, IoBufMut};
use crate::driver::fd::Fd;
use crate::driver::registered::FilePlace;
use crate::driver::{Driver, Op};
use crate::ops::fs::{Read, ReadRest, Target, Write, WriteRest};
use crate::ops::ring::PollAdd;

/// An open file.
///
/// It is read and written at offsets, with buffers that an operation owns until it is over and
/// then gives back ([`read_at`](Self::read_at), [`write_at`](Self::write_at)): any number of them
/// at once, on one handle. Or by its cursor, one after the other ([`read`](Self::read),
/// [`write`](Self::write), [`seek`](Self::seek)).
///
/// The cursor belongs to the handle, not to the kernel's open file: it moves when an operation has
/// come back, so that one that was dropped on the way has not moved it. A
/// [`clone`](Clone::clone) is another handle of the same open file, with a cursor of its own.
///
/// # Dropping
///
/// An operation whose future is dropped keeps its buffer until the kernel has let go. The last
/// handle that goes closes the descriptor, through the ring, behind everything that was begun;
/// [`close`](Self::close) tells what came of it. A disk is not hurried: a read that it has in hand
/// is waited for when the loop ends.
///
/// # Examples
///
/// ```
/// use uring_loop::fs::File;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("greeting");
/// uring_loop::run(async {
///     let file = File::create(&path).await?;
///     file.write_all_at("hello world", 0).await.0?;
///     file.write_all_at("w", 6).await.0?;
///     drop(file);
///
///     let file = File::open(&path).await?;
///     let (read, buffer) = file.read_at([0; 5], 6).await;
///     assert_eq!((read?, &buffer), (5, b"world"));
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct File {
    pub(super) fd: Rc<Fd>,
    pub(super) cursor: u64,
    /// For eyes: under which it was opened.
    pub(super) name: Option<Rc<CString>>,
    /// Only of a file that was opened for direct access.
    pub(super) alignment: Option<Alignment>,
    /// Only of a file that was registered.
    pub(super) place: Option<Rc<FilePlace>>,
}

impl File {
    pub(super) fn new(fd: Fd, name: Option<CString>) -> Self {
        File { fd: Rc::new(fd), cursor: 0, name: name.map(Rc::new), alignment: None, place: None }
    }

    /// Opens a file to read.
    ///
    /// # Errors
    ///
    /// Those of [`OpenOptions::open`].
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Cancel safety
    ///
    /// Strict: a descriptor that is opened too late is closed.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).open(path).await
    }

    /// Opens a file to write; makes it, or empties it.
    ///
    /// # Errors
    ///
    /// Those of [`OpenOptions::open`].
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Cancel safety
    ///
    /// Weak: dropped in flight, the file may have been made or emptied.
    pub async fn create(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path).await
    }

    /// Makes a file to read and write; one that is there is `AlreadyExists`.
    ///
    /// # Errors
    ///
    /// Those of [`OpenOptions::open`].
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Cancel safety
    ///
    /// Weak: dropped in flight, the file may have been made.
    pub async fn create_new(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path).await
    }

    /// Options for another way to open one.
    #[must_use]
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Takes over a file of std's, with its cursor. It should not be in non-blocking mode.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    #[must_use]
    pub fn from_std(mut file: std::fs::File) -> File {
        // What cannot seek has no position.
        let cursor = io::Seek::stream_position(&mut file).unwrap_or(0);
        let fd = Fd::from_owned(Driver::current(), file.into());
        File { cursor, ..File::new(fd, None) }
    }

    /// The same open file for std, under another descriptor, with this cursor. Operations that were
    /// begun here go on, and this handle is closed behind them.
    ///
    /// # Errors
    ///
    /// Those of dup(2); `Unsupported` on a simulated ring.
    pub fn into_std(self) -> io::Result<std::fs::File> {
        let mut file = self.duplicate()?;
        // What cannot seek has no position.
        let _ = io::Seek::seek(&mut file, io::SeekFrom::Start(self.cursor));
        Ok(file)
    }

    /// The same open file under another descriptor: for a helper thread, which may use it for
    /// longer than this handle lives.
    pub(super) fn duplicate(&self) -> io::Result<std::fs::File> {
        if self.simulated() {
            let text = "a file of a simulated kernel is no file of the real one";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        self.fd.as_fd().try_clone_to_owned().map(Into::into).map_err(|e| self.failed("copying", e))
    }

    /// Reads from `offset` on, into the start of a buffer, and answers how many bytes that were;
    /// 0 is the end of the file (`IORING_OP_READ`, 5.6). It may be fewer than there is room for.
    ///
    /// # Errors
    ///
    /// Those of pread(2), with the path; `InvalidInput` for a buffer without room, or for what a
    /// [direct](OpenOptions::direct) file does not take.
    ///
    /// # Cancel safety
    ///
    /// Strict: nothing has moved; the buffer goes when the kernel has let go of it.
    pub async fn read_at<B: IoBufMut>(&self, mut buffer: B, offset: u64) -> (io::Result<usize>, B) {
        let (start, room) = buffer.spare();
        if room == 0 {
            return (Err(self.failed("reading", invalid("a read into no room at all"))), buffer);
        }
        if let Err(error) = self.check(start.addr(), room, offset) {
            return (Err(self.failed("reading", error)), buffer);
        }
        let file = self.target_with(&buffer);
        let read = |buffer| Read { buffer, offset, file };
        let (result, buffer) = self.moved(buffer, read, PollAdd::readable).await;
        (result.map_err(|error| self.failed("reading", error)), buffer)
    }

    /// Fills all the room of a buffer from `offset` on. Of a `Vec` that is its capacity.
    ///
    /// # Errors
    ///
    /// As [`read_at`](Self::read_at); `UnexpectedEof` if the file ends before. The buffer holds
    /// what was read until then.
    ///
    /// # Cancel safety
    ///
    /// Strict, as [`read_at`](Self::read_at).
    pub async fn read_exact_at<B: IoBufMut>(
        &self,
        mut buffer: B,
        offset: u64,
    ) -> (io::Result<()>, B) {
        let (start, room) = buffer.spare();
        if let Err(error) = self.check(start.addr(), room, offset) {
            return (Err(self.failed("reading", error)), buffer);
        }
        let mut filled = 0;
        while filled < room {
            let (result, back) = self.read_rest(buffer, filled, offset).await;
            buffer = back;
            match result {
                Ok(read) => {
                    filled += read;
                    let ends = self.ends_at(filled) || mutant!("short-read-taken-for-the-end");
                    if filled < room && (read == 0 || ends) {
                        let text = format!("the file ends {} bytes early", room - filled);
                        let error = io::Error::new(io::ErrorKind::UnexpectedEof, text);
                        return (Err(self.failed("reading", error)), buffer);
                    }
                }
                Err(error) => return (Err(error), buffer),
            }
        }
        (Ok(()), buffer)
    }

    /// Reads behind the first `filled` bytes of a buffer that starts at `offset` in the file.
    pub(super) async fn read_rest<B: IoBufMut>(
        &self,
        buffer: B,
        filled: usize,
        offset: u64,
    ) -> (io::Result<usize>, B) {
        let (file, offset) = (self.target_with(&buffer), offset + filled as u64);
        let rest = |buffer| ReadRest { read: Read { buffer, offset, file }, skip: filled };
        let (result, buffer) = self.moved(buffer, rest, PollAdd::readable).await;
        (result.map_err(|error| self.failed("reading", error)), buffer)
    }

    /// Writes a buffer at `offset`, as much of it as the kernel takes, and answers how many bytes
    /// that were (`IORING_OP_WRITE`, 5.6).
    ///
    /// # Errors
    ///
    /// Those of pwrite(2), with the path; `InvalidInput` for what a [direct](OpenOptions::direct)
    /// file does not take.
    ///
    /// # Cancel safety
    ///
    /// Weak: dropped in flight, some or all of the bytes may have been written.
    pub async fn write_at<B: IoBuf>(&self, buffer: B, offset: u64) -> (io::Result<usize>, B) {
        let bytes = buffer.bytes();
        if let Err(error) = self.check(bytes.as_ptr().addr(), bytes.len(), offset) {
            return (Err(self.failed("writing", error)), buffer);
        }
        let file = self.target_with(&buffer);
        let write = |buffer| Write { buffer, offset, file };
        let (result, buffer) = self.moved(buffer, write, PollAdd::writable).await;
        (result.map_err(|error| self.failed("writing", error)), buffer)
    }

    /// Writes a whole buffer at `offset`.
    ///
    /// # Errors
    ///
    /// As [`write_at`](Self::write_at); `WriteZero` if the kernel takes no more. Some bytes may
    /// have been written.
    ///
    /// # Cancel safety
    ///
    /// Weak, as [`write_at`](Self::write_at).
    pub async fn write_all_at<B: IoBuf>(&self, buffer: B, offset: u64) -> (io::Result<()>, B) {
        let (_, result, buffer) = self.write_whole(buffer, offset).await;
        (result, buffer)
    }

    /// The same; answers also how many bytes were written until an error.
    pub(super) async fn write_whole<B: IoBuf>(
        &self,
        mut buffer: B,
        offset: u64,
    ) -> (usize, io::Result<()>, B) {
        let (address, length) = (buffer.bytes().as_ptr().addr(), buffer.bytes().len());
        if let Err(error) = self.check(address, length, offset) {
            return (0, Err(self.failed("writing", error)), buffer);
        }
        let (file, mut written) = (self.target_with(&buffer), 0);
        while written < length {
            let rest = |buffer| {
                let offset = offset + written as u64;
                WriteRest { write: Write { buffer, offset, file }, skip: written }
            };
            let (result, back) = self.moved(buffer, rest, PollAdd::writable).await;
            buffer = back;
            match result {
                Ok(0) => return (written, Err(self.failed("writing", none_taken())), buffer),
                Ok(count) if mutant!("short-write-not-gone-on-with") => {
                    return (written + count, Ok(()), buffer);
                }
                Ok(count) => written += count,
                Err(error) => return (written, Err(self.failed("writing", error)), buffer),
            }
        }
        (written, Ok(()), buffer)
    }

    /// Moves bytes by the op that `make` makes of a buffer. EINTR is repeated; on EAGAIN, which a
    /// kernel short of memory answers, and a descriptor in non-blocking mode, it waits until the
    /// file is ready, which a regular file always is.
    pub(super) async fn moved<T, B>(
        &self,
        mut buffer: B,
        make: impl Fn(B) -> T,
        ready: fn(RawFd) -> PollAdd,
    ) -> (io::Result<usize>, B)
    where
        T: Op<Output = (io::Result<usize>, B)>,
    {
        loop {
            let (result, back) = self.driver().submit(make(buffer)).await;
            buffer = back;
            match result {
                Err(error)
                    if error.kind() == io::ErrorKind::Interrupted
                        && !mutant!("signal-taken-for-a-failure") => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let poll = self.driver().submit(ready(self.as_raw_fd()));
                    if let Err(error) = poll.await {
                        return (Err(error), buffer);
                    }
                }
                other => return (other, buffer),
            }
        }
    }

    /// A direct read that stopped in the middle of a block has met the end of the file. (It could
    /// not go on from there.)
    fn ends_at(&self, filled: usize) -> bool {
        self.alignment.is_some_and(|alignment| !filled.is_multiple_of(alignment.offset))
    }

    /// What the kernel would refuse with a bare EINVAL, or take for something else.
    pub(super) fn check(&self, address: usize, length: usize, offset: u64) -> io::Result<()> {
        // Offsets are signed, and one of them stands for the kernel's own cursor.
        if i64::try_from(offset).is_err() || offset.checked_add(length as u64).is_none() {
            return Err(invalid(format!("{offset} is no offset in a file")));
        }
        match self.alignment {
            Some(alignment) => alignment.check(address, length, offset),
            None => Ok(()),
        }
    }

    /// An error with what was tried, on which file.
    pub(super) fn failed(&self, what: &str, error: io::Error) -> io::Error {
        failed_on(self.name.as_deref(), what, error)
    }

    /// Its path, for eyes.
    pub(super) fn shown(&self) -> String {
        name_for_eyes(self.name.as_deref())
    }

    pub(super) fn driver(&self) -> &Rc<Driver> {
        self.fd.driver()
    }

    pub(super) fn target(&self) -> Target {
        match &self.place {
            Some(place) => Target::registered(place.index()),
            None => Target::descriptor(self.fd.as_raw_fd()),
        }
    }

    fn target_with(&self, buffer: &impl IoBuf) -> Target {
        self.target().with_buffer(buffer.place(self.driver()))
    }
}

pub(super) fn failed_on(name: Option<&CString>, what: &str, error: io::Error) -> io::Error {
    failed(format!("{what} {}", name_for_eyes(name)), error)
}

fn name_for_eyes(name: Option<&CString>) -> String {
    name.map_or_else(|| "a file".to_owned(), |name| shown(name).to_string())
}

pub(super) fn none_taken() -> io::Error {
    io::Error::new(io::ErrorKind::WriteZero, "the kernel takes no more bytes")
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("File");
        out.field("fd", &self.as_raw_fd());
        if let Some(name) = &self.name {
            out.field("path", &format_args!("{}", shown(name)));
        }
        out.field("cursor", &self.cursor).finish()
    }
}
