//! The methods that a TCP stream and a Unix stream share. They are written once, here; each hands
//! on to `connected.rs`.

/// Implements them for a type whose field `0` is a [`Connected`](super::connected::Connected).
macro_rules! stream_methods {
    ($Stream:ident) => {
        impl $Stream {
            /// Waits for bytes and gives them in a buffer of the loop; an empty one is the end of
            /// the stream (`IORING_OP_RECV`, multishot with provided buffers: 6.0).
            ///
            /// # Errors
            ///
            /// Those of recv(2); `TimedOut` after a read or idle timeout.
            ///
            /// # Cancel safety
            ///
            /// Strict: dropping it loses no byte.
            pub fn recv(&mut self) -> Recv<'_> {
                self.0.recv()
            }

            /// Fills a buffer of the caller's with what is there, from its start, and answers how
            /// many bytes that is; 0 is the end of the stream. The buffer comes back in any case.
            ///
            /// On a stream that never used [`recv`](Self::recv) the kernel writes straight into
            /// the buffer.
            ///
            /// # Errors
            ///
            /// Those of recv(2); `InvalidInput` for a buffer without room; `TimedOut`.
            ///
            /// # Cancel safety
            ///
            /// Weak: dropped in flight it is cancelled, but bytes that arrive at that moment are
            /// lost. Use [`recv`](Self::recv) where that matters.
            pub async fn read<B: IoBufMut>(&mut self, buffer: B) -> (io::Result<usize>, B) {
                self.0.read(buffer).await
            }

            /// Waits until there is something to receive, or the end, and takes nothing
            /// (`IORING_OP_POLL_ADD`, 5.1). Meanwhile nobody holds a buffer: for who
            /// [reads](Self::read) into buffers of its own, with many streams that are idle.
            ///
            /// A stream that has ever used [`recv`](Self::recv) receives ahead, and waits for that.
            ///
            /// # Errors
            ///
            /// Those of recv(2), if it receives ahead; `TimedOut` after a read or idle timeout.
            ///
            /// # Cancel safety
            ///
            /// Strict: nothing is taken.
            ///
            /// # Examples
            ///
            /// ```
            /// use uring_loop::net::UnixStream;
            ///
            /// uring_loop::run(async {
            ///     let (mut one, mut other) = UnixStream::pair()?;
            ///     other.write_all("hello").await.0?;
            ///     one.readable().await?;
            ///     let (count, buffer) = one.read(Vec::with_capacity(64)).await;
            ///     assert_eq!((count?, buffer), (5, b"hello".to_vec()));
            ///     Ok::<(), std::io::Error>(())
            /// })?
            /// # ; Ok::<(), std::io::Error>(())
            /// ```
            pub async fn readable(&mut self) -> io::Result<()> {
                self.0.readable().await
            }

            /// Sends a whole buffer (`IORING_OP_SEND`, 5.6) and gives it back.
            ///
            /// Anything that owns bytes will do: a `Vec`, a `&'static str`, the
            /// [`RecvBuf`](crate::buf::RecvBuf) of a `recv`.
            ///
            /// # Errors
            ///
            /// Those of send(2); `TimedOut` after a write or idle timeout. Some bytes may have
            /// been sent.
            ///
            /// # Cancel safety
            ///
            /// Weak: dropped in flight it is cancelled, and some bytes may have been sent.
            pub fn write_all<B: IoBuf>(&mut self, buffer: B) -> WriteAll<'_, B> {
                self.0.write_all(buffer)
            }

            /// Sends several buffers one behind the other (`IORING_OP_SENDMSG`, 5.3), as much of
            /// them as the kernel takes, and answers how many bytes that was.
            ///
            /// # Errors
            ///
            /// As [`write_all`](Self::write_all).
            ///
            /// # Cancel safety
            ///
            /// Weak, as [`write_all`](Self::write_all).
            pub async fn write_vectored<B: IoBuf>(
                &mut self,
                buffers: Vec<B>,
            ) -> (io::Result<usize>, Vec<B>) {
                self.0.write_vectored(buffers).await
            }

            /// Sends several buffers completely, one behind the other.
            ///
            /// # Errors
            ///
            /// As [`write_all`](Self::write_all).
            ///
            /// # Cancel safety
            ///
            /// Weak, as [`write_all`](Self::write_all).
            pub async fn write_all_vectored<B: IoBuf>(
                &mut self,
                buffers: Vec<B>,
            ) -> (io::Result<()>, Vec<B>) {
                self.0.write_all_vectored(buffers, 0).await
            }

            /// Sends a part of a file, from `offset` on, and answers how many bytes that was: fewer
            /// than `length` if the file ends before. The file is read in pieces
            /// (`IORING_OP_READ`, 5.6), the next one while one is sent; its own position stays.
            ///
            /// `file` may be closed as soon as the call has begun.
            ///
            /// # Errors
            ///
            /// Those of dup(2), pread(2) and send(2); `TimedOut`. Some bytes may have been sent.
            ///
            /// # Cancel safety
            ///
            /// Weak: some bytes may have been sent.
            #[doc(alias = "sendfile")]
            pub async fn send_file(
                &mut self,
                file: impl AsFd,
                offset: u64,
                length: u64,
            ) -> io::Result<u64> {
                self.0.send_file(file.as_fd(), offset, length).await
            }

            /// Ends one or both directions (`IORING_OP_SHUTDOWN`, 5.11).
            ///
            /// # Errors
            ///
            /// Those of shutdown(2).
            ///
            /// # Cancel safety
            ///
            /// Weak: it may have happened.
            pub async fn shutdown(&mut self, how: Shutdown) -> io::Result<()> {
                self.0.shutdown(how).await
            }

            /// Two halves that one task, or two branches of a join, can use at the same time.
            pub fn split(&mut self) -> (RecvHalf<&$Stream>, SendHalf<&$Stream>) {
                (RecvHalf(self), SendHalf(self))
            }

            /// Two halves that two tasks can own. The socket closes when both are gone.
            pub fn into_split(self) -> (RecvHalf<Rc<$Stream>>, SendHalf<Rc<$Stream>>) {
                let stream = Rc::new(self);
                (RecvHalf(stream.clone()), SendHalf(stream))
            }

            /// How long a receive may wait before it fails with `TimedOut`. The stream stays
            /// usable.
            pub fn set_read_timeout(&mut self, limit: Option<Duration>) {
                self.0.set_timeout(Side::Read, limit);
            }

            /// How long a write may wait before it fails with `TimedOut`.
            pub fn set_write_timeout(&mut self, limit: Option<Duration>) {
                self.0.set_timeout(Side::Write, limit);
            }

            /// How long no byte may move in either direction before what waits fails with
            /// `TimedOut`.
            pub fn set_idle_timeout(&mut self, limit: Option<Duration>) {
                self.0.set_idle_timeout(limit);
            }

            /// The socket, for every other option.
            pub fn socket(&self) -> SockRef<'_> {
                SockRef::from(&self.0)
            }

            /// Takes over a connected socket that somebody else made: one that was inherited, or
            /// received from another process.
            ///
            /// # Panics
            ///
            /// If no loop runs on this thread.
            #[track_caller]
            pub fn from_owned_fd(fd: OwnedFd) -> Self {
                Self::new(Fd::from_owned(Driver::current(), fd))
            }

            pub(super) fn new(fd: Fd) -> Self {
                $Stream(Connected::new(fd))
            }
        }

        impl Stream for $Stream {
            fn connected(&self) -> &Connected {
                &self.0
            }
        }

        impl AsFd for $Stream {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        impl AsRawFd for $Stream {
            fn as_raw_fd(&self) -> RawFd {
                self.0.raw()
            }
        }

        impl fmt::Debug for $Stream {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($Stream)).field(&self.0).finish()
            }
        }
    };
}

pub(super) use stream_methods;
