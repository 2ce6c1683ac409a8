//! Sockets over completions: TCP, UDP and Unix.
//!
//! A stream receives by default into buffers that the loop lends ([`TcpStream::recv`]), so that an
//! idle connection holds none.

mod acceptor;
mod addr;
mod byte_stream;
mod connected;
mod datagram;
mod datagrams;
mod extras;
mod eyeballs;
mod incoming;
mod limits;
mod listener;
mod methods;
pub(crate) mod names;
mod options;
#[cfg(test)]
mod sizes;
mod split;
mod stream;
mod tcp_socket;
mod udp;
mod unix;
mod write_all;

pub use addr::{ToAddress, resolve};
pub use connected::Recv;
pub use datagram::{Datagram, DatagramInfo};
pub use incoming::Incoming;
pub use listener::TcpListener;
pub use names::Resolve;
pub use options::Keepalive;
pub use split::{RecvHalf, SendHalf};
pub use stream::TcpStream;
pub use tcp_socket::TcpSocket;
pub use udp::{UdpSender, UdpSocket};
pub use unix::{
    PeerCredentials, ReceivedFds, UnixDatagram, UnixDatagramSender, UnixListener, UnixStream,
};
pub use write_all::WriteAll;
