//! Connections that come encrypted, for servers of any kind.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::rc::{Rc, Weak};
use std::time::Duration;

use uring_loop::io::{Address, ByteStream, Listener};
use uring_loop::queue::Queue;
use uring_loop::time::timeout;
use uring_loop::{Task, race, spawn};

use crate::acceptor::TlsAcceptor;
use crate::stream::TlsStream;

/// How long a handshake may take: asyncio's `ssl_handshake_timeout`.
const HANDSHAKE: Duration = Duration::from_secs(60);

/// Gives what another listener gives, encrypted: for
/// [`stream::serve`](uring_loop::stream::serve), [`protocol::serve`](uring_loop::protocol::serve),
/// and whoever calls [`accept`](Listener::accept).
///
/// Each handshake is done in a task of its own, beside the others. So a client that is slow on
/// purpose holds up nobody; it is given up after 60 seconds
/// ([`handshake_timeout`](Self::handshake_timeout)). A client whose handshake fails is nobody to
/// accept: it is passed over in silence, as in asyncio, or told to
/// [`on_failure`](Self::on_failure).
///
/// It accepts from the other listener while somebody accepts from this one. Dropping it closes the
/// connections that nobody has accepted, those in their handshake too.
///
/// # Examples
///
/// ```
/// use tls::{Identity, TlsAcceptor, TlsConnector, TlsListener};
/// use uring_loop::net::{TcpListener, TcpStream};
/// use uring_loop::stream::{serve, wrap};
///
/// # fn load() -> std::io::Result<Identity> {
/// #     let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
/// #     let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
/// #     Identity::from_pem(chain.as_bytes(), key.as_bytes())
/// # }
/// uring_loop::run(async {
///     let identity = load()?; // elsewhere: Identity::from_pem_files("cert.pem", "key.pem")?
/// #   let own = identity.certificate().clone();
///     let acceptor = TlsAcceptor::builder().identity(identity).build()?;
///     let listener = TlsListener::new(TcpListener::bind("127.0.0.1:0")?, acceptor);
///     let server = serve([listener], |mut reader, writer| async move {
///         while let Some(line) = reader.next_line().await? {
///             writer.write(line);
///         }
///         Ok::<(), std::io::Error>(())
///     });
///
///     let connector = TlsConnector::builder();
/// #   let connector = connector.ca(own);
///     let tcp = TcpStream::connect(server.addresses()[0].ip().unwrap()).await?;
///     let (mut reader, writer) = wrap(connector.build()?.connect("localhost", tcp).await?);
///     writer.write("hello\n");
///     assert_eq!(reader.read_line().await?, b"hello\n");
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "ssl")]
pub struct TlsListener<L: Listener> {
    listener: L,
    acceptor: TlsAcceptor,
    limit: Duration,
    shared: Rc<Shared<L::Stream>>,
}

/// Who wants to know of failures.
type Tell = Rc<dyn Fn(io::Error)>;

/// What the tasks know too, as long as the listener is there.
struct Shared<S: ByteStream + 'static> {
    /// Those whose handshake is done.
    ready: Queue<TlsStream<S>>,
    /// Those who are at it.
    shaking: RefCell<BTreeMap<u64, Task<()>>>,
    next: Cell<u64>,
    failed: RefCell<Option<Tell>>,
}

impl<L: Listener> TlsListener<L> {
    /// Encrypts what `listener` gives.
    pub fn new(listener: L, acceptor: TlsAcceptor) -> Self {
        let shared = Rc::new(Shared {
            ready: Queue::new(),
            shaking: RefCell::default(),
            next: Cell::new(0),
            failed: RefCell::default(),
        });
        TlsListener { listener, acceptor, limit: HANDSHAKE, shared }
    }

    /// How long a handshake may take: 60 seconds otherwise.
    ///
    /// # Panics
    ///
    /// If it is no time at all.
    #[must_use]
    #[doc(alias = "ssl_handshake_timeout")]
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        assert!(
            !limit.is_zero(),
            "a handshake takes longer than no time: give it a second or more"
        );
        self.limit = limit;
        self
    }

    /// Tells of each handshake that has failed, or has taken too long (`TimedOut`); see
    /// [`TlsAcceptor::accept`] for the errors.
    #[must_use]
    pub fn on_failure(self, tell: impl Fn(io::Error) + 'static) -> Self {
        self.shared.failed.replace(Some(Rc::new(tell)));
        self
    }

    /// How many connections are in their handshake.
    pub fn handshakes(&self) -> usize {
        self.shared.shaking.borrow().len()
    }

    /// The listener under this one.
    pub fn get_ref(&self) -> &L {
        &self.listener
    }

    fn begin(&self, stream: L::Stream) {
        let number = self.shared.next.get();
        self.shared.next.set(number + 1);
        let (acceptor, limit) = (self.acceptor.clone(), self.limit);
        let shared = Rc::downgrade(&self.shared);
        let task = spawn(async move {
            let shaken = timeout(limit, acceptor.accept(stream)).await;
            let shaken = shaken.unwrap_or_else(|_| {
                let text = format!("a TLS handshake was not done within {limit:?}");
                Err(io::Error::new(io::ErrorKind::TimedOut, text))
            });
            end(&shared, number, shaken);
        });
        let task = task.named("a TLS handshake");
        self.shared.shaking.borrow_mut().insert(number, task);
    }
}

/// A handshake is over; its listener may be gone.
fn end<S: ByteStream>(shared: &Weak<Shared<S>>, number: u64, shaken: io::Result<TlsStream<S>>) {
    let Some(shared) = shared.upgrade() else { return };
    let own = shared.shaking.borrow_mut().remove(&number);
    drop(own);
    match shaken {
        Ok(stream) => {
            // It has no limit, and nobody shuts it down.
            drop(shared.ready.put_nowait(stream));
        }
        Err(error) => {
            let tell = shared.failed.borrow().clone();
            if let Some(tell) = tell {
                tell(error);
            }
        }
    }
}

impl<L: Listener> Listener for TlsListener<L> {
    type Stream = TlsStream<L::Stream>;

    async fn accept(&self) -> io::Result<Self::Stream> {
        loop {
            let encrypted = async { Ok(self.shared.ready.get().await) };
            let plain = async { Err(self.listener.accept().await) };
            match race((encrypted, plain)).await {
                Ok(stream) => return Ok(stream.expect("nobody shuts it down")),
                Err(stream) => self.begin(stream?),
            }
        }
    }

    fn local_address(&self) -> Option<Address> {
        self.listener.local_address()
    }
}

impl<L: Listener> Drop for TlsListener<L> {
    fn drop(&mut self) {
        let shaking = self.shared.shaking.take();
        shaking.values().for_each(Task::abort);
    }
}

impl<L: Listener + fmt::Debug> fmt::Debug for TlsListener<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsListener")
            .field("listener", &self.listener)
            .field("handshakes", &self.handshakes())
            .field("ready", &self.shared.ready.len())
            .finish_non_exhaustive()
    }
}
