//! Datagram sockets that call back.

mod create;
mod endpoint;
mod outlet;
mod socket;
mod transport;

use std::io;

pub use create::{connect_datagram_endpoint, create_datagram_endpoint, datagram_endpoint};
pub use socket::EndpointSocket;
pub use transport::DatagramTransport;

use crate::io::Address;
use crate::net::Datagram;

/// What is done with a datagram socket. The loop calls; none of the calls may block.
///
/// One task makes all calls, [`connection_made`](Self::connection_made) first and
/// [`connection_lost`](Self::connection_lost) last. A protocol that panics is reported and dropped,
/// and its socket is closed.
pub trait DatagramProtocol: 'static {
    /// The socket is there. It comes first.
    fn connection_made(&mut self, transport: DatagramTransport) {
        let _ = transport;
    }

    /// A datagram has come; it may be empty.
    fn datagram_received(&mut self, datagram: Datagram<Address>);

    /// A datagram could not be sent, or a receive has failed. The socket goes on: of a connected
    /// one, `ConnectionRefused` tells that nobody listens there for now.
    fn error_received(&mut self, error: io::Error) {
        let _ = error;
    }

    /// The socket is gone: closed or aborted (`None`), or of no use for this error, which has come
    /// again and again. It comes once, last.
    fn connection_lost(&mut self, error: Option<io::Error>) {
        let _ = error;
    }

    /// More is to be sent than the transport's high water mark: send no more for now.
    fn pause_writing(&mut self) {}

    /// What is to be sent is down to the low water mark: go on.
    fn resume_writing(&mut self) {}
}
