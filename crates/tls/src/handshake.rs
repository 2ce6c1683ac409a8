//! The handshake: flights of messages to and fro until both sides have keys.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use rustls::Connection;
use uring_loop::buf::RecvBuf;
use uring_loop::io::{ByteStream, ByteStreamExt as _};

use crate::error::{self, Failure};
use crate::session::{Peer, Session};
use crate::stream::TlsStream;

/// Drives a connection through its handshake. `peer` is what errors call the other side.
///
/// A future that is dropped drops the carrier, in whatever state the peer sees.
pub(crate) async fn shake<S>(
    connection: Connection,
    carrier: S,
    peer: String,
    name: Option<String>,
) -> io::Result<TlsStream<S>>
where
    S: ByteStream + 'static,
{
    let mut session = Session::new(connection);
    // What came behind the peer's last message, in the same buffer.
    let mut early = Vec::new();
    let mut state = Peer::Open;
    loop {
        // Also the last flight, such as a server's tickets, before the stream is handed out.
        if session.has_output() {
            send(&mut session, &carrier).await.map_err(|error| during(&error, &peer))?;
        }
        if !session.is_handshaking() {
            break;
        }
        let bytes = answer(&carrier).await.map_err(|error| during(&error, &peer))?;
        if bytes.is_empty() {
            let message = format!("{peer} ended the connection in the middle of the TLS handshake");
            return Err(Failure::new(io::ErrorKind::UnexpectedEof, message).error());
        }
        match session.take_in(&bytes, &mut early) {
            Ok(now) => state = now,
            Err(error) => {
                // The alert tells the peer why. If it cannot be sent, the first cause counts.
                if session.has_output() {
                    let _ = send(&mut session, &carrier).await;
                }
                return Err(error::explain(&error, &peer).error());
            }
        }
    }
    let name = name.or_else(|| session.asked_name());
    Ok(TlsStream::new(session, carrier, peer, name, early, state))
}

/// What the peer says to the flight that was sent, or why that could not be sent. If both are
/// there, the peer's words count: they may be the alert that tells why it went.
async fn answer(carrier: &impl ByteStream) -> io::Result<RecvBuf> {
    poll_fn(|cx| {
        if let Poll::Ready(answer) = carrier.poll_recv(cx) {
            return Poll::Ready(answer);
        }
        match carrier.poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Pending,
        }
    })
    .await
}

async fn send(session: &mut Session, carrier: &impl ByteStream) -> io::Result<()> {
    let mut output = carrier.spare_buffer();
    session.take_output(&mut output);
    carrier.send(output).await
}

fn during(error: &io::Error, peer: &str) -> io::Error {
    io::Error::new(error.kind(), format!("in the TLS handshake with {peer}: {error}"))
}
