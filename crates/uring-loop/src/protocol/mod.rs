//! L5: connections that call back: asyncio's transports and protocols.
//!
//! A [`Protocol`] is what a program does with a connection: the loop calls it when there is
//! something to do. A [`Transport`] is how it answers. [`create_server`] makes a protocol for each
//! connection that comes, [`create_connection`] one for a connection that it makes; [`serve`] and
//! [`connect`] do so for any [`Listener`](crate::io::Listener) and
//! [`ByteStream`](crate::io::ByteStream): Unix sockets, TLS.
//!
//! Pipes are connections of one direction: [`connect_read_pipe`], [`connect_write_pipe`]. What has
//! no stream of bytes has protocols and transports of its own: datagram sockets
//! ([`create_datagram_endpoint`], [`DatagramProtocol`]) and children ([`subprocess_exec`],
//! [`SubprocessProtocol`]).
//!
//! Each connection is one task, which makes all calls: [`Protocol::connection_made`] first, then
//! the others, [`Protocol::connection_lost`] once and last. No call begins before the last one has
//! returned; so what a call does, such as writing too much, is told (`pause_writing`) after it.
//!
//! # Examples
//!
//! ```
//! use uring_loop::buf::RecvBuf;
//! use uring_loop::protocol::{Protocol, Transport, create_connection, create_server};
//!
//! /// Sends back what comes.
//! #[derive(Default)]
//! struct Echo(Option<Transport>);
//!
//! impl Protocol for Echo {
//!     fn connection_made(&mut self, transport: Transport) {
//!         self.0 = Some(transport);
//!     }
//!
//!     fn data_received(&mut self, data: RecvBuf) {
//!         self.0.as_ref().unwrap().write(&data);
//!     }
//! }
//!
//! /// Keeps what comes.
//! #[derive(Default)]
//! struct Keep(Vec<u8>);
//!
//! impl Protocol for Keep {
//!     fn data_received(&mut self, data: RecvBuf) {
//!         self.0.extend_from_slice(&data);
//!     }
//! }
//!
//! uring_loop::run(async {
//!     let server = create_server(Echo::default, "127.0.0.1:0").await?;
//!     let address = server.addresses()[0].ip().unwrap();
//!     let (transport, connection) = create_connection(Keep::default, address).await?;
//!     transport.write("hello");
//!     transport.write_eof(); // the echo closes when it has sent everything back
//!     assert_eq!(connection.await?.0, b"hello");
//!     Ok::<(), std::io::Error>(())
//! })?
//! # ; Ok::<(), std::io::Error>(())
//! ```

mod connection;
mod create;
mod datagram;
mod events;
mod pipes;
mod subprocess;
mod successor;
mod transport;

use std::io;

pub use create::{connect, create_connection, create_server, serve};
pub use datagram::{
    DatagramProtocol, DatagramTransport, EndpointSocket, connect_datagram_endpoint,
    create_datagram_endpoint, datagram_endpoint,
};
pub use pipes::{connect_read_pipe, connect_write_pipe};
pub use subprocess::{StdPipe, SubprocessProtocol, SubprocessTransport, subprocess_exec};
pub use transport::Transport;

use crate::io::RecvBuf;

/// What is done with a connection. The loop calls; none of the calls may block.
///
/// One that panics is reported, dropped, and costs its own connection, which is aborted.
///
/// # Examples
///
/// A protocol that counts lines, and answers at the end:
///
/// ```
/// use uring_loop::buf::RecvBuf;
/// use uring_loop::io::duplex;
/// use uring_loop::protocol::{Protocol, Transport, connect};
/// use uring_loop::stream::wrap;
///
/// #[derive(Default)]
/// struct Count {
///     transport: Option<Transport>,
///     lines: usize,
/// }
///
/// impl Protocol for Count {
///     fn connection_made(&mut self, transport: Transport) {
///         self.transport = Some(transport);
///     }
///
///     fn data_received(&mut self, data: RecvBuf) {
///         self.lines += data.iter().filter(|byte| **byte == b'\n').count();
///     }
///
///     fn eof_received(&mut self) -> bool {
///         let transport = self.transport.as_ref().expect("the connection was made first");
///         transport.write(format!("{} lines", self.lines));
///         false // close when that is sent
///     }
/// }
///
/// uring_loop::run(async {
///     let (here, there) = duplex(4096);
///     let (_transport, connection) = connect(Count::default(), here).await;
///     let (mut reader, writer) = wrap(there);
///     writer.write("one\ntwo\n");
///     writer.write_eof();
///     assert_eq!(reader.read_to_end().await?, b"2 lines");
///     assert_eq!(connection.await?.lines, 2);
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub trait Protocol: 'static {
    /// The connection is there. It comes first.
    fn connection_made(&mut self, transport: Transport) {
        let _ = transport;
    }

    /// Bytes have come, at least one.
    fn data_received(&mut self, data: RecvBuf);

    /// The peer will send no more. `false`: close the connection, once what was written is sent.
    /// `true`: leave our direction open, where one direction of the stream can end alone.
    fn eof_received(&mut self) -> bool {
        false
    }

    /// The connection is gone: closed or aborted (`None`), or for this error. It comes once, last.
    fn connection_lost(&mut self, error: Option<io::Error>) {
        let _ = error;
    }

    /// More was written than the transport's high water mark: write no more for now.
    fn pause_writing(&mut self) {}

    /// What is to be sent is down to the low water mark: go on.
    fn resume_writing(&mut self) {}
}
