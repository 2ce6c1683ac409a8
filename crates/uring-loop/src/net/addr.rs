//! What may stand for an address, and how names become addresses.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::names::look_up;

/// An address, or a name that stands for some.
pub trait ToAddress: sealed::Sealed {
    #[doc(hidden)]
    fn to_target(&self) -> io::Result<Target>;
}

/// What is known without asking anybody.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub enum Target {
    Address(SocketAddr),
    Name(String, u16),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Address(address) => address.fmt(f),
            Target::Name(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! address {
    ($($kind:ty),*) => {$(
        impl sealed::Sealed for $kind {}
        impl ToAddress for $kind {
            fn to_target(&self) -> io::Result<Target> {
                Ok(Target::Address(SocketAddr::from(*self)))
            }
        }
    )*};
}
address!(SocketAddr, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16), ([u8; 4], u16));

impl sealed::Sealed for str {}
impl ToAddress for str {
    fn to_target(&self) -> io::Result<Target> {
        if let Ok(address) = self.parse() {
            return Ok(Target::Address(address));
        }
        let bad = || {
            let text = format!("{self:?} is no address: write host:port, as 127.0.0.1:80");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        };
        let (host, port) = self.rsplit_once(':').ok_or_else(bad)?;
        // A number may begin with a sign, a port does not.
        if !port.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(bad());
        }
        (host, port.parse().map_err(|_| bad())?).to_target()
    }
}

impl sealed::Sealed for String {}
impl ToAddress for String {
    fn to_target(&self) -> io::Result<Target> {
        self.as_str().to_target()
    }
}

impl sealed::Sealed for (&str, u16) {}
impl ToAddress for (&str, u16) {
    fn to_target(&self) -> io::Result<Target> {
        Ok(match self.0.parse::<IpAddr>() {
            Ok(ip) => Target::Address(SocketAddr::new(ip, self.1)),
            Err(_) => Target::Name(self.0.to_owned(), self.1),
        })
    }
}

impl sealed::Sealed for (String, u16) {}
impl ToAddress for (String, u16) {
    fn to_target(&self) -> io::Result<Target> {
        (&*self.0, self.1).to_target()
    }
}

impl<T: ToAddress + ?Sized> sealed::Sealed for &T {}
impl<T: ToAddress + ?Sized> ToAddress for &T {
    fn to_target(&self) -> io::Result<Target> {
        (**self).to_target()
    }
}

/// The addresses that a name stands for, as `getaddrinfo(3)` gives them. Numeric ones are answered
/// at once; a look-up runs on a helper thread, since io_uring has no opcode for it.
///
/// Who asks for a name that is being looked up shares that call, and an answer is kept for 5 s
/// ([`Builder::keep_names`](crate::Builder::keep_names)). At most 16 look-ups of this process run
/// at a time; further ones wait in line. [`Statistics`](crate::Statistics) counts them.
///
/// # Errors
///
/// `InvalidInput` if it is no address at all; otherwise the resolver's, with the name.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Strict: a look-up that nobody waits for is withdrawn if it waits in line itself; otherwise it
/// ends on its helper thread, and who asks for that name meanwhile gets its answer.
///
/// # Examples
///
/// ```
/// uring_loop::run(async {
///     let addresses = uring_loop::net::resolve("localhost:80").await?;
///     assert!(addresses.iter().all(|address| address.ip().is_loopback()));
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "getaddrinfo")]
#[doc(alias = "lookup_host")]
pub async fn resolve(address: impl ToAddress) -> io::Result<Vec<SocketAddr>> {
    match address.to_target()? {
        Target::Address(address) => Ok(vec![address]),
        Target::Name(host, port) => {
            let found = look_up(&host).await.map_err(|error| {
                io::Error::new(error.kind(), format!("looking up {host:?}: {error}"))
            })?;
            let at_port = |address: &SocketAddr| {
                let mut address = *address;
                address.set_port(port);
                address
            };
            Ok(found.iter().map(at_port).collect())
        }
    }
}

/// An address that needs no look-up.
pub(super) fn numeric(address: impl ToAddress) -> io::Result<SocketAddr> {
    match address.to_target()? {
        Target::Address(address) => Ok(address),
        Target::Name(host, port) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{host}:{port} is a name: look it up first, with net::resolve"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_an_address_or_a_name() {
        assert_eq!(numeric("127.0.0.1:80").expect("numeric"), ([127, 0, 0, 1], 80).into());
        assert_eq!(numeric(("::1", 80)).expect("numeric"), (Ipv6Addr::LOCALHOST, 80).into());
        assert!(
            matches!("localhost:80".to_target(), Ok(Target::Name(host, 80)) if host == "localhost")
        );
        for bad in ["localhost", "localhost:http", "127.0.0.1:65536", "[::1]:+80", "a:", ""] {
            let error = bad.to_target().expect_err(bad);
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
        assert!(numeric("localhost:80").expect_err("a name").to_string().contains("resolve"));
    }
}
