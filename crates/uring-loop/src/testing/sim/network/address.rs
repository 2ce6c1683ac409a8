//! Addresses of both families.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where a socket is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::testing::sim) enum Address {
    Inet(SocketAddr),
    /// A Unix name as in `sun_path`, without the zero byte at its end: a path, an abstract name
    /// that begins with a zero byte, or nothing.
    Unix(Vec<u8>),
}

impl Address {
    pub(in crate::testing::sim) fn inet(&self) -> Option<SocketAddr> {
        match self {
            Address::Inet(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }

    pub(super) fn is_unix(&self) -> bool {
        matches!(self, Address::Unix(_))
    }

    pub(super) fn unix_name(&self) -> Vec<u8> {
        match self {
            Address::Unix(name) => name.clone(),
            Address::Inet(_) => Vec::new(),
        }
    }

    /// A path in the file system.
    pub(super) fn is_path(&self) -> bool {
        matches!(self, Address::Unix(name) if name.first().is_some_and(|first| *first != 0))
    }

    /// Whether what is bound to this address hears what is sent to `other`.
    pub(super) fn hears(&self, other: &Address) -> bool {
        match (self, other) {
            (Address::Inet(bound), Address::Inet(other)) => {
                let everywhere = bound.port() == other.port() && bound.ip().is_unspecified();
                bound == other || everywhere
            }
            _ => self == other,
        }
    }

    /// The address of an end that was not bound, and talks to this one.
    pub(super) fn facing(&self, port: impl FnOnce() -> u16) -> Address {
        match self {
            Address::Unix(_) => Address::Unix(Vec::new()),
            Address::Inet(address) => {
                let ip = match address.ip() {
                    IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
                    ip => ip,
                };
                Address::Inet(SocketAddr::new(ip, port()))
            }
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Address::Inet(address)
    }
}
