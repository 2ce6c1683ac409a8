//! L5: connections to read lines from and to write to without waiting: asyncio's streams.
//!
//! * [`StreamReader`] and [`StreamWriter`]: the two sides of a connection. [`wrap`] makes them of
//!   any [`ByteStream`](crate::io::ByteStream), [`open_connection`] of a new TCP connection.
//! * [`start_server`], [`serve`]: a handler for each connection, and the [`Server`] that ends them.
//!
//! # Examples
//!
//! ```
//! use uring_loop::stream::{open_connection, start_server};
//!
//! uring_loop::run(async {
//!     let server = start_server("127.0.0.1:0", |mut reader, writer| async move {
//!         while let Some(line) = reader.next_line().await? {
//!             writer.write(line);
//!             writer.drain().await?;
//!         }
//!         Ok::<(), std::io::Error>(())
//!     })
//!     .await?;
//!     let (mut reader, writer) = open_connection(server.addresses()[0].ip().unwrap()).await?;
//!     writer.write("hello\n");
//!     writer.write_eof();
//!     assert_eq!(reader.read_to_end().await?, b"hello\n");
//!     Ok::<(), std::io::Error>(())
//! })?
//! # ; Ok::<(), std::io::Error>(())
//! ```

mod error;
pub(crate) mod flow;
mod input;
mod lines;
mod link;
pub(crate) mod methods;
mod open;
pub(crate) mod outlet;
mod reader;
mod server;
mod writer;

pub use error::ReadError;
pub use lines::Lines;
pub(crate) use link::Link;
pub use open::{open_connection, wrap};
pub use reader::StreamReader;
pub use server::{HandlerOutcome, Server, serve, start_server};
pub(crate) use server::{bind_all, serve_with};
pub use writer::StreamWriter;

/// How many bytes a line may have, unless it is said otherwise: 64 KiB, as in asyncio.
pub(crate) const LIMIT: usize = 64 << 10;
