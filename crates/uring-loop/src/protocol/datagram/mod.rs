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
///
/// # Examples
///
/// ```
/// use uring_loop::io::Address;
/// use uring_loop::net::{Datagram, UdpSocket};
/// use uring_loop::protocol::{
///     DatagramProtocol, DatagramTransport, EndpointSocket, create_datagram_endpoint,
/// };
///
/// /// Sends every datagram back to where it came from.
/// #[derive(Default)]
/// struct Echo(Option<DatagramTransport>);
///
/// impl DatagramProtocol for Echo {
///     fn connection_made(&mut self, transport: DatagramTransport) {
///         self.0 = Some(transport);
///     }
///
///     fn datagram_received(&mut self, datagram: Datagram<Address>) {
///         let transport = self.0.as_ref().expect("the socket was there first");
///         transport.send_to(&*datagram, datagram.from().clone());
///     }
/// }
///
/// uring_loop::run(async {
///     let (transport, _endpoint) = create_datagram_endpoint(Echo::default, "127.0.0.1:0").await?;
///     let socket = transport.socket().expect("it is open");
///     let EndpointSocket::Udp(socket) = &*socket else { unreachable!("it was made for UDP") };
///     let mut client = UdpSocket::bind("127.0.0.1:0")?;
///     client.send_to("hello", socket.local_addr()?).await.0?;
///     assert_eq!(&*client.recv().await?, b"hello");
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
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
