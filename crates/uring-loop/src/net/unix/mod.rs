//! Unix sockets (unix(7)): streams, their listeners, descriptors that travel with bytes, datagrams.
//!
//! Their addresses are those of std: a path is written as such where one is expected, an abstract
//! name is `std::os::linux::net::SocketAddrExt::from_abstract_name`.

mod datagram;
mod fds;
mod file;
mod listener;
mod stream;

use std::os::unix::net::SocketAddr;

pub use datagram::{UnixDatagram, UnixDatagramSender};
pub use fds::ReceivedFds;
use file::SocketFile;
pub use listener::UnixListener;
pub use stream::{PeerCredentials, UnixStream};

/// An address, for messages of errors.
fn shown(address: &SocketAddr) -> String {
    use std::os::linux::net::SocketAddrExt;
    match (address.as_pathname(), address.as_abstract_name()) {
        (Some(path), _) => path.display().to_string(),
        (_, Some(name)) => format!("@{}", name.escape_ascii()),
        _ => "a socket without a name".to_owned(),
    }
}
