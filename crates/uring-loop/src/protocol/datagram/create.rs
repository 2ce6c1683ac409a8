//! Where datagram sockets for protocols come from.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::endpoint::run;
use super::{DatagramProtocol, DatagramTransport, EndpointSocket};
use crate::net::{ToAddress, UdpSocket, resolve};
use crate::protocol::create::begin;
use crate::task::Task;

/// Binds a UDP socket and makes a protocol for it: asyncio's `local_addr`. Of a name, the first
/// address that can be bound; port 0 takes a free one.
///
/// The call answers when [`DatagramProtocol::connection_made`] has returned. The task ends with the
/// protocol when the socket is closed; it may be dropped, and the socket goes on. Cancelled, it
/// [closes](DatagramTransport::close) the socket.
///
/// # Errors
///
/// Those of [`resolve`] and [`UdpSocket::bind`]; of several, the first.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Strict: the socket of a dropped call is closed.
///
/// # Examples
///
/// ```
/// use uring_loop::io::Address;
/// use uring_loop::net::{Datagram, UdpSocket};
/// use uring_loop::protocol::{
///     DatagramProtocol, DatagramTransport, create_datagram_endpoint,
/// };
///
/// /// Sends back what comes.
/// #[derive(Default)]
/// struct Echo(Option<DatagramTransport>);
///
/// impl DatagramProtocol for Echo {
///     fn connection_made(&mut self, transport: DatagramTransport) {
///         self.0 = Some(transport);
///     }
///
///     fn datagram_received(&mut self, datagram: Datagram<Address>) {
///         self.0.as_ref().unwrap().send_to(&datagram, datagram.from());
///     }
/// }
///
/// uring_loop::run(async {
///     let (echo, _) = create_datagram_endpoint(Echo::default, "127.0.0.1:0").await?;
///     let mut client = UdpSocket::bind("127.0.0.1:0")?;
///     client.connect(echo.local_address().unwrap().ip().unwrap()).await?;
///     client.send("hello").await.0?;
///     assert_eq!(&*client.recv().await?, b"hello");
///     echo.close();
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "local_addr")]
pub async fn create_datagram_endpoint<P: DatagramProtocol>(
    factory: impl FnOnce() -> P,
    local: impl ToAddress,
) -> io::Result<(DatagramTransport, Task<P>)> {
    let socket = first_that_works(resolve(local).await?, async |at| UdpSocket::bind(at)).await?;
    Ok(datagram_endpoint(factory(), socket).await)
}

/// Connects a UDP socket, at any free port of this machine, and makes a protocol for it: asyncio's
/// `remote_addr`. It sends to and receives from that address alone. Of a name, the first address
/// that can be connected to.
///
/// As [`create_datagram_endpoint`].
///
/// # Errors
///
/// Those of [`resolve`], [`UdpSocket::bind`] and [`UdpSocket::connect`]; of several, the first.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Strict: the socket of a dropped call is closed.
#[doc(alias = "create_datagram_endpoint")]
#[doc(alias = "remote_addr")]
pub async fn connect_datagram_endpoint<P: DatagramProtocol>(
    factory: impl FnOnce() -> P,
    remote: impl ToAddress,
) -> io::Result<(DatagramTransport, Task<P>)> {
    let connect = async |remote: SocketAddr| {
        let socket = match remote {
            SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)),
        }?;
        socket.connect(remote).await?;
        Ok(socket)
    };
    let socket = first_that_works(resolve(remote).await?, connect).await?;
    Ok(datagram_endpoint(factory(), socket).await)
}

/// Gives a socket of any kind a protocol, bound and connected and with options as it is: a
/// [`UdpSocket`] or a [`UnixDatagram`](crate::net::UnixDatagram). As [`create_datagram_endpoint`].
///
/// This is the way to an endpoint with a port that is shared, that may broadcast, or that is both
/// bound and connected.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Strict: the socket of a dropped call is closed.
///
/// # Examples
///
/// ```
/// use uring_loop::io::Address;
/// use uring_loop::net::{Datagram, UdpSocket};
/// use uring_loop::protocol::{DatagramProtocol, datagram_endpoint};
///
/// struct Deaf;
///
/// impl DatagramProtocol for Deaf {
///     fn datagram_received(&mut self, _: Datagram<Address>) {}
/// }
///
/// uring_loop::run(async {
///     let socket = UdpSocket::bind_reuse_port("127.0.0.1:0")?;
///     socket.set_broadcast(true)?;
///     socket.connect("127.0.0.1:9").await?;
///     let (transport, _) = datagram_endpoint(Deaf, socket).await;
///     assert!(transport.local_address().is_some() && transport.peer_address().is_some());
///     transport.close();
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "reuse_port")]
#[doc(alias = "allow_broadcast")]
#[doc(alias = "create_datagram_endpoint")]
pub async fn datagram_endpoint<P: DatagramProtocol>(
    protocol: P,
    socket: impl Into<EndpointSocket>,
) -> (DatagramTransport, Task<P>) {
    let transport = DatagramTransport::new(socket.into());
    begin(transport, |transport, told| run(protocol, transport, || drop(told))).await
}

/// Of the errors the first, if none works.
async fn first_that_works(
    addresses: Vec<SocketAddr>,
    make: impl AsyncFn(SocketAddr) -> io::Result<UdpSocket>,
) -> io::Result<UdpSocket> {
    let mut first = None;
    for address in addresses {
        match make(address).await {
            Ok(socket) => return Ok(socket),
            Err(error) => _ = first.get_or_insert(error),
        }
    }
    let nothing = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    Err(first.unwrap_or_else(nothing))
}
