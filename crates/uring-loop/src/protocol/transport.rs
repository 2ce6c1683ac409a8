//! A protocol's hold on its connection.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::task::Waker;

use crate::io::{Address, ByteStream};
use crate::stream::outlet::Outlet;

/// A connection, as its [`Protocol`](super::Protocol) and others write to it and end it.
///
/// Clones are cheap and mean the same connection. No method waits.
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
    /// The connection's task.
    task: RefCell<Option<Waker>>,
}

impl Reading {
    pub(super) fn is_wanted(&self) -> bool {
        !self.paused.get() && !self.ended.get()
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
            let task = self.task.take();
            if let Some(waker) = task {
                waker.wake();
            }
        }
    }
}

impl Transport {
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

    /// Whether one direction of this connection can end by itself.
    pub fn can_write_eof(&self) -> bool {
        self.outlet.link.stream().is_some_and(|stream| stream.can_half_close())
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

    /// Closes the connection at once, with what was not sent.
    pub fn abort(&self) {
        self.outlet.abort();
    }

    /// Whether it was closed or lost, or is about to be.
    pub fn is_closing(&self) -> bool {
        self.outlet.is_closing()
    }

    /// How many bytes were written and are not sent yet.
    #[doc(alias = "get_write_buffer_size")]
    pub fn buffered(&self) -> usize {
        self.outlet.size()
    }

    /// The low and the high water mark, in bytes: 16 KiB and 64 KiB at first.
    #[doc(alias = "get_write_buffer_limits")]
    pub fn limits(&self) -> (usize, usize) {
        self.outlet.limits()
    }

    /// Sets the water marks. Of one that is not given, the low is a quarter of the high; of none,
    /// they are as at first.
    ///
    /// # Panics
    ///
    /// If the low one is above the high one.
    #[doc(alias = "set_write_buffer_limits")]
    pub fn set_limits(&self, low: impl Into<Option<usize>>, high: impl Into<Option<usize>>) {
        self.outlet.set_limits(low.into(), high.into());
    }

    /// The address of the other end, as it was at the start.
    #[doc(alias = "get_extra_info")]
    #[doc(alias = "peername")]
    pub fn peer_address(&self) -> Option<&Address> {
        self.outlet.link.peer_address()
    }

    /// The address of this end, as it was at the start.
    #[doc(alias = "sockname")]
    pub fn local_address(&self) -> Option<&Address> {
        self.outlet.link.local_address()
    }

    /// The stream below, for what it alone can tell; `None` once the connection is closed.
    pub fn stream(&self) -> Option<Rc<dyn ByteStream>> {
        self.outlet.link.stream()
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
