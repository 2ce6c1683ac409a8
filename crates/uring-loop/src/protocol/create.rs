//! Where connections for protocols come from.

use std::future::Future;
use std::io;
use std::rc::Rc;

use super::connection::run;
use super::{Protocol, Transport};
use crate::io::{ByteStream, Listener};
use crate::net::{TcpStream, ToAddress};
use crate::stream::{Server, bind_all, serve_with};
use crate::sync::Event;
use crate::task::{Task, spawn};

/// Listens on TCP, and makes a protocol for each connection that comes.
///
/// The [`Server`] is that of [`stream::start_server`](crate::stream::start_server). Of a name, it
/// listens on all addresses; port 0 takes a free one for each. For other kinds of connections, and
/// for sockets with options of their own, see [`serve`].
///
/// # Errors
///
/// As [`stream::start_server`](crate::stream::start_server).
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Strict: what was bound is closed.
///
/// # Examples
///
/// See [the module](crate::protocol).
pub async fn create_server<P: Protocol>(
    factory: impl Fn() -> P + 'static,
    address: impl ToAddress,
) -> io::Result<Server> {
    Ok(serve(factory, bind_all(address).await?))
}

/// Makes a protocol for each connection that these listeners give: of any kind.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use uring_loop::buf::RecvBuf;
/// use uring_loop::net::{UnixListener, UnixStream};
/// use uring_loop::protocol::{Protocol, Transport, serve};
///
/// /// Says what time it is not.
/// struct Early;
///
/// impl Protocol for Early {
///     fn connection_made(&mut self, transport: Transport) {
///         transport.write("not yet");
///         transport.close();
///     }
///
///     fn data_received(&mut self, _: RecvBuf) {}
/// }
///
/// let place = std::env::temp_dir().join(format!("early-{}.sock", std::process::id()));
/// uring_loop::run(async {
///     let _server = serve(|| Early, [UnixListener::bind(&place)?]);
///     let mut client = UnixStream::connect(&place).await?;
///     assert_eq!(&*client.recv().await?, b"not yet");
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "create_unix_server")]
pub fn serve<P: Protocol, L: Listener + 'static>(
    factory: impl Fn() -> P + 'static,
    listeners: impl IntoIterator<Item = L>,
) -> Server {
    let factory = Rc::new(factory);
    serve_with(listeners.into_iter().collect(), move |stream| {
        let (transport, factory) = (Transport::new(stream), factory.clone());
        let outlet = transport.outlet.clone();
        (outlet, async move { drop(run(factory(), transport, || {}).await) })
    })
}

/// Connects by TCP ([`TcpStream::connect`]) and makes a protocol for the connection.
///
/// It answers when [`Protocol::connection_made`] has returned. The task ends when the connection is
/// lost, with the protocol; it may be dropped, and the connection goes on.
///
/// # Errors
///
/// As [`TcpStream::connect`].
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Strict: a connection that is made for a dropped call is closed.
///
/// # Examples
///
/// See [the module](crate::protocol).
pub async fn create_connection<P: Protocol>(
    factory: impl FnOnce() -> P,
    address: impl ToAddress,
) -> io::Result<(Transport, Task<P>)> {
    let stream = TcpStream::connect(address).await?;
    Ok(connect(factory(), stream).await)
}

/// Gives a stream of any kind a protocol, as [`create_connection`] does: a Unix socket, TLS, or a
/// TCP connection that was made otherwise.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Strict: the connection of a dropped call is closed.
#[doc(alias = "create_unix_connection")]
#[doc(alias = "connect_accepted_socket")]
pub async fn connect<P: Protocol>(
    protocol: P,
    stream: impl ByteStream + 'static,
) -> (Transport, Task<P>) {
    begin(Transport::new(stream), |transport, told| run(protocol, transport, || drop(told))).await
}

/// What is closed if nobody is given it.
pub(super) trait Close: Clone + 'static {
    fn close(&self);
}

impl Close for Transport {
    fn close(&self) {
        Transport::close(self);
    }
}

/// Spawns the task of a protocol, and waits until its `Told` is dropped: when the first call has
/// returned. If nobody waits any more, what was made is closed.
pub(super) async fn begin<T, P, F>(transport: T, run: impl FnOnce(T, Told) -> F) -> (T, Task<P>)
where
    T: Close,
    P: 'static,
    F: Future<Output = P> + 'static,
{
    let made = Rc::new(Event::new());
    let closes = CloseOnDrop(Some(transport.clone()));
    let task = spawn(run(transport.clone(), Told(made.clone())));
    made.wait().await;
    closes.release();
    (transport, task)
}

/// Sets the event when it is dropped: the call has returned, or will not be made.
pub(super) struct Told(Rc<Event>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// Closes a connection that nobody has been given.
struct CloseOnDrop<T: Close>(Option<T>);

impl<T: Close> CloseOnDrop<T> {
    fn release(mut self) {
        self.0 = None;
    }
}

impl<T: Close> Drop for CloseOnDrop<T> {
    fn drop(&mut self) {
        if let Some(transport) = self.0.take() {
            transport.close();
        }
    }
}
