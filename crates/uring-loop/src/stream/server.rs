//! A handler for each connection, and how they all end.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::outlet::Outlet;
use super::writer::drive;
use super::{StreamReader, StreamWriter, wrap};
use crate::cancel::catch_cancel;
use crate::io::{Address, Listener};
use crate::net::{TcpListener, ToAddress, resolve};
use crate::report::{Report, ReportKind};
use crate::sync::Event;
use crate::task::{Task, TaskRef, current_task, spawn};
use crate::time::{sleep, timeout};

/// How long a server waits after an accept that failed; asyncio's `ACCEPT_RETRY_DELAY`.
const RETRY: Duration = Duration::from_secs(1);

/// Listens on TCP and runs `handler` for each connection, in a task of its own.
///
/// Of a name, it listens on all addresses; port 0 takes a free one for each. A handler that panics,
/// or ends with an error, is reported ([`Report`]) and costs its own connection only.
///
/// # Errors
///
/// Those of [`resolve`] and [`TcpListener::bind`]. An address that this machine does not have
/// (EADDRNOTAVAIL, or EAFNOSUPPORT for IPv6 that is switched off) is passed over if there is
/// another.
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
/// See [the module](crate::stream).
pub async fn start_server<F, H>(address: impl ToAddress, handler: F) -> io::Result<Server>
where
    F: Fn(StreamReader, StreamWriter) -> H + 'static,
    H: Future<Output: HandlerOutcome> + 'static,
{
    Ok(serve(bind_all(address).await?, handler))
}

/// Listens on every address that a name stands for.
pub(crate) async fn bind_all(address: impl ToAddress) -> io::Result<Vec<TcpListener>> {
    let (mut listeners, mut missing) = (Vec::new(), None);
    let mut addresses = resolve(address).await?;
    // A resolver may name one several times, which could not be bound twice.
    let mut seen = BTreeSet::new();
    addresses.retain(|address| mutant!("one-address-bound-twice") || seen.insert(*address));
    for address in addresses {
        match TcpListener::bind(address) {
            Ok(listener) => listeners.push(listener),
            Err(error) if not_of_this_machine(&error) => missing = Some(error),
            Err(error) => return Err(error),
        }
    }
    match missing {
        Some(error) if listeners.is_empty() => Err(error),
        _ => Ok(listeners),
    }
}

/// Whether no socket of this machine can have the address, which is no reason to go without the
/// others: `localhost` names `::1` also where IPv6 is not compiled in, or is switched off.
fn not_of_this_machine(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
}

/// Runs `handler` for each connection that these listeners give: of any kind.
///
/// # Panics
///
/// If no loop runs on this thread.
pub fn serve<L, F, H>(listeners: impl IntoIterator<Item = L>, handler: F) -> Server
where
    L: Listener + 'static,
    F: Fn(StreamReader, StreamWriter) -> H + 'static,
    H: Future<Output: HandlerOutcome> + 'static,
{
    let handler = Rc::new(handler);
    serve_with(listeners.into_iter().collect(), move |stream| {
        let (reader, writer) = wrap(stream);
        let (outlet, handler) = (writer.outlet().clone(), handler.clone());
        (outlet, async move { handler(reader, writer).await })
    })
}

/// The same for whatever `open` makes of a connection: what is written to it, and what is done with
/// it.
pub(crate) fn serve_with<L, F, H>(listeners: Vec<L>, open: F) -> Server
where
    L: Listener + 'static,
    F: Fn(L::Stream) -> (Rc<Outlet>, H) + 'static,
    H: Future<Output: HandlerOutcome> + 'static,
{
    let shared = Rc::new(Shared {
        addresses: listeners.iter().filter_map(L::local_address).collect(),
        accepting: RefCell::default(),
        connections: RefCell::default(),
        next: Cell::new(0),
        serving: Cell::new(false),
        closed: Event::new(),
        changed: Event::new(),
    });
    let open = Rc::new(open);
    let accept = |listener| spawn(accept_all(listener, shared.clone(), open.clone()));
    shared.accepting.replace(listeners.into_iter().map(accept).collect());
    Server { shared }
}

/// What a handler may end with: nothing, or a result whose error is reported.
pub trait HandlerOutcome: sealed::Sealed {
    #[doc(hidden)]
    fn error(self) -> Option<String>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<E: std::fmt::Display> Sealed for Result<(), E> {}
}

impl HandlerOutcome for () {
    fn error(self) -> Option<String> {
        None
    }
}

impl<E: fmt::Display> HandlerOutcome for Result<(), E> {
    fn error(self) -> Option<String> {
        self.err().map(|error| error.to_string())
    }
}

/// A server that runs; made by [`start_server`] or [`serve`].
///
/// Dropping it is [`close`](Self::close): it listens no more, and its connections go on.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use uring_loop::stream::{open_connection, start_server};
///
/// uring_loop::run(async {
///     let server = start_server("127.0.0.1:0", |mut reader, writer| async move {
///         let line = reader.read_line().await?.to_vec();
///         writer.write(line);
///         Ok::<(), std::io::Error>(())
///     })
///     .await?;
///     let address = server.addresses()[0].ip().unwrap();
///     let (mut reader, writer) = open_connection(address).await?;
///     writer.write("last orders\n");
///     assert_eq!(reader.read_line().await?, b"last orders\n");
///     // No new connections; those there are have five seconds to end.
///     let cut = server.shut_down(Duration::from_secs(5)).await;
///     assert_eq!((cut, server.connections()), (0, 0));
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
#[must_use = "dropping a Server closes it"]
pub struct Server {
    shared: Rc<Shared>,
}

struct Shared {
    addresses: Vec<Address>,
    accepting: RefCell<Vec<Task<()>>>,
    /// By the order in which they came.
    connections: RefCell<BTreeMap<u64, Served>>,
    next: Cell<u64>,
    /// Somebody is in `serve_forever`.
    serving: Cell<bool>,
    closed: Event,
    /// A connection has ended.
    changed: Event,
}

struct Served {
    outlet: Rc<Outlet>,
    handler: Option<TaskRef>,
}

async fn accept_all<L, F, H>(listener: L, shared: Rc<Shared>, open: Rc<F>)
where
    L: Listener,
    F: Fn(L::Stream) -> (Rc<Outlet>, H),
    H: Future<Output: HandlerOutcome> + 'static,
{
    loop {
        match listener.accept().await {
            Ok(stream) => {
                let (outlet, handler) = open(stream);
                let entry = Entry::new(&shared, outlet);
                let name = entry.name();
                drop(spawn(handle(entry, name.clone(), handler)).named(name));
            }
            Err(error) => {
                let message = format!("a server will try again: {error}");
                Report::new(ReportKind::ConnectionFailed, message).send();
                sleep(RETRY).await;
            }
        }
    }
}

/// One connection, from the handler's begin to the last byte.
async fn handle<H>(entry: Entry, name: String, handler: H)
where
    H: Future<Output: HandlerOutcome>,
{
    entry.handled_by(current_task());
    if let Some(error) = handler.await.error() {
        let message = format!("the handler of a connection failed ({error})");
        Report::new(ReportKind::ConnectionFailed, message).named(name).send();
    }
    entry.outlet.ended.wait().await;
}

/// The place of a connection in the server's list, which it leaves when this is dropped.
struct Entry {
    shared: Rc<Shared>,
    id: u64,
    outlet: Rc<Outlet>,
}

impl Entry {
    fn new(shared: &Rc<Shared>, outlet: Rc<Outlet>) -> Self {
        let id = shared.next.get();
        shared.next.set(id + 1);
        let served = Served { outlet: outlet.clone(), handler: None };
        shared.connections.borrow_mut().insert(id, served);
        Entry { shared: shared.clone(), id, outlet }
    }

    fn name(&self) -> String {
        match self.outlet.link.peer_address() {
            Some(address) => format!("connection from {address}"),
            None => format!("connection {}", self.id),
        }
    }

    fn handled_by(&self, task: Option<TaskRef>) {
        if let Some(served) = self.shared.connections.borrow_mut().get_mut(&self.id) {
            served.handler = task;
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let gone = self.shared.connections.borrow_mut().remove(&self.id);
        drop(gone);
        self.shared.changed.set();
        self.shared.changed.clear();
    }
}

impl Server {
    /// Where it listens, one address for each socket.
    #[doc(alias = "sockets")]
    pub fn addresses(&self) -> &[Address] {
        &self.shared.addresses
    }

    /// Whether it still listens.
    pub fn is_serving(&self) -> bool {
        !self.shared.closed.is_set()
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.shared.connections.borrow().len()
    }

    /// Listens no more. Connections go on. Doing it twice is fine.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Closes every connection there is, once what was written to it is sent, as
    /// [`StreamWriter::close`] does: its reader finds the end.
    pub fn close_clients(&self) {
        for outlet in self.shared.outlets() {
            outlet.close();
            drive(&outlet);
        }
    }

    /// Closes every connection there is, at once.
    pub fn abort_clients(&self) {
        self.shared.outlets().iter().for_each(|outlet| outlet.abort());
    }

    /// Waits until it is closed and has no connections any more.
    ///
    /// # Cancel safety
    ///
    /// Strict: there is nothing to lose.
    pub async fn wait_closed(&self) {
        self.shared.closed.wait().await;
        while self.connections() > 0 {
            self.shared.changed.wait().await;
        }
    }

    /// Waits until somebody closes it. If the task is asked to end meanwhile, it closes itself and
    /// its connections, in order, and hands the request on when they have ended.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is closed already, or somebody else waits here.
    ///
    /// # Cancel safety
    ///
    /// Strict: a dropped one leaves the server running.
    pub async fn serve_forever(&self) -> io::Result<()> {
        let refuse = |text| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        if !self.is_serving() {
            return refuse("this server is closed: it cannot serve any more");
        }
        if self.shared.serving.replace(true) {
            return refuse("somebody waits in serve_forever of this server already");
        }
        let _serving = Serving(&self.shared);
        if let Err(cancelled) = catch_cancel(self.shared.closed.wait()).await {
            self.close();
            self.close_clients();
            self.wait_closed().await;
            cancelled.propagate().await;
        }
        Ok(())
    }

    /// Ends it in order: listens no more, lets handlers come to their end for as long as `patience`
    /// says, then closes what is left at once and cancels the handlers. Answers how many had to be
    /// ended so.
    ///
    /// # Cancel safety
    ///
    /// Weak: what was not done yet is not done.
    pub async fn shut_down(&self, patience: Duration) -> usize {
        self.close();
        if timeout(patience, self.wait_closed()).await.is_ok() {
            return 0;
        }
        let left = self.connections();
        self.abort_clients();
        for handler in self.shared.handlers() {
            handler.cancel();
        }
        self.wait_closed().await;
        left
    }
}

/// Restores the mark, whatever ends the wait.
struct Serving<'a>(&'a Shared);

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.0.serving.set(false);
    }
}

impl Shared {
    fn close(&self) {
        if self.closed.is_set() {
            return;
        }
        for task in self.accepting.take() {
            task.abort();
        }
        self.closed.set();
    }

    fn handlers(&self) -> Vec<TaskRef> {
        self.connections.borrow().values().filter_map(|served| served.handler.clone()).collect()
    }

    fn outlets(&self) -> Vec<Rc<Outlet>> {
        self.connections.borrow().values().map(|served| served.outlet.clone()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("addresses", &self.shared.addresses)
            .field("connections", &self.connections())
            .field("serving", &self.is_serving())
            .finish()
    }
}
