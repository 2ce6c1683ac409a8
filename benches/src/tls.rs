//! The interface of the programs that measure TLS (`tls_*`): handshakes and bytes over loopback
//! TCP, both ends on one thread.
//!
//! Both sides use rustls with the same configuration and cryptography, so what differs is what
//! carries it.

use std::sync::Arc;
use std::time::Duration;

use clap::Subcommand;
use tls::rustls::client::Resumption;
use tls::rustls::pki_types::PrivateKeyDer;
use tls::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::ring};

use crate::once::OnOneCore;
use crate::process::print_metrics;

/// One way to carry TLS. Every function builds its executor, does its work in a spawned task and
/// gives the time.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Connects, shakes hands, sends a byte back and closes in order, `count` times.
    pub handshake: fn(configs: Configs, count: u64) -> Duration,
    /// Sends [`MESSAGE`] bytes there and back over one connection, `count` times.
    pub round_trip: fn(configs: Configs, count: u64) -> Duration,
    /// Sends `count` KiB one way over one connection, [`PIECE`] bytes at a time.
    pub stream: fn(configs: Configs, count: u64) -> Duration,
}

/// What both sides are configured with.
#[derive(Debug, Clone)]
pub struct Configs {
    /// Of the client, which calls the server [`NAME`].
    pub client: Arc<ClientConfig>,
    /// Of the server.
    pub server: Arc<ServerConfig>,
}

/// The name of the server.
pub const NAME: &str = "localhost";
/// Bytes of a message.
pub const MESSAGE: usize = 100;
/// Bytes of a piece of a long stream.
pub const PIECE: usize = 64 << 10;

#[derive(Debug, Clone, Copy, Subcommand)]
enum What {
    /// Connections with a whole handshake
    Handshake,
    /// Connections that resume a session
    Resumed,
    /// A short message there and back
    RoundTrip,
    /// Many bytes one way, per KiB
    Stream,
}

/// The whole of a `tls_*` program.
///
/// # Errors
///
/// When pinning is refused, or no certificate can be made.
pub fn main(peer: Peer) -> anyhow::Result<()> {
    let options = OnOneCore::begin()?;
    let (way, resumes) = match options.what {
        What::Handshake => (peer.handshake, false),
        What::Resumed => (peer.handshake, true),
        What::RoundTrip => (peer.round_trip, false),
        What::Stream => (peer.stream, false),
    };
    let configs = configs(resumes)?;
    let ns = options.length.nanoseconds_per_unit(|count| way(configs.clone(), count));
    print_metrics(Some(("ns", ns)));
    Ok(())
}

fn configs(resumes: bool) -> anyhow::Result<Configs> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    if !resumes {
        client.resumption = Resumption::disabled();
    }
    Ok(Configs { client: Arc::new(client), server: Arc::new(server) })
}
