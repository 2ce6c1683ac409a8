//! Who is at an end of a stream.

use std::fmt;
use std::net;
use std::os::unix;

/// The address of one end of a stream, as far as its kind has addresses.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Address {
    /// Of an internet socket.
    Ip(net::SocketAddr),
    /// Of a Unix socket; it may be without a name.
    Unix(unix::net::SocketAddr),
}

impl Address {
    /// The internet address, if it is one.
    pub fn ip(&self) -> Option<net::SocketAddr> {
        match self {
            Address::Ip(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }
}

impl From<net::SocketAddr> for Address {
    fn from(address: net::SocketAddr) -> Self {
        Address::Ip(address)
    }
}

impl From<&Address> for Address {
    fn from(address: &Address) -> Self {
        address.clone()
    }
}

impl From<unix::net::SocketAddr> for Address {
    fn from(address: unix::net::SocketAddr) -> Self {
        Address::Unix(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(address) => address.fmt(f),
            Address::Unix(address) => match address.as_pathname() {
                Some(path) => path.display().fmt(f),
                None => write!(f, "{address:?}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_as_its_kind_writes_it() {
        let ip = net::SocketAddr::from(([127, 0, 0, 1], 80));
        assert_eq!(Address::from(ip).to_string(), "127.0.0.1:80");
        assert_eq!(Address::from(ip).ip(), Some(ip));
        let path = unix::net::SocketAddr::from_pathname("/run/x").expect("short enough");
        assert_eq!(Address::from(path.clone()).to_string(), "/run/x");
        assert_eq!(Address::from(path).ip(), None);
    }
}
