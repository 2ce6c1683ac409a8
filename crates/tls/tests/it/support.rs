//! What several modules need: an authority that issues certificates, and connected streams.

use std::future::Future;
use std::time::Duration;

use futures_util::future::join;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use tls::{Identity, TlsAcceptor, TlsConnector, TlsStream};
use uring_loop::EventLoop;
use uring_loop::io::{ByteStream, ByteStreamExt as _, MemoryStream, duplex};
use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::time::{now, timeout};

pub(crate) const GUARD: Duration = Duration::from_secs(120);

/// An authority, good for the length of a test.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        // Two of one name would be taken for each other.
        let name = format!("test authority {:x?}", &key.public_key_raw()[1..9]);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        Authority(CertifiedIssuer::self_signed(params, key).expect("signed"))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Chain and key in PEM.
    pub(crate) fn issue_pem(
        &self,
        names: &[&str],
        adapt: impl FnOnce(&mut CertificateParams),
    ) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        adapt(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }

    pub(crate) fn issue(&self, names: &[&str]) -> Identity {
        self.issue_with(names, |_| {})
    }

    pub(crate) fn issue_with(
        &self,
        names: &[&str],
        adapt: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let (chain, key) = self.issue_pem(names, adapt);
        Identity::from_pem(chain.as_bytes(), key.as_bytes()).expect("PEM")
    }

    /// A client that trusts it.
    pub(crate) fn client(&self) -> tls::ConnectorBuilder {
        TlsConnector::builder().ca_pem(self.pem().as_bytes()).expect("PEM")
    }

    /// A server that is called localhost.
    pub(crate) fn server(&self) -> tls::AcceptorBuilder {
        TlsAcceptor::builder().identity(self.issue(&["localhost", "127.0.0.1"]))
    }
}

/// A client and a server who get on.
pub(crate) fn ends() -> (TlsConnector, TlsAcceptor) {
    let authority = Authority::new();
    let (client, server) = (authority.client().build(), authority.server().build());
    (client.expect("it fits"), server.expect("it fits"))
}

pub(crate) type Ends<S> = (TlsStream<S>, TlsStream<S>);

/// Both ends of a handshake that succeeds: the client's first.
pub(crate) async fn shaken<S: ByteStream + 'static>(
    (connector, acceptor): &(TlsConnector, TlsAcceptor),
    (one, other): (S, S),
) -> Ends<S> {
    let (client, server) = try_shake(connector, acceptor, "localhost", (one, other)).await;
    (client.expect("the client is content"), server.expect("the server is content"))
}

pub(crate) async fn try_shake<S: ByteStream + 'static>(
    connector: &TlsConnector,
    acceptor: &TlsAcceptor,
    name: &str,
    (one, other): (S, S),
) -> (std::io::Result<TlsStream<S>>, std::io::Result<TlsStream<S>>) {
    join(connector.connect(name, one), acceptor.accept(other)).await
}

pub(crate) async fn in_memory(ends: &(TlsConnector, TlsAcceptor)) -> Ends<MemoryStream> {
    shaken(ends, duplex(64 << 10)).await
}

/// Both ends of a TCP connection, on this loop.
pub(crate) async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("free");
    let address = listener.local_addr().expect("bound");
    let (server, client) = join(listener.accept(), TcpStream::connect(address)).await;
    (client.expect("connected"), server.expect("accepted"))
}

/// Runs on a loop whose clock jumps, without sockets. One that waits for ever fails.
#[track_caller]
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    uring_loop::testing::run(guarded(future))
}

/// The end of a limit polls once more what it ends: that must not be what helps.
async fn guarded<F: Future>(future: F) -> F::Output {
    let start = now();
    let output = timeout(GUARD, future).await.expect("it waits for ever");
    assert!(now() - start < GUARD, "it was not woken, and ended when its time was over");
    output
}

/// Runs on a real loop in real time.
#[track_caller]
pub(crate) fn run_real<F: Future>(future: F) -> F::Output {
    let mut event_loop = EventLoop::new().expect("a ring");
    event_loop.run_until_complete(guarded(future)).expect("not cancelled")
}

pub(crate) fn pattern(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251 + seed) as u8).collect()
}

/// Everything up to the end.
pub(crate) async fn read_to_end(stream: &impl ByteStream) -> std::io::Result<Vec<u8>> {
    let mut got = Vec::new();
    loop {
        let bytes = stream.recv().await?;
        if bytes.is_empty() {
            return Ok(got);
        }
        got.extend_from_slice(&bytes);
    }
}

/// So many bytes.
pub(crate) async fn read(stream: &impl ByteStream, length: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < length {
        let bytes = stream.recv().await.expect("open");
        assert!(!bytes.is_empty(), "it ended after {} of {length} bytes", got.len());
        got.extend_from_slice(&bytes);
    }
    got
}

/// One message to the server, and one back: the client has seen its tickets then.
pub(crate) async fn ping_pong<S: ByteStream>(client: &S, server: &S) {
    client.send(b"ping".to_vec()).await.expect("open");
    assert_eq!(read(server, 4).await, b"ping");
    server.send(b"pong".to_vec()).await.expect("open");
    assert_eq!(read(client, 4).await, b"pong");
}
