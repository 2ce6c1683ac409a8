//! Writing without waiting, and waiting where there is too much.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;

use super::methods::connection_methods;
use super::outlet::{Outlet, gone};
use super::{Link, StreamReader};
use crate::cancel::catch_cancel;
use crate::context;
use crate::fs::Part;
use crate::io::{Address, ByteStream, Rewound};
use crate::task::{spawn, yield_now};

/// The writing side of a connection.
///
/// [`write`](Self::write) never waits: bytes gather here and go out, those of one turn of the loop
/// together, while the loop runs. [`drain`](Self::drain) waits as long as too many are gathered.
/// All methods take `&self`: tasks may share a writer.
///
/// [`close`](Self::close) ends the connection, for the reader too, once all is sent. *Dropping* a
/// writer that was not closed sends what was written and ends our direction; the connection closes
/// when its reader is gone too.
///
/// If the peer has sent what nobody has read, closing a socket there and then would reset the
/// connection, and the peer could miss what was written last. So in that case our direction ends
/// first, and the connection closes when the peer has ended its own too, has been silent for 2
/// seconds, or after 30; what still comes is dropped. Tasks of the loop see to that, for which
/// [`run`](crate::run) waits at its end as for all others, as long as
/// [`shutdown_patience`](crate::Builder::shutdown_patience) says. [`abort`](Self::abort) waits for
/// nothing.
///
/// # Examples
///
/// ```
/// use uring_loop::io::duplex;
/// use uring_loop::stream::wrap;
///
/// uring_loop::run(async {
///     let (one, other) = duplex(4096);
///     let ((_, writer), (mut reader, _)) = (wrap(one), wrap(other));
///     writer.write("12");
///     writer.write("3\n");
///     writer.drain().await?;
///     assert_eq!(reader.read_line().await?, b"123\n");
///     writer.close();
///     writer.wait_closed().await?;
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub struct StreamWriter {
    outlet: Rc<Outlet>,
}

connection_methods!(StreamWriter);

impl StreamWriter {
    pub(super) fn new(link: Rc<Link>) -> Self {
        StreamWriter { outlet: Outlet::new(link) }
    }

    pub(super) fn outlet(&self) -> &Rc<Outlet> {
        &self.outlet
    }

    /// Takes bytes to send, without waiting. Nothing is nothing.
    ///
    /// What is written to a connection that is closed or lost is dropped; from the fifth time on
    /// the log hears of it.
    ///
    /// # Panics
    ///
    /// After [`write_eof`](Self::write_eof), and if no loop runs on this thread.
    pub fn write(&self, bytes: impl AsRef<[u8]>) {
        self.outlet.write(bytes.as_ref());
        drive(&self.outlet);
    }

    /// Takes several pieces to send, one behind the other.
    ///
    /// # Panics
    ///
    /// As [`write`](Self::write).
    #[doc(alias = "writelines")]
    pub fn write_all<B: AsRef<[u8]>>(&self, pieces: impl IntoIterator<Item = B>) {
        pieces.into_iter().for_each(|piece| self.outlet.write(piece.as_ref()));
        drive(&self.outlet);
    }

    /// Waits while there is too much: once there are more bytes than the high water mark, until
    /// there are no more than the low one. Otherwise it does not wait.
    ///
    /// # Errors
    ///
    /// The reader's, if reading failed; `ConnectionReset` if the connection is closed or lost; what
    /// it was lost for, if that comes while it waits.
    ///
    /// # Cancel safety
    ///
    /// Strict: what was written is sent all the same.
    pub async fn drain(&self) -> io::Result<()> {
        if let Some(error) = self.outlet.link.read_error() {
            return Err(error);
        }
        if self.outlet.is_closing() {
            // So that a loss that is under way is seen: asyncio, Lib/asyncio/streams.py.
            yield_now().await;
        }
        if self.outlet.loss().is_some() {
            return Err(gone());
        }
        while self.outlet.is_paused() {
            self.outlet.writable.wait().await;
        }
        self.outlet.loss().and_then(|loss| loss.error()).map_or(Ok(()), Err)
    }

    /// Waits until everything that was written is with the kernel.
    ///
    /// # Errors
    ///
    /// `ConnectionReset` if the connection is closed; what it was lost for.
    ///
    /// # Cancel safety
    ///
    /// Strict: what was written is sent all the same.
    pub async fn flush(&self) -> io::Result<()> {
        self.outlet.flush().await
    }

    /// Sends a part of a file, from `offset` on, behind what was written, and answers how many
    /// bytes that was: fewer than `length` if the file ends before. It is read in pieces
    /// (`IORING_OP_READ`, 5.6), the next one while one is sent; its own position stays. It waits
    /// until the kernel has the last one.
    ///
    /// What other tasks write meanwhile goes out behind the file, and so does an end of our
    /// direction. (asyncio refuses such writes.) [`close`](Self::close) does not wait for the rest
    /// of it.
    ///
    /// # Errors
    ///
    /// Those of dup(2) and pread(2); as [`flush`](Self::flush). Some bytes may have been sent then.
    /// Those that change nothing: `BrokenPipe` after [`write_eof`](Self::write_eof), `ResourceBusy`
    /// if a file or an [upgrade](Self::upgrade) is under way.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Cancel safety
    ///
    /// Weak: some bytes may have been sent, and what is written next goes right behind them.
    ///
    /// # Examples
    ///
    /// ```
    /// use uring_loop::fs::File;
    /// use uring_loop::io::duplex;
    /// use uring_loop::stream::wrap;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("page");
    /// # std::fs::write(&path, "hello")?;
    /// uring_loop::run(async {
    ///     let (one, other) = duplex(4096);
    ///     let ((_, writer), (mut reader, _)) = (wrap(one), wrap(other));
    ///     let page = File::open(&path).await?;
    ///     writer.write("200 OK\n\n");
    ///     assert_eq!(writer.send_file(&page, 0, u64::MAX).await?, 5);
    ///     drop(writer);
    ///     assert_eq!(reader.read_to_end().await?, b"200 OK\n\nhello");
    ///     Ok::<(), std::io::Error>(())
    /// })?
    /// # ; Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "sendfile")]
    pub async fn send_file(&self, file: impl AsFd, offset: u64, length: u64) -> io::Result<u64> {
        let part = Part::of(file.as_fd(), offset, length)?;
        self.outlet.send_file(part, || drive(&self.outlet)).await
    }

    /// Puts another stream in the place of the one below, and goes on with that: TLS, say, on a
    /// connection that was in use in plain text (asyncio's `start_tls`).
    ///
    /// What was written is sent first. Then `make` gets the stream below; what has come and was not
    /// read yet is what it receives first. So nothing that was said before the upgrade is taken for
    /// something that was said after it: bytes that somebody has slipped in are not TLS, and the
    /// handshake fails. What is written from the first poll of this on, by other tasks, goes out
    /// through the new stream and never through the old one.
    ///
    /// If `make` fails, or this is dropped, the connection is closed. Closing the writer meanwhile
    /// ends both.
    ///
    /// # Errors
    ///
    /// Those of `make`; as [`flush`](Self::flush). Those that change nothing: `BrokenPipe` after
    /// [`write_eof`](Self::write_eof), `ResourceBusy` if an upgrade is under way.
    ///
    /// # Panics
    ///
    /// If `reader` is not that of this connection.
    ///
    /// # Cancel safety
    ///
    /// None: dropping it closes the connection. Connect anew instead.
    ///
    /// # Examples
    ///
    /// With the crate `tls`: `writer.upgrade(&mut reader, |plain| connector.connect("example.org",
    /// plain)).await?`. With any stream:
    ///
    /// ```
    /// use uring_loop::io::duplex;
    /// use uring_loop::stream::wrap;
    ///
    /// uring_loop::run(async {
    ///     let (one, other) = duplex(4096);
    ///     let ((mut reader, writer), (_, peer)) = (wrap(one), wrap(other));
    ///     peer.write("go on\nhello\n");
    ///     assert_eq!(reader.read_line().await?, b"go on\n");
    ///     writer.upgrade(&mut reader, async |plain| Ok(plain)).await?;
    ///     assert_eq!(reader.read_line().await?, b"hello\n", "nothing is lost");
    ///     Ok::<(), std::io::Error>(())
    /// })?
    /// # ; Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "start_tls")]
    pub async fn upgrade<F, S>(
        &self,
        reader: &mut StreamReader,
        make: impl FnOnce(Rewound<Rc<dyn ByteStream>>) -> F,
    ) -> io::Result<()>
    where
        F: Future<Output = io::Result<S>>,
        S: ByteStream + 'static,
    {
        assert!(reader.is_of(&self.outlet.link), "this reader belongs to another connection");
        self.outlet.upgrade(|| reader.take_unread(), make).await
    }

    /// Ends our direction behind what was written: the peer's reader finds the end there. The other
    /// direction goes on. Doing it twice is fine.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    pub fn write_eof(&self) {
        self.outlet.end();
        drive(&self.outlet);
    }

    /// Closes the connection, for the reader too, once everything written is sent; the [type's
    /// docs](Self) say what becomes of what nobody has read.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    pub fn close(&self) {
        self.outlet.close();
        drive(&self.outlet);
    }

    /// Waits until the connection is closed, or lost.
    ///
    /// # Errors
    ///
    /// What it was lost for.
    ///
    /// # Cancel safety
    ///
    /// Strict: there is nothing to lose.
    pub async fn wait_closed(&self) -> io::Result<()> {
        self.outlet.ended.wait().await;
        self.outlet.loss().and_then(|loss| loss.error()).map_or(Ok(()), Err)
    }
}

/// Sees to it that somebody sends what is there.
pub(super) fn drive(outlet: &Rc<Outlet>) {
    if outlet.adopt() {
        drop(spawn(send(outlet.clone())).named("the sending side of a stream"));
    }
}

/// Sends what is written until the connection is lost, or its writer gone. Asked to end, it sends
/// what there is, and closes.
async fn send(outlet: Rc<Outlet>) {
    while catch_cancel(poll_fn(|cx| outlet.poll_send(cx))).await.is_err() {
        outlet.close();
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        if self.outlet.loss().is_some() {
            return;
        }
        if context::with_core(|_| ()).is_none() {
            // No loop runs: what can be handed over is (`Outlet::drop`).
            return;
        }
        self.outlet.leave();
        drive(&self.outlet);
    }
}

impl fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamWriter")
            .field("buffered", &self.buffered())
            .field("closing", &self.is_closing())
            .finish_non_exhaustive()
    }
}
