//! The client's side.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::{ClientConnection, Resumption};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, Connection};
use uring_loop::io::ByteStream;

use crate::error::{explain, unusable};
use crate::facts::Version;
use crate::handshake::shake;
use crate::identity::Identity;
use crate::protocols::Protocols;
use crate::provider::provider;
use crate::stream::TlsStream;
use crate::trust::Trust;

/// Makes TLS streams of streams, as the client. Cloning it is cheap, and clones share their
/// sessions: make one and keep it, for a session can only be resumed by the connector that made it.
///
/// # Examples
///
/// ```no_run
/// use tls::TlsConnector;
/// use uring_loop::io::ByteStreamExt;
/// use uring_loop::net::TcpStream;
///
/// uring_loop::run(async {
///     let connector = TlsConnector::builder().build()?;
///     let tcp = TcpStream::connect("example.org:443").await?;
///     let stream = connector.connect("example.org", tcp).await?;
///     stream.send("GET / HTTP/1.0\r\nHost: example.org\r\n\r\n".into()).await?;
///     let answer = stream.recv().await?;
///     println!("{}: {}", stream.protocol_version(), String::from_utf8_lossy(&answer));
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "SSLContext")]
#[derive(Clone, Debug)]
pub struct TlsConnector {
    config: Arc<ClientConfig>,
}

impl TlsConnector {
    /// With a configuration of rustls, for what the builder does not offer.
    pub fn new(config: Arc<ClientConfig>) -> Self {
        TlsConnector { config }
    }

    /// A builder that checks certificates against Mozilla's roots, unless it is told otherwise.
    #[doc(alias = "create_default_context")]
    pub fn builder() -> ConnectorBuilder {
        ConnectorBuilder::default()
    }

    /// Does the handshake with a server, over a stream that is connected to it. The certificate has
    /// to be one for `server_name`: the name of a host, or an IP address.
    ///
    /// The stream may have been in use in plain text: this is also what asyncio calls `start_tls`.
    /// A reader and a writer go on encrypted by
    /// [`StreamWriter::upgrade`](uring_loop::stream::StreamWriter::upgrade), a protocol's transport
    /// by [`Transport::upgrade`](uring_loop::protocol::Transport::upgrade). What has come in plain
    /// text and was not read goes to TLS then, which refuses it: it may be from somebody in
    /// between.
    ///
    /// It waits as long as the server does. Put it under a limit:
    /// `timeout(Duration::from_secs(10), connector.connect(…))`, of
    /// [`uring_loop::time::timeout`]. (asyncio's own limit is 60 seconds.)
    ///
    /// # Errors
    ///
    /// * `InvalidInput`: the name is none.
    /// * `InvalidData`: the certificate is not accepted, there is no version or cipher in common,
    ///   or what came is not TLS. The sentence says which.
    /// * `ConnectionAborted`: the server has refused, with an alert.
    /// * `UnexpectedEof`: the server went away in the middle; and those of the stream.
    ///
    /// # Cancel safety
    ///
    /// None: dropping it drops the stream, and the connection. Connect anew instead.
    ///
    /// # Examples
    ///
    /// A connection that begins in plain text, as one for mail does:
    ///
    /// ```no_run
    /// use tls::TlsConnector;
    /// use uring_loop::stream::open_connection;
    ///
    /// uring_loop::run(async {
    ///     let connector = TlsConnector::builder().build()?;
    ///     let (mut reader, writer) = open_connection("mail.example.org:25").await?;
    ///     reader.read_line().await?; // 220 mail.example.org
    ///     writer.write("STARTTLS\r\n");
    ///     reader.read_line().await?; // 220 go ahead
    ///     let shake = |plain| connector.connect("mail.example.org", plain);
    ///     writer.upgrade(&mut reader, shake).await?;
    ///     writer.write("EHLO me.example.org\r\n"); // encrypted
    ///     reader.read_line().await?;
    ///     Ok::<(), std::io::Error>(())
    /// })?
    /// # ; Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "start_tls")]
    #[doc(alias = "wrap_socket")]
    pub async fn connect<S>(&self, server_name: &str, stream: S) -> io::Result<TlsStream<S>>
    where
        S: ByteStream + 'static,
    {
        let name = ServerName::try_from(server_name.to_owned()).map_err(|_| {
            unusable(format!("{server_name:?} is neither the name of a host nor an IP address"))
        })?;
        let connection = ClientConnection::new(self.config.clone(), name)
            .map_err(|error| explain(&error, server_name).error())?;
        let name = server_name.to_owned();
        shake(Connection::Client(connection), stream, name.clone(), Some(name)).await
    }
}

impl From<Arc<ClientConfig>> for TlsConnector {
    fn from(config: Arc<ClientConfig>) -> Self {
        Self::new(config)
    }
}

/// Makes a [`TlsConnector`].
///
/// Trusted are the authorities that are named; if none is, Mozilla's. There is no setting to accept
/// any certificate: name the server's own one as an authority instead.
///
/// # Examples
///
/// ```no_run
/// use tls::{Identity, TlsConnector};
///
/// let connector = TlsConnector::builder()
///     .ca_file("ca.pem")?
///     .identity(Identity::from_pem_files("me.pem", "me.key")?)
///     .alpn(["h2", "http/1.1"])
///     .build()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ConnectorBuilder {
    trust: Trust,
    identity: Option<Identity>,
    protocols: Protocols,
    fresh: bool,
}

impl ConnectorBuilder {
    /// Trusts an authority, and what it has issued; a self-signed certificate is its own.
    #[must_use]
    pub fn ca(mut self, root: CertificateDer<'static>) -> Self {
        self.trust.add(root);
        self
    }

    /// Trusts the authorities in a text of PEM.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it holds none.
    #[doc(alias = "cadata")]
    pub fn ca_pem(mut self, pem: &[u8]) -> io::Result<Self> {
        self.trust.add_pem(pem)?;
        Ok(self)
    }

    /// Trusts the authorities in a file of PEM, which is read at once.
    ///
    /// # Errors
    ///
    /// Those of reading; `InvalidInput` if it holds none.
    #[doc(alias = "load_verify_locations")]
    pub fn ca_file(mut self, path: impl AsRef<Path>) -> io::Result<Self> {
        self.trust.add_file(path.as_ref())?;
        Ok(self)
    }

    /// Trusts Mozilla's authorities too, as they were when `webpki-roots` was compiled in.
    #[cfg(feature = "webpki-roots")]
    #[must_use]
    pub fn webpki_roots(mut self) -> Self {
        self.trust.add_mozilla();
        self
    }

    /// Trusts the authorities of the system, which are read at once.
    ///
    /// # Errors
    ///
    /// `NotFound` if the system has none.
    #[cfg(feature = "native-roots")]
    #[doc(alias = "load_default_certs")]
    pub fn native_roots(mut self) -> io::Result<Self> {
        self.trust.add_native()?;
        Ok(self)
    }

    /// Shows this certificate to servers that ask for one.
    #[must_use]
    #[doc(alias = "load_cert_chain")]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Offers these application protocols, the preferred first.
    #[must_use]
    #[doc(alias = "set_alpn_protocols")]
    pub fn alpn<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.protocols.set_application(protocols);
        self
    }

    /// Speaks these versions only. Otherwise all there are.
    #[must_use]
    #[doc(alias = "minimum_version")]
    pub fn versions(mut self, versions: &[Version]) -> Self {
        self.protocols.set_versions(versions);
        self
    }

    /// Resumes no sessions: every handshake is a whole one.
    #[must_use]
    pub fn no_resumption(mut self) -> Self {
        self.fresh = true;
        self
    }

    /// The connector.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the settings do not go together: nobody is trusted, or a key is not that
    /// of its certificate.
    pub fn build(self) -> io::Result<TlsConnector> {
        let roots = self.trust.or_mozilla().into_store()?;
        let config = ClientConfig::builder_with_provider(provider()?)
            .with_protocol_versions(&self.protocols.versions())
            .map_err(|error| unusable(error.to_string()))?
            .with_root_certificates(roots);
        let mut config = match self.identity {
            Some(Identity { chain, key }) => {
                config.with_client_auth_cert(chain, key).map_err(|error| {
                    unusable(format!("the client's certificate cannot be used: {error}"))
                })?
            }
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = self.protocols.application;
        if self.fresh {
            config.resumption = Resumption::disabled();
        }
        Ok(TlsConnector::new(Arc::new(config)))
    }
}
