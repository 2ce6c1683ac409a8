//! A stream whose first bytes have been read already, and are put back.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};

use super::{Address, ByteStream};
use crate::driver::recvbuf::RecvBuf;

/// A stream with bytes in front of it: they are received first, then what the stream itself
/// receives. All else is the stream's.
///
/// # Examples
///
/// ```
/// use uring_loop::io::{ByteStreamExt, Rewound, duplex};
///
/// uring_loop::run(async {
///     let (one, other) = duplex(4096);
///     other.send("GET / HTTP/1.1\r\n".into()).await?;
///     let first = one.recv().await?;
///     // That was a look at what the peer speaks.
///     let stream = Rewound::new(first.to_vec(), one);
///     assert!(stream.recv().await?.starts_with(b"GET"));
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub struct Rewound<S> {
    /// None when they were received, or there are none.
    front: Cell<Option<Vec<u8>>>,
    stream: S,
}

impl<S> Rewound<S> {
    /// Puts `front` before what `stream` receives.
    pub fn new(front: Vec<u8>, stream: S) -> Self {
        Rewound { front: Cell::new(Some(front).filter(|front| !front.is_empty())), stream }
    }

    /// The stream.
    pub fn stream(&self) -> &S {
        &self.stream
    }
}

impl<S: ByteStream> ByteStream for Rewound<S> {
    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        match self.front.take() {
            Some(front) => Poll::Ready(Ok(RecvBuf::from(front))),
            None => self.stream.poll_recv(cx),
        }
    }

    fn give_up_recv(&self) {
        self.stream.give_up_recv();
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_ready(cx)
    }

    fn start_send(&self, buffer: Vec<u8>) -> io::Result<()> {
        self.stream.start_send(buffer)
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush(cx)
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_shutdown(cx)
    }

    fn abort(&self) {
        self.stream.abort();
    }

    fn can_half_close(&self) -> bool {
        self.stream.can_half_close()
    }

    fn has_unread(&self) -> bool {
        let front = self.front.take();
        let any = front.is_some();
        self.front.set(front);
        any || self.stream.has_unread()
    }

    fn spare_buffer(&self) -> Vec<u8> {
        self.stream.spare_buffer()
    }

    fn local_address(&self) -> Option<Address> {
        self.stream.local_address()
    }

    fn peer_address(&self) -> Option<Address> {
        self.stream.peer_address()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.stream.descriptor()
    }

    /// The stream's.
    fn as_any(&self) -> Option<&dyn Any> {
        self.stream.as_any()
    }
}

impl<S: fmt::Debug> fmt::Debug for Rewound<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rewound").field("stream", &self.stream).finish_non_exhaustive()
    }
}
