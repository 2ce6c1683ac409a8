//! Making reader and writer: of any stream, or of a new connection.

use std::io;
use std::rc::Rc;

use super::{Link, StreamReader, StreamWriter};
use crate::io::ByteStream;
use crate::net::{TcpStream, ToAddress};

/// Makes a reader and a writer of a stream.
pub fn wrap(stream: impl ByteStream + 'static) -> (StreamReader, StreamWriter) {
    let link = Link::new(Rc::new(stream));
    (StreamReader::new(link.clone()), StreamWriter::new(link))
}

/// Connects by TCP ([`TcpStream::connect`]) and makes a reader and a writer of the connection.
///
/// # Errors
///
/// As [`TcpStream::connect`].
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Strict: a connection that is made for a dropped call is closed.
///
/// # Examples
///
/// See [the module](crate::stream).
pub async fn open_connection(address: impl ToAddress) -> io::Result<(StreamReader, StreamWriter)> {
    Ok(wrap(TcpStream::connect(address).await?))
}
