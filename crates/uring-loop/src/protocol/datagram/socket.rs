//! A datagram socket of either family.

use std::io;
use std::task::{Context, Poll};

use crate::io::Address;
use crate::net::{Datagram, UdpSocket, UnixDatagram};

/// The socket of an endpoint, as it was given to
/// [`datagram_endpoint`](super::datagram_endpoint).
#[derive(Debug)]
#[non_exhaustive]
pub enum EndpointSocket {
    /// UDP.
    Udp(UdpSocket),
    /// A Unix datagram socket.
    Unix(UnixDatagram),
}

impl EndpointSocket {
    pub(super) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<Datagram<Address>>> {
        match self {
            EndpointSocket::Udp(socket) => {
                socket.poll_recv(cx).map_ok(|datagram| datagram.map_from(Address::Ip))
            }
            EndpointSocket::Unix(socket) => {
                socket.poll_recv(cx).map_ok(|datagram| datagram.map_from(Address::Unix))
            }
        }
    }

    pub(super) async fn send(&self, bytes: Vec<u8>, to: Option<&Address>) -> io::Result<()> {
        match (self, to) {
            (EndpointSocket::Udp(socket), None) => socket.send(bytes).await.0,
            (EndpointSocket::Unix(socket), None) => socket.send(bytes).await.0,
            (EndpointSocket::Udp(socket), Some(Address::Ip(to))) => {
                socket.send_to(bytes, to).await.0
            }
            (EndpointSocket::Unix(socket), Some(Address::Unix(to))) => {
                socket.send_to_addr(bytes, to).await.0
            }
            (_, Some(to)) => {
                let text = format!("{to} is an address of another kind of socket");
                Err(io::Error::new(io::ErrorKind::InvalidInput, text))
            }
        }
    }

    /// The address of this end, if it has one.
    pub(super) fn local_address(&self) -> Option<Address> {
        match self {
            EndpointSocket::Udp(socket) => socket.local_addr().ok().map(Address::Ip),
            EndpointSocket::Unix(socket) => socket.local_addr().ok().map(Address::Unix),
        }
    }

    /// The address that it is connected to, if it is.
    pub(super) fn peer_address(&self) -> Option<Address> {
        match self {
            EndpointSocket::Udp(socket) => socket.peer_addr().ok().map(Address::Ip),
            EndpointSocket::Unix(socket) => socket.peer_addr().ok().map(Address::Unix),
        }
    }
}

impl From<UdpSocket> for EndpointSocket {
    fn from(socket: UdpSocket) -> Self {
        EndpointSocket::Udp(socket)
    }
}

impl From<UnixDatagram> for EndpointSocket {
    fn from(socket: UnixDatagram) -> Self {
        EndpointSocket::Unix(socket)
    }
}
