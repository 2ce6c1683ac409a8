//! Pipes as connections for protocols. Each goes in one direction.

use super::connection::run;
use super::create::begin;
use super::{Protocol, Transport};
use crate::pipe::{PipeReader, PipeStream, PipeWriter};
use crate::task::Task;

/// Gives the end of a pipe that is read a protocol, as [`connect`](super::connect) does.
///
/// The connection is closed behind the pipe's end, whatever
/// [`eof_received`](Protocol::eof_received) answers. What is written to its transport goes nowhere:
/// that is `BrokenPipe`, and ends it.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Strict: the pipe of a dropped call is closed.
///
/// # Examples
///
/// ```
/// use uring_loop::buf::RecvBuf;
/// use uring_loop::pipe::pipe;
/// use uring_loop::protocol::{Protocol, connect_read_pipe, connect_write_pipe};
///
/// #[derive(Default)]
/// struct Keep(Vec<u8>);
///
/// impl Protocol for Keep {
///     fn data_received(&mut self, data: RecvBuf) {
///         self.0.extend_from_slice(&data);
///     }
/// }
///
/// uring_loop::run(async {
///     let (reader, writer) = pipe()?;
///     let (_, reading) = connect_read_pipe(Keep::default(), reader).await;
///     let (transport, writing) = connect_write_pipe(Keep::default(), writer).await;
///     transport.write("through a pipe");
///     transport.close();
///     assert_eq!(reading.await?.0, b"through a pipe");
///     assert!(writing.await?.0.is_empty());
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub async fn connect_read_pipe<P: Protocol>(
    protocol: P,
    reader: PipeReader,
) -> (Transport, Task<P>) {
    begin(reading(reader), |transport, told| run(protocol, transport, || drop(told))).await
}

/// Gives the end of a pipe that is written a protocol, as [`connect`](super::connect) does.
///
/// Nothing is received. When nobody has the other end open any more, the connection is lost:
/// without an error, or with `BrokenPipe` if something was still to be sent.
/// [`write_eof`](Transport::write_eof) closes it, as there is nothing else to end.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Strict: the pipe of a dropped call is closed.
///
/// # Examples
///
/// See [`connect_read_pipe`].
pub async fn connect_write_pipe<P: Protocol>(
    protocol: P,
    writer: PipeWriter,
) -> (Transport, Task<P>) {
    begin(writing(writer), |transport, told| run(protocol, transport, || drop(told))).await
}

pub(super) fn reading(reader: PipeReader) -> Transport {
    Transport::new(PipeStream::read_only(reader))
}

pub(super) fn writing(writer: PipeWriter) -> Transport {
    Transport::write_only(PipeStream::write_only(writer))
}
