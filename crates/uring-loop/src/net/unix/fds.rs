//! Passing descriptors over a Unix stream (`SCM_RIGHTS`, unix(7)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::UnixStream;
use crate::driver::buf::{IoBuf, IoBufMut};
use crate::net::limits::Side;
use crate::ops::control::{Control, MOST_DESCRIPTORS, too_many};
use crate::ops::message::{RecvMessage, SendMessage};

/// What [`UnixStream::recv_with_fds`] has received.
#[derive(Debug)]
#[non_exhaustive]
pub struct ReceivedFds {
    /// Bytes in the buffer; 0 is the end of the stream.
    pub count: usize,
    /// The descriptors that came with them, close-on-exec. Those that nobody takes are closed.
    pub fds: Vec<OwnedFd>,
    /// There were more descriptors, but no room for them: in the call, or in this process's table
    /// of descriptors (EMFILE). The kernel has closed them.
    pub truncated: bool,
}

impl UnixStream {
    /// Sends a whole buffer, and descriptors with its first byte (`IORING_OP_SENDMSG`, 5.3). The
    /// other end gets descriptors of its own for the same open files: a listener, a connection, a
    /// memfd.
    ///
    /// What is handed over stays with the operation until it is over and comes back with the
    /// buffer; it is closed by being dropped, as ever. Anything that owns a descriptor will do: an
    /// `OwnedFd`, a [`TcpStream`](crate::net::TcpStream), an `Rc<File>`.
    ///
    /// # Errors
    ///
    /// Those of sendmsg(2): ETOOMANYREFS if too many are on their way unreceived. `InvalidInput`
    /// for more than 253 descriptors, and for an empty buffer, which cannot carry any.
    ///
    /// # Cancel safety
    ///
    /// Weak: dropped in flight it is cancelled, and some bytes and the descriptors may have been
    /// sent.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Read;
    /// use uring_loop::net::UnixStream;
    ///
    /// uring_loop::run(async {
    ///     let (mut one, mut other) = UnixStream::pair()?;
    ///     let file = std::fs::File::open("/proc/self/comm")?;
    ///     one.send_with_fds("take this", vec![file]).await.0?;
    ///     let (received, buffer) = other.recv_with_fds(Vec::with_capacity(64), 1).await;
    ///     let mut received = received?;
    ///     assert_eq!(buffer, b"take this");
    ///     let mut name = String::new();
    ///     std::fs::File::from(received.fds.remove(0)).read_to_string(&mut name)?;
    ///     assert!(!name.is_empty());
    ///     Ok::<(), std::io::Error>(())
    /// })?
    /// # ; Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "send_fds")]
    #[doc(alias = "SCM_RIGHTS")]
    pub async fn send_with_fds<B: IoBuf, F: AsFd + 'static>(
        &mut self,
        mut buffer: B,
        mut fds: Vec<F>,
    ) -> (io::Result<()>, B, Vec<F>) {
        if fds.len() > MOST_DESCRIPTORS {
            return (Err(too_many(fds.len())), buffer, fds);
        }
        if buffer.bytes().is_empty() {
            let text = "descriptors travel with a byte: give at least one";
            return (Err(io::Error::new(io::ErrorKind::InvalidInput, text)), buffer, fds);
        }
        if let Err(error) = self.0.sent_ahead().await {
            return (Err(error), buffer, fds);
        }
        let mut sent = 0;
        while sent == 0 {
            let control = match fds.len() {
                0 => Control::NONE,
                _ => Control::descriptors(fds.iter().map(|fd| fd.as_fd().as_raw_fd())),
            };
            let op = SendMessage::new(self.as_raw_fd(), buffer, None, control, fds);
            let (result, (buffer_back, fds_back)) = self.0.send(op).await;
            (buffer, fds) = (buffer_back, fds_back);
            match result {
                Ok(count) => sent = count,
                Err(error) => return (Err(error), buffer, fds),
            }
        }
        let (result, mut back) = self.0.write_all_vectored(vec![buffer], sent).await;
        (result, back.pop().expect("the buffer comes back"), fds)
    }

    /// Receives bytes and the descriptors that come with them, at most so many
    /// (`IORING_OP_RECVMSG`, 5.3). The bytes of one such call stop where those end that the
    /// descriptors were sent with.
    ///
    /// Every other way to receive drops descriptors that come with the bytes, in the kernel. So
    /// who expects some uses this from the moment on when they may come; [`read`](Self::read) may
    /// come before, but [`recv`](Self::recv), which receives ahead, may not.
    ///
    /// # Errors
    ///
    /// Those of recvmsg(2); `TimedOut`; `InvalidInput` for a buffer without room, for more than 253
    /// descriptors, and on a stream that has used [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// Weak: dropped in flight it is cancelled, but bytes that arrive at that moment are lost.
    /// Descriptors are closed, not leaked.
    #[doc(alias = "recv_fds")]
    pub async fn recv_with_fds<B: IoBufMut>(
        &mut self,
        mut buffer: B,
        most: usize,
    ) -> (io::Result<ReceivedFds>, B) {
        if let Err(error) = self.can_receive_fds(&mut buffer, most) {
            return (Err(error), buffer);
        }
        loop {
            let control = Control::room_for_descriptors(most);
            let op = RecvMessage::of_stream(self.as_raw_fd(), buffer, control);
            let (result, back) = self.0.timed(Side::Read, op).await;
            if self.0.comes_again(&result).await {
                buffer = back;
                continue;
            }
            let received = result.map(|message| ReceivedFds {
                count: message.count,
                fds: message.arrived.descriptors,
                truncated: message.control_lost,
            });
            return (received, back);
        }
    }

    fn can_receive_fds(&self, buffer: &mut impl IoBufMut, most: usize) -> io::Result<()> {
        let bad = |text| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        if most > MOST_DESCRIPTORS {
            return Err(too_many(most));
        }
        if buffer.spare().1 == 0 {
            return bad("a read into no room at all");
        }
        if self.0.has_received() {
            return bad(
                "this stream receives ahead since `recv` was used on it, and drops descriptors: \
                 use recv_with_fds, or read before it, from the start",
            );
        }
        Ok(())
    }
}
