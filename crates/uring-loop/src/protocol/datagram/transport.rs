//! A protocol's hold on its datagram socket.

use std::fmt;
use std::rc::Rc;

use super::EndpointSocket;
use super::outlet::Outlet;
use crate::io::Address;
use crate::protocol::create::Close;
use crate::stream::methods::flow_methods;

/// A datagram socket, as its [`DatagramProtocol`](super::DatagramProtocol) and others send through
/// it and close it.
///
/// Clones are cheap and mean the same socket. No method waits. In the count of bytes that are not
/// sent yet, each datagram has 8 more than it has.
#[derive(Clone)]
pub struct DatagramTransport {
    pub(super) outlet: Rc<Outlet>,
}

flow_methods!(DatagramTransport);

impl DatagramTransport {
    pub(super) fn new(socket: EndpointSocket) -> Self {
        DatagramTransport { outlet: Outlet::new(socket) }
    }

    /// Sends a datagram to where the socket is connected, behind those that were given before.
    /// Empty ones are sent, too. What goes wrong is told to
    /// [`error_received`](super::DatagramProtocol::error_received).
    ///
    /// What is given to a socket that is closed is dropped; from the fifth time on the log hears of
    /// it.
    pub fn send(&self, bytes: impl AsRef<[u8]>) {
        self.outlet.send(bytes.as_ref(), None);
    }

    /// Sends a datagram to an address. As [`send`](Self::send).
    ///
    /// # Panics
    ///
    /// If the socket is connected to another address.
    #[doc(alias = "sendto")]
    pub fn send_to(&self, bytes: impl AsRef<[u8]>, address: impl Into<Address>) {
        self.outlet.send(bytes.as_ref(), Some(address.into()));
    }

    /// Receives no more, sends what was given, then closes the socket.
    pub fn close(&self) {
        self.outlet.close();
    }

    /// The socket, for its options; `None` once it is closed.
    pub fn socket(&self) -> Option<Rc<EndpointSocket>> {
        self.outlet.socket()
    }
}

impl Close for DatagramTransport {
    fn close(&self) {
        DatagramTransport::close(self);
    }
}

impl fmt::Debug for DatagramTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramTransport")
            .field("buffered", &self.buffered())
            .field("closing", &self.is_closing())
            .finish_non_exhaustive()
    }
}
