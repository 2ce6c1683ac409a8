//! The stream that the two sides of a connection share, until one of them closes it for both.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::context;
use crate::io::failure::Failure;
use crate::io::linger::close_forgotten;
use crate::io::{Address, ByteStream, RecvBuf};
use crate::task::spawn;

pub(crate) struct Link {
    place: RefCell<Place>,
    /// Asked for at the start: a connection that is lost has none any more.
    local: Option<Address>,
    peer: Option<Address>,
    /// Who waits for bytes, to be told when none will come.
    reader: RefCell<Option<Waker>>,
    /// Nothing is read any more.
    deaf: Cell<bool>,
    read_failed: RefCell<Option<Failure>>,
}

/// Where the stream is.
enum Place {
    Here(Rc<dyn ByteStream>),
    /// With somebody who makes another one of it (`upgrade.rs`).
    Away,
    /// It is closed.
    Nowhere,
}

impl Link {
    pub(crate) fn new(stream: Rc<dyn ByteStream>) -> Rc<Self> {
        let (local, peer) = (stream.local_address(), stream.peer_address());
        Rc::new(Link {
            place: RefCell::new(Place::Here(stream)),
            local,
            peer,
            reader: RefCell::default(),
            deaf: Cell::new(false),
            read_failed: RefCell::default(),
        })
    }

    pub(crate) fn stream(&self) -> Option<Rc<dyn ByteStream>> {
        match &*self.place.borrow() {
            Place::Here(stream) => Some(stream.clone()),
            Place::Away | Place::Nowhere => None,
        }
    }

    pub(crate) fn is_away(&self) -> bool {
        matches!(*self.place.borrow(), Place::Away)
    }

    /// Gives the stream out, to be put back.
    pub(super) fn take_away(&self) -> Option<Rc<dyn ByteStream>> {
        let stream = self.stream()?;
        *self.place.borrow_mut() = Place::Away;
        Some(stream)
    }

    /// Puts a stream where one was taken away. One that comes too late, since the connection was
    /// closed meanwhile, is dropped.
    pub(super) fn put(&self, stream: Rc<dyn ByteStream>) {
        if self.is_away() {
            *self.place.borrow_mut() = Place::Here(stream);
            self.wake_reader();
        }
    }

    pub(crate) fn local_address(&self) -> Option<&Address> {
        self.local.as_ref()
    }

    pub(crate) fn peer_address(&self) -> Option<&Address> {
        self.peer.as_ref()
    }

    /// The next bytes; `None` at the end, or when it is closed. A failure stays.
    pub(crate) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<RecvBuf>>> {
        if let Some(error) = self.read_error() {
            return Poll::Ready(Err(error));
        }
        if self.deaf.get() {
            return Poll::Ready(Ok(None));
        }
        let received = match self.stream() {
            Some(stream) => stream.poll_recv(cx),
            None if self.is_away() => Poll::Pending,
            None => return Poll::Ready(Ok(None)),
        };
        match received {
            Poll::Ready(Ok(bytes)) => {
                Poll::Ready(Ok(Some(bytes).filter(|bytes| !bytes.is_empty())))
            }
            Poll::Ready(Err(error)) => {
                *self.read_failed.borrow_mut() = Some(Failure::of(&error));
                Poll::Ready(Err(error))
            }
            Poll::Pending => {
                let stale = self.reader.replace(Some(cx.waker().clone()));
                drop(stale);
                Poll::Pending
            }
        }
    }

    /// Whoever waited for bytes waits no more.
    pub(crate) fn give_up_recv(&self) {
        if let Some(stream) = self.stream() {
            stream.give_up_recv();
        }
    }

    pub(crate) fn read_error(&self) -> Option<io::Error> {
        self.read_failed.borrow().as_ref().map(Failure::error)
    }

    /// Whether bytes have come that nobody has received, so that to let go of the stream would
    /// reset the connection.
    pub(crate) fn has_unread(&self) -> bool {
        self.stream().is_some_and(|stream| stream.has_unread())
    }

    /// From now on the reader finds the end behind what it has.
    pub(crate) fn stop_reading(&self) {
        self.deaf.set(true);
        self.wake_reader();
    }

    fn wake_reader(&self) {
        let reader = self.reader.take();
        if let Some(waker) = reader {
            waker.wake();
        }
    }

    /// Lets go of the stream, which sends what was handed over to it and closes.
    pub(crate) fn close(&self) {
        let place = self.place.replace(Place::Nowhere);
        drop(place);
        self.stop_reading();
    }
}

impl Drop for Link {
    /// The reader was the last that knew the stream. Its writer is gone without having seen that
    /// there was something to read.
    fn drop(&mut self) {
        let place = std::mem::replace(self.place.get_mut(), Place::Nowhere);
        let Place::Here(stream) = place else { return };
        let failed = self.read_failed.get_mut().is_some() || mutant!("unread-bytes-reset");
        if !failed && stream.has_unread() && context::with_core(|_| ()).is_some() {
            drop(spawn(close_forgotten(stream)).named("the end of a stream"));
        }
    }
}
