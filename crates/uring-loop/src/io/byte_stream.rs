//! What every stream of bytes can do, in polls.

use std::any::Any;
use std::io;
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::Address;
use crate::driver::recvbuf::RecvBuf;

/// Bytes in both directions.
///
/// It is what TCP, Unix sockets, pipes, TLS and memory have in common, and what readers, writers,
/// transports and TLS are built on. It is made of polls, so that layers compose without allocating
/// and without losing bytes when somebody stops waiting. [`ByteStreamExt`](super::ByteStreamExt)
/// has the same as futures.
///
/// # Two directions
///
/// All methods take `&self`: the directions are independent, and two tasks may use one each, by an
/// `Rc` of the stream or by [`split`](super::split). Each direction remembers one waker, that of
/// its last poll; so *one* task at a time polls [`poll_recv`](Self::poll_recv), and one the others.
///
/// # Sending
///
/// A buffer is *handed over* by [`start_send`](Self::start_send), when
/// [`poll_ready`](Self::poll_ready) was ready. From then on it needs nobody: its bytes are
/// submitted at once, what the other side has no room for follows when it has, and **a stream that
/// is dropped still sends what was handed over** before it closes. ([`abort`](Self::abort) gives it
/// up.) The end of the loop waits for it, as long as
/// [`shutdown_patience`](crate::Builder::shutdown_patience) says.
///
/// An error of a send is told by the next poll of the sending direction, and stays.
///
/// # For who implements it
///
/// [`testing::check_byte_stream`](crate::testing::check_byte_stream) holds a stream to all of this.
///
/// # Examples
///
/// A function over any stream, be it TCP, a pipe, TLS or memory:
///
/// ```
/// use std::io;
/// use uring_loop::io::{ByteStream, ByteStreamExt, duplex};
///
/// /// Sends back what comes, until the end.
/// async fn echo(stream: impl ByteStream) -> io::Result<()> {
///     loop {
///         let bytes = stream.recv().await?;
///         if bytes.is_empty() {
///             return stream.write_eof().await;
///         }
///         stream.send(bytes.to_vec()).await?;
///     }
/// }
///
/// uring_loop::run(async {
///     let (here, there) = duplex(4096);
///     let server = uring_loop::spawn(echo(there));
///     here.send("hello".into()).await?;
///     assert_eq!(&*here.recv().await?, b"hello");
///     here.write_eof().await?;
///     server.await?
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub trait ByteStream {
    /// The next bytes, in a buffer lent by the loop; an empty one is the end, and stays.
    ///
    /// Losing interest after `Pending` loses no byte.
    ///
    /// # Errors
    ///
    /// Those of the stream, such as `ConnectionReset`.
    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>>;

    /// Whoever was told to wait for bytes waits no more. A read timeout runs from the first
    /// [`poll_recv`](Self::poll_recv) that is pending, and begins anew after this. Futures that
    /// poll say it when they are dropped while they wait.
    fn give_up_recv(&self) {}

    /// Ready when a buffer may be handed over: when the kernel has taken the last one. (A kind of
    /// stream that keeps a bounded queue of its own may be ready earlier.)
    ///
    /// # Errors
    ///
    /// What came of earlier sends; `BrokenPipe` after [`poll_shutdown`](Self::poll_shutdown).
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Hands bytes over. They are submitted without a further poll. An empty buffer is nothing.
    ///
    /// # Errors
    ///
    /// As [`poll_ready`](Self::poll_ready).
    ///
    /// # Panics
    ///
    /// If `poll_ready` was not ready since the last buffer was handed over.
    fn start_send(&self, buffer: Vec<u8>) -> io::Result<()>;

    /// Ready when the kernel has everything that was handed over.
    ///
    /// # Errors
    ///
    /// What came of earlier sends.
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Flushes, then ends our direction: the other side reads the end behind the last byte. Ours
    /// can still be read from.
    ///
    /// # Errors
    ///
    /// As [`poll_flush`](Self::poll_flush), and those of the ending. Once it was `Ok`, it stays so.
    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Gives up what was handed over and is not sent yet; sending fails from now on. To be followed
    /// by dropping the stream.
    fn abort(&self);

    /// Whether one direction can end while the other goes on.
    fn can_half_close(&self) -> bool {
        true
    }

    /// Whether bytes have come that nobody has received. A socket that is closed with such resets
    /// the connection: [`ByteStreamExt::close`](super::ByteStreamExt::close) says what that costs,
    /// and what helps. A kind of stream that cannot be reset has no need to say.
    fn has_unread(&self) -> bool {
        false
    }

    /// An empty vector to fill for the next send: with the memory of one that was sent, if the
    /// stream has kept any.
    fn spare_buffer(&self) -> Vec<u8> {
        Vec::new()
    }

    /// The address of this end.
    fn local_address(&self) -> Option<Address> {
        None
    }

    /// The address of the other end.
    fn peer_address(&self) -> Option<Address> {
        None
    }

    /// The descriptor that bytes go through in the end, if there is one. Looking at it and setting
    /// options is fine, moving bytes through it is not.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// The stream as its own type, for what only that type can tell: a certificate, say.
    fn as_any(&self) -> Option<&dyn Any> {
        None
    }
}

/// The same through a pointer.
macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<S: ByteStream + ?Sized> ByteStream for $pointer {
            fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
                self.deref().poll_recv(cx)
            }

            fn give_up_recv(&self) {
                self.deref().give_up_recv();
            }

            fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.deref().poll_ready(cx)
            }

            fn start_send(&self, buffer: Vec<u8>) -> io::Result<()> {
                self.deref().start_send(buffer)
            }

            fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.deref().poll_flush(cx)
            }

            fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.deref().poll_shutdown(cx)
            }

            fn abort(&self) {
                self.deref().abort();
            }

            fn can_half_close(&self) -> bool {
                self.deref().can_half_close()
            }

            fn has_unread(&self) -> bool {
                self.deref().has_unread()
            }

            fn spare_buffer(&self) -> Vec<u8> {
                self.deref().spare_buffer()
            }

            fn local_address(&self) -> Option<Address> {
                self.deref().local_address()
            }

            fn peer_address(&self) -> Option<Address> {
                self.deref().peer_address()
            }

            fn descriptor(&self) -> Option<BorrowedFd<'_>> {
                self.deref().descriptor()
            }

            fn as_any(&self) -> Option<&dyn Any> {
                self.deref().as_any()
            }
        }
    )*};
}
forward!(Rc<S>, Box<S>, &S);
