//! The stream that encrypts. What its handshake agreed on it tells in `facts.rs`.
//!
//! # Who polls what
//!
//! The two directions may belong to two tasks, and the carrier remembers one waker for each. So the
//! receiving side polls the carrier's `poll_recv` and nothing else with its own waker. What it has
//! to answer (an alert) goes out when the carrier has room, asked with the waker of the sending
//! task, which stays registered so; else behind the next bytes of that task, or at drop.
//!
//! A `poll_ready` that was ready *reserves* the carrier's room for the next `start_send`: nobody
//! else uses it, save the alert that ends the connection, after which nothing is sent any more.
//!
//! No foreign code, such as the carrier or a waker, is called while the session is borrowed.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, Waker, ready};

use uring_loop::buf::RecvBuf;
use uring_loop::io::{Address, ByteStream};

use crate::error::{self, Failure};
use crate::session::{Peer, Session};

/// The largest buffer whose memory is kept for the next send.
const SPARE: usize = 256 << 10;

/// A stream of bytes that is encrypted on its way, over a *carrier*: any other stream of bytes.
///
/// It is made by [`TlsConnector::connect`](crate::TlsConnector::connect) and
/// [`TlsAcceptor::accept`](crate::TlsAcceptor::accept), when the handshake is done, and is used as
/// every [`ByteStream`]: with `recv`, `send`, `flush` and `write_eof` of
/// [`ByteStreamExt`](uring_loop::io::ByteStreamExt), in two halves by
/// [`split`](uring_loop::io::split), as the carrier of another TLS stream.
///
/// # The end
///
/// TLS says good-bye: `write_eof` sends *close_notify* and then ends the carrier's direction, if
/// that can end alone. So the other side knows that it has everything. Its end of the stream is an
/// empty `recv`; a carrier that ends without close_notify is `UnexpectedEof`, since an attacker
/// could have cut it. Ours can be read from after `write_eof`, and written to after the peer's
/// close_notify.
///
/// # Drop
///
/// What was handed over is sent, and close_notify behind it. If the carrier has no room for
/// close_notify at that moment, a task of the loop waits for the room and keeps the carrier so
/// long; [`uring_loop::run`] waits for it as long as
/// [`shutdown_patience`](uring_loop::Builder::shutdown_patience) says. Dropped outside of a task,
/// there is nobody to wait, and the peer sees a cut connection. `write_eof` first, and you know.
///
/// [`abort`](ByteStream::abort) sends no close_notify.
///
/// # Examples
///
/// ```
/// use tls::{TlsAcceptor, TlsConnector, Version};
/// use uring_loop::io::{ByteStreamExt, duplex};
///
/// # fn load() -> std::io::Result<tls::Identity> {
/// #     let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
/// #     let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
/// #     tls::Identity::from_pem(chain.as_bytes(), key.as_bytes())
/// # }
/// uring_loop::run(async {
///     let identity = load()?; // elsewhere: Identity::from_pem_files("cert.pem", "key.pem")?
///     let connector = TlsConnector::builder().ca(identity.certificate().clone()).build()?;
///     let acceptor = TlsAcceptor::builder().identity(identity).build()?;
///     let (near, far) = duplex(1 << 16); // any stream of bytes
///     let (client, server) =
///         uring_loop::join((connector.connect("localhost", near), acceptor.accept(far))).await;
///     let (client, server) = (client?, server?);
///     assert_eq!(client.protocol_version(), Version::Tls13);
///
///     client.send("a secret".into()).await?;
///     client.write_eof().await?; // says that this is all
///     assert_eq!(&*server.recv().await?, b"a secret");
///     assert!(server.recv().await?.is_empty(), "the end, and nobody has cut it");
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub struct TlsStream<S: ByteStream + 'static> {
    /// Taken by drop.
    carrier: Option<S>,
    pub(crate) session: RefCell<Session>,
    /// What errors call the other side.
    peer: Box<str>,
    pub(crate) server_name: Option<Box<str>>,
    /// Decrypted before anybody asked. Never empty.
    early: Cell<Option<Vec<u8>>>,
    incoming: RefCell<Incoming>,
    outgoing: Cell<Outgoing>,
    /// The carrier has room, which is kept for the next buffer that is handed over.
    reserved: Cell<bool>,
    /// Who polled the sending direction last, and waits.
    sender: Cell<Option<Waker>>,
    /// The memory of a buffer that was sent.
    spare: Cell<Vec<u8>>,
}

/// The peer's direction.
#[derive(Clone, Debug)]
enum Incoming {
    Open,
    /// It has said close_notify.
    Ended,
    /// The carrier ended without it. Ours goes on.
    Cut(Failure),
    /// TLS itself has failed, in both directions.
    Broken(Failure),
}

/// Our direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outgoing {
    Open,
    /// close_notify is said, but not yet handed to the carrier, or the carrier is not at its end.
    Closing,
    Closed,
    Aborted,
}

impl<S: ByteStream + 'static> TlsStream<S> {
    pub(crate) fn new(
        session: Session,
        carrier: S,
        peer: String,
        server_name: Option<String>,
        early: Vec<u8>,
        state: Peer,
    ) -> Self {
        let incoming = match state {
            Peer::Open => Incoming::Open,
            Peer::Closed => Incoming::Ended,
        };
        TlsStream {
            carrier: Some(carrier),
            session: RefCell::new(session),
            peer: peer.into(),
            server_name: server_name.map(Into::into),
            early: Cell::new((!early.is_empty()).then_some(early)),
            incoming: RefCell::new(incoming),
            outgoing: Cell::new(Outgoing::Open),
            reserved: Cell::new(false),
            sender: Cell::new(None),
            spare: Cell::default(),
        }
    }

    /// The stream under this one. Looking at it and setting options is fine, moving bytes through
    /// it is not.
    #[doc(alias = "get_ref")]
    pub fn carrier(&self) -> &S {
        self.carrier.as_ref().expect("it is there until drop")
    }

    /// Takes new keys, and asks the peer to do so. That goes out in front of the next bytes, or at
    /// the next flush. Without it, keys are renewed when they have encrypted all they should.
    ///
    /// # Errors
    ///
    /// `InvalidData` under TLS 1.2, which cannot do this.
    pub fn update_keys(&self) -> io::Result<()> {
        let updated = self.session.borrow_mut().update_keys();
        updated.map_err(|error| error::explain(&error, &self.peer).error())
    }

    /// The failure of TLS, which ends both directions.
    fn check_unbroken(&self) -> io::Result<()> {
        match &*self.incoming.borrow() {
            Incoming::Broken(failure) => Err(failure.error()),
            _ => Ok(()),
        }
    }

    fn check_open(&self) -> io::Result<()> {
        self.check_unbroken()?;
        match self.outgoing.get() {
            Outgoing::Open | Outgoing::Aborted => Ok(()),
            Outgoing::Closing | Outgoing::Closed => Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "this direction of the TLS stream was shut down",
            )),
        }
    }

    /// Takes in what the carrier has brought; gives what it says.
    fn take_in(&self, bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        let taken = self.session.borrow_mut().take_in(bytes, &mut plain);
        match taken {
            Ok(Peer::Open) => {}
            Ok(Peer::Closed) => *self.incoming.borrow_mut() = Incoming::Ended,
            Err(error) => {
                let failure = error::explain(&error, &self.peer);
                *self.incoming.borrow_mut() = Incoming::Broken(failure);
            }
        }
        plain
    }

    /// Sends what the session has to say to what came in, if there is room, and without waiting.
    fn answer(&self) {
        let broken = self.check_unbroken().is_err();
        // The sender's waker, for it is the one that waits for room.
        let sender = self.sender.take();
        if self.session.borrow().has_output() && (broken || !self.reserved.get()) {
            let waker = sender.as_ref().unwrap_or(Waker::noop());
            let room = self.poll_reserve(&mut Context::from_waker(waker));
            if let Poll::Ready(Ok(())) = room {
                // An error is told by the sender's next poll.
                let _ = self.send_output();
            }
        }
        // It has something to learn, or its room was used.
        if let Some(sender) = sender {
            sender.wake();
        }
    }

    fn poll_reserve(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.reserved.get() {
            ready!(self.carrier().poll_ready(cx))?;
            self.reserved.set(true);
        }
        Poll::Ready(Ok(()))
    }

    /// Hands the session's output to the carrier, whose room is reserved.
    fn send_output(&self) -> io::Result<()> {
        let mut output = self.carrier().spare_buffer();
        self.session.borrow_mut().take_output(&mut output);
        self.reserved.set(false);
        self.carrier().start_send(output)
    }

    /// Hands over what the session has to say.
    fn poll_say(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.session.borrow().has_output() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_reserve(cx))?;
        Poll::Ready(self.send_output())
    }

    fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.outgoing.get() == Outgoing::Open {
            self.outgoing.set(Outgoing::Closing);
            self.session.borrow_mut().close();
        }
        ready!(self.poll_say(cx))?;
        // A carrier that cannot end one direction alone stays open, for what is still to come.
        if self.carrier().can_half_close() {
            ready!(self.carrier().poll_shutdown(cx))?;
        } else {
            ready!(self.carrier().poll_flush(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Remembers who waits to send.
    fn waiting<T>(&self, polled: Poll<T>, cx: &Context<'_>) -> Poll<T> {
        if polled.is_pending() {
            let fresh = cx.waker().clone();
            drop(self.sender.replace(Some(fresh)));
        }
        polled
    }
}

impl<S: ByteStream + 'static> ByteStream for TlsStream<S> {
    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        loop {
            if let Some(plain) = self.early.take() {
                return Poll::Ready(Ok(RecvBuf::from(plain)));
            }
            match &*self.incoming.borrow() {
                Incoming::Open => {}
                Incoming::Ended => return Poll::Ready(Ok(RecvBuf::from(Vec::new()))),
                Incoming::Cut(failure) | Incoming::Broken(failure) => {
                    return Poll::Ready(Err(failure.error()));
                }
            }
            let bytes = ready!(self.carrier().poll_recv(cx))?;
            if bytes.is_empty() {
                *self.incoming.borrow_mut() = Incoming::Cut(Failure::truncated(&self.peer));
                continue;
            }
            let plain = self.take_in(&bytes);
            if self.session.borrow().has_output() || self.check_unbroken().is_err() {
                self.answer();
            }
            if !plain.is_empty() {
                return Poll::Ready(Ok(RecvBuf::from(plain)));
            }
        }
    }

    fn give_up_recv(&self) {
        self.carrier().give_up_recv();
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_open()?;
        self.waiting(self.poll_reserve(cx), cx)
    }

    fn start_send(&self, mut buffer: Vec<u8>) -> io::Result<()> {
        self.check_open()?;
        if !buffer.is_empty() {
            let room = self.poll_reserve(&mut Context::from_waker(Waker::noop()));
            let Poll::Ready(room) = room else {
                panic!("start_send before poll_ready was ready: there is no room");
            };
            room?;
            let mut output = self.carrier().spare_buffer();
            let encrypted = self.session.borrow_mut().encrypt(&buffer, &mut output);
            if let Err(error) = encrypted {
                let failure = error::explain(&error, &self.peer);
                *self.incoming.borrow_mut() = Incoming::Broken(failure.clone());
                return Err(failure.error());
            }
            self.reserved.set(false);
            self.carrier().start_send(output)?;
        }
        if buffer.capacity() <= SPARE {
            buffer.clear();
            self.spare.set(buffer);
        }
        Ok(())
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_unbroken()?;
        if self.outgoing.get() != Outgoing::Closed {
            ready!(self.waiting(self.poll_say(cx), cx))?;
        }
        self.waiting(self.carrier().poll_flush(cx), cx)
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.outgoing.get() == Outgoing::Closed {
            return Poll::Ready(Ok(()));
        }
        self.check_unbroken()?;
        let closed = self.waiting(self.poll_close(cx), cx);
        if let Poll::Ready(Ok(())) = closed {
            self.outgoing.set(Outgoing::Closed);
        }
        closed
    }

    fn abort(&self) {
        self.outgoing.set(Outgoing::Aborted);
        self.reserved.set(false);
        self.carrier().abort();
    }

    fn has_unread(&self) -> bool {
        let early = self.early.take();
        let any = early.is_some();
        self.early.set(early);
        any || self.carrier().has_unread()
    }

    fn spare_buffer(&self) -> Vec<u8> {
        self.spare.take()
    }

    fn local_address(&self) -> Option<Address> {
        self.carrier().local_address()
    }

    fn peer_address(&self) -> Option<Address> {
        self.carrier().peer_address()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.carrier().descriptor()
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl<S: ByteStream + 'static> Drop for TlsStream<S> {
    fn drop(&mut self) {
        let Some(carrier) = self.carrier.take() else { return };
        if matches!(self.outgoing.get(), Outgoing::Closed | Outgoing::Aborted) {
            return;
        }
        let session = self.session.get_mut();
        session.close();
        let mut last = Vec::new();
        session.take_output(&mut last);
        if last.is_empty() {
            return;
        }
        let room = match self.reserved.get() {
            true => Poll::Ready(Ok(())),
            false => carrier.poll_ready(&mut Context::from_waker(Waker::noop())),
        };
        match room {
            // A peer that is gone does not miss it.
            Poll::Ready(Ok(())) => drop(carrier.start_send(last)),
            Poll::Ready(Err(_)) => {}
            Poll::Pending if uring_loop::current_task().is_some() => {
                drop(uring_loop::spawn(send_last(carrier, last)));
            }
            Poll::Pending => {}
        }
    }
}

/// Sends the last words of a stream that was dropped while its carrier had no room.
///
/// The end of the loop asks every task to end, and waits for them as long as its patience lasts:
/// that is the time that these words have, so the request is not heeded.
async fn send_last<S: ByteStream + 'static>(carrier: S, last: Vec<u8>) {
    loop {
        let room = poll_fn(|cx| carrier.poll_ready(cx));
        if let Ok(room) = uring_loop::catch_cancel(room).await {
            if room.is_ok() {
                drop(carrier.start_send(last));
            }
            return;
        }
    }
}

impl<S: ByteStream + 'static> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("peer", &self.peer)
            .field("version", &self.protocol_version())
            .field("incoming", &self.incoming.borrow())
            .field("outgoing", &self.outgoing.get())
            .finish_non_exhaustive()
    }
}
