//! The server's side.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, ServerConnection, WebPkiClientVerifier};
use rustls::{Connection, ServerConfig};
use uring_loop::io::ByteStream;

use crate::error::{explain, unusable};
use crate::facts::Version;
use crate::handshake::shake;
use crate::identity::Identity;
use crate::names::ByName;
use crate::protocols::Protocols;
use crate::provider::{provider, ticketer};
use crate::stream::TlsStream;
use crate::trust::Trust;

/// Makes TLS streams of streams, as the server. Cloning it is cheap; clones, on any thread, resume
/// each other's sessions.
///
/// # Examples
///
/// See the [front page](crate).
#[doc(alias = "SSLContext")]
#[derive(Clone, Debug)]
pub struct TlsAcceptor {
    config: Arc<ServerConfig>,
}

impl TlsAcceptor {
    /// With a configuration of rustls, for what the builder does not offer.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        TlsAcceptor { config }
    }

    /// A builder, which needs an identity.
    pub fn builder() -> AcceptorBuilder {
        AcceptorBuilder::default()
    }

    /// Does the handshake with a client, over a stream from it.
    ///
    /// The stream may have been in use in plain text: this is also what asyncio calls `start_tls`.
    /// See [`TlsConnector::connect`](crate::TlsConnector::connect).
    ///
    /// It waits as long as the client does. Put it under a limit, and into a task of its own, so
    /// that a client that is slow on purpose holds nobody:
    /// `timeout(Duration::from_secs(10), acceptor.accept(…))`, of [`uring_loop::time::timeout`].
    /// (asyncio's own limit is 60 seconds.) A [`TlsListener`](crate::TlsListener) does all that.
    ///
    /// # Errors
    ///
    /// * `InvalidData`: what came is not TLS, there is no version or cipher in common, or the
    ///   client's certificate is not accepted. The sentence says which.
    /// * `ConnectionAborted`: the client has refused, with an alert: it does not trust the
    ///   certificate, say.
    /// * `UnexpectedEof`: the client went away in the middle; and those of the stream.
    ///
    /// # Cancel safety
    ///
    /// None: dropping it drops the stream, and the connection.
    #[doc(alias = "start_tls")]
    #[doc(alias = "wrap_socket")]
    pub async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: ByteStream + 'static,
    {
        let peer = match stream.peer_address() {
            Some(address) => format!("the client {address}"),
            None => "the client".to_owned(),
        };
        let connection = ServerConnection::new(self.config.clone())
            .map_err(|error| explain(&error, &peer).error())?;
        shake(Connection::Server(connection), stream, peer, None).await
    }
}

impl From<Arc<ServerConfig>> for TlsAcceptor {
    fn from(config: Arc<ServerConfig>) -> Self {
        Self::new(config)
    }
}

/// Makes a [`TlsAcceptor`].
///
/// # Examples
///
/// ```no_run
/// use tls::{Identity, TlsAcceptor};
///
/// let acceptor = TlsAcceptor::builder()
///     .identity(Identity::from_pem_files("site.pem", "site.key")?)
///     .identity_for("*.example.org", Identity::from_pem_files("wild.pem", "wild.key")?)
///     .alpn(["http/1.1"])
///     .build()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct AcceptorBuilder {
    default: Option<Identity>,
    named: Vec<(String, Identity)>,
    protocols: Protocols,
    clients: Clients,
    trust: Trust,
}

/// Whether clients show certificates.
#[derive(Clone, Copy, Debug, Default)]
enum Clients {
    #[default]
    NotAsked,
    Asked,
    Required,
}

impl AcceptorBuilder {
    /// The certificate for clients that ask for no name, or for one without a certificate of its
    /// own here.
    #[must_use]
    #[doc(alias = "load_cert_chain")]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.default = Some(identity);
        self
    }

    /// The certificate for clients that ask for this name (SNI). `*.example.org` stands for any one
    /// label in front; a name in full goes first. Without [`identity`](Self::identity), clients
    /// that ask for something else are refused.
    #[must_use]
    #[doc(alias = "sni_callback")]
    pub fn identity_for(mut self, name: impl Into<String>, identity: Identity) -> Self {
        self.named.push((name.into(), identity));
        self
    }

    /// Speaks these application protocols, the preferred first. A client that offers others only is
    /// refused; one that offers none is not.
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

    /// Asks clients for a certificate, and refuses those that have none from an authority named
    /// with `client_ca…`.
    #[must_use]
    #[doc(alias = "CERT_REQUIRED")]
    pub fn require_client_certificate(mut self) -> Self {
        self.clients = Clients::Required;
        self
    }

    /// Asks clients for a certificate, but accepts those that show none; one that is shown has to
    /// be from an authority named with `client_ca…`. Look with
    /// [`peer_certificates`](TlsStream::peer_certificates).
    #[must_use]
    #[doc(alias = "CERT_OPTIONAL")]
    pub fn ask_for_client_certificate(mut self) -> Self {
        self.clients = Clients::Asked;
        self
    }

    /// Trusts an authority to vouch for clients.
    #[must_use]
    pub fn client_ca(mut self, root: CertificateDer<'static>) -> Self {
        self.trust.add(root);
        self
    }

    /// Trusts the authorities in a text of PEM to vouch for clients.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it holds none.
    pub fn client_ca_pem(mut self, pem: &[u8]) -> io::Result<Self> {
        self.trust.add_pem(pem)?;
        Ok(self)
    }

    /// Trusts the authorities in a file of PEM, which is read at once, to vouch for clients.
    ///
    /// # Errors
    ///
    /// Those of reading; `InvalidInput` if it holds none.
    pub fn client_ca_file(mut self, path: impl AsRef<Path>) -> io::Result<Self> {
        self.trust.add_file(path.as_ref())?;
        Ok(self)
    }

    /// The acceptor. Its session tickets are encrypted with keys of its own, which are renewed
    /// every few hours.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the settings do not go together: there is no identity, a key is not that
    /// of its certificate, a certificate is not for its name, or clients are asked for certificates
    /// and no authority for them is named.
    pub fn build(self) -> io::Result<TlsAcceptor> {
        let provider = provider()?;
        let mut names = ByName::default();
        if let Some(identity) = self.default {
            names.set_default(identity, &provider)?;
        }
        for (name, identity) in self.named {
            names.add(&name, identity, &provider)?;
        }
        if names.is_empty() {
            return Err(unusable(
                "a server needs a certificate: give one with `identity` or `identity_for`",
            ));
        }
        let clients = verifier(self.clients, self.trust, &provider)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.protocols.versions())
            .map_err(|error| unusable(error.to_string()))?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::new(names));
        config.alpn_protocols = self.protocols.application;
        if let Some(ticketer) = ticketer() {
            config.ticketer = ticketer;
        }
        Ok(TlsAcceptor::new(Arc::new(config)))
    }
}

fn verifier(
    clients: Clients,
    trust: Trust,
    provider: &Arc<CryptoProvider>,
) -> io::Result<Arc<dyn ClientCertVerifier>> {
    if let Clients::NotAsked = clients {
        return Ok(Arc::new(NoClientAuth));
    }
    let roots = trust.into_store().map_err(|error| {
        unusable(format!("clients are asked for certificates, so `client_ca…` is needed: {error}"))
    })?;
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
    let verifier = match clients {
        Clients::Asked => verifier.allow_unauthenticated(),
        _ => verifier,
    };
    verifier.build().map_err(|error| unusable(error.to_string()))
}
