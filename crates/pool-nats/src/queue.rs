//! `Queue`: which server, which pool, and how its jobs are kept. Also the connection to it.

use std::fmt;
use std::io;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use async_nats::jetstream::{self, stream};
use async_nats::{Client, ConnectOptions, Event, ServerAddr, Subject};
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::{tls, wire};

/// The consumer that all agents of a pool pull from.
pub(crate) const CONSUMER: &str = "agents";
/// How long the server knows a message it has been sent again: longer than any retry takes.
const DUPLICATES: Duration = Duration::from_secs(120);
/// A server that was killed may keep messages that it takes for acknowledged, and gives to nobody.
/// They go at this age. (So would a job that has waited for so long; its client puts it there
/// again.)
const OLDEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// A connection that says nothing for twice as long is taken for dead.
const PING: Duration = Duration::from_secs(2);
/// How a server says that the servers of its cluster cannot decide on anything.
const NO_QUORUM: &str = "error code 10008";
/// How often making the queue is tried, and the pause between.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(100);
/// What may wait to be read from one subscription, and to be written.
const CAPACITY: usize = 1 << 16;

/// A queue of jobs on a NATS server: where it is, what it is called, how it is kept.
///
/// The queue is made by whoever comes first, client or agent: [`storage`](Self::storage),
/// [`replicas`](Self::replicas) and [`ack_wait`](Self::ack_wait) are what that one says, and what
/// others say of them later changes nothing. It stays on the server until somebody deletes the
/// stream `POOL_name` (with the NATS command line: `nats stream rm POOL_name`); the next one to
/// connect makes a new one.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use pool_nats::{Queue, Storage};
///
/// let queue = Queue::new("nats://user:password@queue.example.org:4222", "thumbnails")
///     .storage(Storage::File)
///     .ack_wait(Duration::from_secs(30));
/// ```
pub struct Queue {
    url: String,
    name: String,
    options: Option<ConnectOptions>,
    storage: Storage,
    replicas: usize,
    ack_wait: Duration,
}

/// Where a server keeps the jobs of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// In files: they survive the server.
    #[default]
    File,
    /// In memory. A job is put into the queue again by its client if the server has lost it.
    Memory,
}

impl Queue {
    /// The queue `name` on the server at `url`: `nats://host:4222`, with `user:password@` or
    /// `token@` in front of the host if the server asks for it; several, with commas between them,
    /// for the servers of a cluster: any of them will do to begin with, and if that one is lost the
    /// others are tried. (One is enough while it is there: it tells of the others.) With `tls://`
    /// in one of them, all is said through TLS, to any server; whom to trust is said by
    /// [`options`](Self::options).
    ///
    /// The name is made of letters, digits, `-` and `_`; else connecting fails.
    pub fn new(url: impl Into<String>, name: impl Into<String>) -> Queue {
        Queue {
            url: url.into(),
            name: name.into(),
            options: None,
            storage: Storage::default(),
            replicas: 1,
            ack_wait: Duration::from_secs(10),
        }
    }

    /// How to connect: certificates, credentials, reconnecting. Its `name`, its `event_callback`,
    /// its `ping_interval` and its capacities are set by this crate.
    ///
    /// Without it, servers that speak TLS are trusted if the system trusts them (or those in the
    /// file that `SSL_CERT_FILE` in the environment names), and no certificate is shown to them.
    ///
    /// # Examples
    ///
    /// A server with a certificate of an authority of your own, which wants to see one of its
    /// clients (`verify` in its configuration), too:
    ///
    /// ```
    /// use pool_nats::Queue;
    /// use pool_nats::async_nats::ConnectOptions;
    ///
    /// let options = ConnectOptions::new()
    ///     .add_root_certificates("/etc/primes/ca.pem".into())
    ///     .add_client_certificate("/etc/primes/own.pem".into(), "/etc/primes/own.key".into());
    /// let queue = Queue::new("tls://queue.example.org", "primes").options(options);
    /// ```
    ///
    /// Client and agents need the same. NKeys and files of credentials (JWT) are among the options
    /// when your own Cargo.toml asks for them:
    /// `async-nats = { version = "0.50", default-features = false, features = ["nkeys"] }`.
    pub fn options(mut self, options: ConnectOptions) -> Self {
        self.options = Some(options);
        self
    }

    /// Where the server keeps the jobs; in files unless set.
    pub fn storage(mut self, storage: Storage) -> Self {
        self.storage = storage;
        self
    }

    /// On how many servers of a cluster the jobs are kept; on one unless set.
    ///
    /// With 3, one of them may die: another goes on for it as soon as the servers have agreed on
    /// which, which takes them 4 to 9 s. While most of them are away, nothing is taken in or handed
    /// out: what was submitted waits, or ends at its [`deadline`](pool::JobOptions::deadline), and
    /// that says why; nothing is lost. (Jobs that run go on, and their results arrive.)
    pub fn replicas(mut self, servers: usize) -> Self {
        self.replicas = servers;
        self
    }

    /// After how long without a word from the agent that has it the server gives a job to another;
    /// 10 s unless set. It bounds how long a job waits whose agent, or the way to it, is lost.
    /// Agents give a sign of life for each job three times as often, so this limits no job.
    pub fn ack_wait(mut self, limit: Duration) -> Self {
        self.ack_wait = limit;
        self
    }

    /// Connects, and sees to it that the queue is there.
    pub(crate) async fn connect(self, role: &str) -> io::Result<Link> {
        let place = redacted(&self.url);
        let intent = |kind, why: &dyn fmt::Display| {
            io::Error::new(kind, format!("connecting to the pool {} at {place}: {why}", self.name))
        };
        let invalid = |why: &dyn fmt::Display| intent(io::ErrorKind::InvalidInput, why);
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.name.is_empty() || !self.name.chars().all(plain) {
            return Err(invalid(&"its name may hold letters, digits, '-' and '_' only"));
        }
        let addresses: io::Result<Vec<ServerAddr>> = self.url.split(',').map(str::parse).collect();
        let addresses = addresses.map_err(|error| invalid(&error))?;
        let (heard, mut events) = mpsc::unbounded_channel();
        let (again, reconnected) = mpsc::unbounded_channel();
        let with_tls = addresses.iter().any(ServerAddr::tls_required);
        if with_tls || self.options.is_some() {
            tls::choose_cryptography();
        }
        let options = self.options.clone().unwrap_or_default();
        let options = tls::require(with_login(options, &addresses), &addresses)
            .name(format!("pool {} {role}", self.name))
            .ping_interval(PING)
            .subscription_capacity(CAPACITY)
            .client_capacity(CAPACITY)
            .event_callback(move |event| {
                let _ = heard.send(event);
                std::future::ready(())
            });
        let client = options.connect(addresses).await.map_err(|error| {
            let mut why = whole(&error);
            if let Some(remedy) = tls::remedy(&error, with_tls) {
                why = format!("{why}; {remedy}");
            }
            intent(io::ErrorKind::ConnectionRefused, &why)
        })?;
        if !client.server_info().jetstream {
            let why = "this server runs without JetStream; start it as `nats-server -js -sd DIR`";
            return Err(intent(io::ErrorKind::Unsupported, &why));
        }
        tokio::spawn(async move {
            let mut lost = false;
            while let Some(event) = events.recv().await {
                // The first connection is not told of: nothing was lost before it.
                if event == Event::Connected && std::mem::take(&mut lost) {
                    let _ = again.send(());
                }
                lost |= event == Event::Disconnected;
            }
        });
        let link = Link::new(client, reconnected, self);
        let made = link.place.queue().await;
        made.map_err(|why| {
            let why = format!("making the stream {}: {why}", link.place.stream);
            io::Error::other(format!("connecting to the pool at {place}: {why}"))
        })?;
        Ok(link)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("url", &redacted(&self.url))
            .field("name", &self.name)
            .field("storage", &self.storage)
            .field("replicas", &self.replicas)
            .field("ack_wait", &self.ack_wait)
            .finish_non_exhaustive()
    }
}

/// Takes user and password, or the token, out of the first address that has them.
fn with_login(options: ConnectOptions, addresses: &[ServerAddr]) -> ConnectOptions {
    let mut logins = addresses.iter().filter_map(|address| {
        address.username().map(|user| (decoded(user), address.password().map(decoded)))
    });
    match logins.next() {
        Some((user, Some(password))) => options.user_and_password(user, password),
        Some((token, None)) => options.token(token),
        None => options,
    }
}

/// What stands for itself in a part of an address (RFC 3986, section 2.1).
fn decoded(part: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = part.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        let byte = tail.get(..2).filter(|_| *first == b'%').and_then(hex);
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The address without what is secret in it.
fn redacted(url: &str) -> String {
    let one = |url: &str| match url.rsplit_once('@') {
        Some((_, host)) => host.to_owned(),
        None => url.to_owned(),
    };
    url.split(',').map(one).collect::<Vec<_>>().join(",")
}

/// An error with its causes.
pub(crate) fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// A connection to a queue.
pub(crate) struct Link {
    pub(crate) client: Client,
    /// One for each time the connection was made again.
    pub(crate) events: mpsc::UnboundedReceiver<()>,
    pub(crate) pool: String,
    pub(crate) agents: Subject,
    pub(crate) clients: Subject,
    pub(crate) outbox: Outbox,
    pub(crate) place: Place,
}

/// Where the jobs are.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) context: jetstream::Context,
    pub(crate) stream: String,
    pub(crate) jobs: Subject,
    storage: Storage,
    replicas: usize,
    ack_wait: Duration,
}

impl Link {
    fn new(client: Client, events: mpsc::UnboundedReceiver<()>, queue: Queue) -> Link {
        let subject = |what| Subject::from(format!("pool.{}.{what}", queue.name));
        let place = Place {
            context: jetstream::new(client.clone()),
            stream: format!("POOL_{}", queue.name),
            jobs: subject("jobs"),
            storage: queue.storage,
            replicas: queue.replicas,
            ack_wait: queue.ack_wait,
        };
        Link {
            outbox: Outbox::new(client.clone()),
            events,
            place,
            agents: subject("agents"),
            clients: subject("clients"),
            pool: queue.name,
            client,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    /// The most bytes the server takes in one message.
    pub(crate) fn most(&self) -> usize {
        self.client.server_info().max_payload
    }
}

impl Place {
    /// The consumer of the queue; both are made if they are not there.
    ///
    /// # Errors
    ///
    /// What the server said.
    pub(crate) async fn queue(&self) -> Result<Consumer<pull::Config>, String> {
        let mut tries = 1;
        loop {
            match self.try_queue().await {
                // Somebody else makes it at the same time: it will be there.
                Err(_) if tries < TRIES => tokio::time::sleep(PAUSE).await,
                Err(why) if why.contains(NO_QUORUM) => {
                    let remedy = "more than half of the servers of a cluster have to be up";
                    return Err(format!("{why}; {remedy}"));
                }
                done => return done,
            }
            tries += 1;
        }
    }

    async fn try_queue(&self) -> Result<Consumer<pull::Config>, String> {
        let config = stream::Config {
            name: self.stream.clone(),
            subjects: vec![self.jobs.to_string()],
            retention: stream::RetentionPolicy::WorkQueue,
            storage: match self.storage {
                Storage::File => stream::StorageType::File,
                Storage::Memory => stream::StorageType::Memory,
            },
            num_replicas: self.replicas,
            duplicate_window: DUPLICATES,
            max_age: OLDEST,
            ..stream::Config::default()
        };
        let made = self.context.get_or_create_stream(config).await;
        let stream = made.map_err(|error| whole(&error))?;
        let config = pull::Config {
            durable_name: Some(CONSUMER.to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.ack_wait,
            // How often a job is handed out is counted by its client.
            max_deliver: -1,
            max_ack_pending: 100_000,
            ..pull::Config::default()
        };
        let made = stream.get_or_create_consumer(CONSUMER, config).await;
        made.map_err(|error| whole(&error))
    }
}

/// What is to be sent. Sending waits while the connection is down; those who send do not.
#[derive(Clone, Debug)]
pub(crate) struct Outbox(mpsc::UnboundedSender<Out>);

#[derive(Debug)]
enum Out {
    Message(Subject, Bytes),
    /// The second one is where to answer.
    Request(Subject, Subject, Bytes),
    /// Tell when all before this is on its way.
    Flush(oneshot::Sender<()>),
}

impl Outbox {
    fn new(client: Client) -> Outbox {
        let (outbox, mut waiting) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(out) = waiting.recv().await {
                // Both fail when the client is closed: then nobody waits for it any more.
                match out {
                    Out::Message(subject, bytes) => drop(client.publish(subject, bytes).await),
                    Out::Request(subject, reply, bytes) => {
                        drop(client.publish_with_reply(subject, reply, bytes).await);
                    }
                    Out::Flush(done) => {
                        let _ = client.flush().await;
                        let _ = done.send(());
                    }
                }
            }
        });
        Outbox(outbox)
    }

    pub(crate) fn send(&self, subject: impl Into<Subject>, bytes: impl Into<Bytes>) {
        let _ = self.0.send(Out::Message(subject.into(), bytes.into()));
    }

    /// The answer goes to the inbox `reply`.
    pub(crate) fn ask(&self, subject: impl Into<Subject>, reply: Subject, bytes: impl Into<Bytes>) {
        let _ = self.0.send(Out::Request(subject.into(), reply, bytes.into()));
    }

    pub(crate) fn say<T: Serialize>(&self, subject: impl Into<Subject>, value: &T) {
        self.send(subject, wire::pack(value, &[]));
    }

    /// Waits until what was sent is on its way, but not for ever: the connection may be down.
    pub(crate) async fn flush(&self, limit: Duration) {
        let (done, wait) = oneshot::channel();
        if self.0.send(Out::Flush(done)).is_ok() {
            let _ = tokio::time::timeout(limit, wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_an_address_are_not_shown() {
        assert_eq!(redacted("nats://me:secret@host:4222,b:1"), "host:4222,b:1");
        let queue = Queue::new("nats://token@host", "q");
        assert!(!format!("{queue:?}").contains("token"));
    }

    #[test]
    fn what_is_escaped_in_an_address_stands_for_itself() {
        assert_eq!(decoded("p%40ss%2Fword%"), "p@ss/word%");
        assert_eq!(decoded("100%zz%4"), "100%zz%4");
    }
}
