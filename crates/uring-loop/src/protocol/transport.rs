//! A protocol's hold on its connection.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::task::Waker;

use super::Protocol;
use super::successor::Successor;
use crate::fs::Part;
use crate::io::{Address, ByteStream, Rewound};
use crate::stream::Link;
use crate::stream::methods::connection_methods;
use crate::stream::outlet::Outlet;

/// A connection, as its [`Protocol`](super::Protocol) and others write to it and end it.
///
/// Clones are cheap and mean the same connection. No method waits.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use uring_loop::buf::RecvBuf;
/// use uring_loop::io::{ByteStreamExt, duplex};
/// use uring_loop::protocol::{Protocol, connect};
///
/// struct Ignore;
///
/// impl Protocol for Ignore {
///     fn data_received(&mut self, _: RecvBuf) {}
/// }
///
/// uring_loop::run(async {
///     let (here, there) = duplex(4096);
///     let (transport, connection) = connect(Ignore, here).await;
///     // Another task, or a timer, writes to the connection too.
///     let tick = transport.clone();
///     drop(uring_loop::call_later(Duration::from_millis(1), move || {
///         tick.write("tick");
///         tick.close(); // when that is sent
///     }));
///     assert_eq!(&*there.recv().await?, b"tick");
///     assert!(there.recv().await?.is_empty());
///     connection.await?;
///     assert!(transport.is_closing());
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Transport {
    pub(super) outlet: Rc<Outlet>,
    pub(super) reading: Rc<Reading>,
}

/// Whether the protocol wants to be told what comes.
#[derive(Default)]
pub(super) struct Reading {
    paused: Cell<bool>,
    ended: Cell<bool>,
    /// Nothing ever comes, but the end: that nobody reads what is written.
    write_only: bool,
    /// The connection's task.
    task: RefCell<Option<Waker>>,
    pub(super) successor: Successor,
}

impl Reading {
    fn is_wanted(&self) -> bool {
        !self.paused.get() && !self.ended.get() && !self.write_only
    }

    pub(super) fn is_write_only(&self) -> bool {
        self.write_only
    }

    /// The peer has sent its last.
    pub(super) fn end(&self) {
        self.ended.set(true);
    }

    pub(super) fn note_task(&self, waker: &Waker) {
        let stale = self.task.replace(Some(waker.clone()));
        drop(stale);
    }

    fn pause(&self, paused: bool) {
        if self.paused.replace(paused) && !paused {
            self.wake_task();
        }
    }

    fn wake_task(&self) {
        let task = self.task.take();
        if let Some(waker) = task {
            waker.wake();
        }
    }
}

connection_methods!(Transport);

impl Transport {
    /// What a stream is to a protocol.
    pub(super) fn new(stream: impl ByteStream + 'static) -> Self {
        let outlet = Outlet::driven(Link::new(Rc::new(stream)));
        Transport { outlet, reading: Rc::default() }
    }

    /// The same for a stream from which nothing comes but its end.
    pub(super) fn write_only(stream: impl ByteStream + 'static) -> Self {
        let reading = Rc::new(Reading { write_only: true, ..Reading::default() });
        Transport { reading, ..Transport::new(stream) }
    }

    /// Whether to look for what comes: the end of a stream that is written only, too.
    pub(super) fn hears(&self) -> bool {
        self.is_reading() || (self.reading.write_only && !self.is_closing())
    }

    /// Takes bytes to send, without waiting. Nothing is nothing.
    ///
    /// What is written to a connection that is closed or lost is dropped; from the fifth time on
    /// the log hears of it.
    ///
    /// # Panics
    ///
    /// After [`write_eof`](Self::write_eof).
    pub fn write(&self, bytes: impl AsRef<[u8]>) {
        self.outlet.write(bytes.as_ref());
    }

    /// Takes several pieces to send, one behind the other.
    ///
    /// # Panics
    ///
    /// As [`write`](Self::write).
    #[doc(alias = "writelines")]
    pub fn write_all<B: AsRef<[u8]>>(&self, pieces: impl IntoIterator<Item = B>) {
        pieces.into_iter().for_each(|piece| self.write(piece));
    }

    /// Ends our direction behind what was written. The other direction goes on.
    pub fn write_eof(&self) {
        self.outlet.end();
    }

    /// Sends a part of a file behind what was written, and answers how many bytes that was. As
    /// [`StreamWriter::send_file`](crate::stream::StreamWriter::send_file), which has more to say.
    ///
    /// It waits, so it is for a task that the protocol spawns.
    ///
    /// # Errors
    ///
    /// As [`StreamWriter::send_file`](crate::stream::StreamWriter::send_file).
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Cancel safety
    ///
    /// Weak: some bytes may have been sent, and what is written next goes right behind them.
    #[doc(alias = "sendfile")]
    pub async fn send_file(&self, file: impl AsFd, offset: u64, length: u64) -> io::Result<u64> {
        let part = Part::of(file.as_fd(), offset, length)?;
        self.outlet.send_file(part, || {}).await
    }

    /// Puts another stream in the place of the one below, and goes on with that: TLS, say
    /// (asyncio's `loop.start_tls`). As
    /// [`StreamWriter::upgrade`](crate::stream::StreamWriter::upgrade), which has more to say.
    ///
    /// It waits, so it is for a task that the protocol spawns. What comes until that runs is still
    /// received as before: [`pause_reading`](Self::pause_reading) in the call that decides on it,
    /// and [`resume_reading`](Self::resume_reading) afterwards. What the protocol has received of
    /// the new stream already, in the same piece as the request to upgrade, goes into `unread`.
    ///
    /// # Errors
    ///
    /// As [`StreamWriter::upgrade`](crate::stream::StreamWriter::upgrade). The protocol is told by
    /// [`connection_lost`](super::Protocol::connection_lost).
    ///
    /// # Cancel safety
    ///
    /// None: dropping it closes the connection. Connect anew instead.
    #[doc(alias = "start_tls")]
    pub async fn upgrade<F, S>(
        &self,
        unread: impl Into<Vec<u8>>,
        make: impl FnOnce(Rewound<Rc<dyn ByteStream>>) -> F,
    ) -> io::Result<()>
    where
        F: Future<Output = io::Result<S>>,
        S: ByteStream + 'static,
    {
        self.outlet.upgrade(|| unread.into(), make).await
    }

    /// Has another protocol called from the next call on, up to and including
    /// [`connection_lost`](Protocol::connection_lost). For connections that go on in another
    /// language: HTTP that becomes a WebSocket, say.
    ///
    /// The new one is not told by [`connection_made`](Protocol::connection_made): give it a clone
    /// of the transport when it is made, and what the old one has received of it already. It is
    /// told by [`pause_writing`](Protocol::pause_writing) if too much waits to be sent. The old one
    /// is not called any more; the connection's task gives it back in the end. On a connection that
    /// is lost nothing happens.
    ///
    /// # Panics
    ///
    /// If this is a pipe of a child: only the child has a protocol.
    pub fn set_protocol(&self, protocol: impl Protocol) {
        self.reading.successor.set(Box::new(protocol));
        self.reading.wake_task();
    }

    /// Calls no more with what comes, until [`resume_reading`](Self::resume_reading). The peer is
    /// held when a few buffers are full. Doing it twice is fine.
    pub fn pause_reading(&self) {
        self.reading.pause(true);
        self.outlet.link.give_up_recv();
    }

    /// Calls again with what comes, beginning with what has come.
    pub fn resume_reading(&self) {
        self.reading.pause(false);
    }

    /// Whether the protocol is called with what comes: not while that is paused, and not after the
    /// end of either side.
    pub fn is_reading(&self) -> bool {
        self.reading.is_wanted() && !self.is_closing()
    }

    /// Calls no more with what comes, sends what was written, then closes the connection: with what
    /// nobody has read as a [`StreamWriter`](crate::stream::StreamWriter) does, and
    /// [`connection_lost`](super::Protocol::connection_lost) is called behind that.
    pub fn close(&self) {
        self.outlet.close();
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("buffered", &self.buffered())
            .field("reading", &self.is_reading())
            .field("closing", &self.is_closing())
            .finish_non_exhaustive()
    }
}
