//! TLS for [`uring_loop`]: [rustls] over any stream of bytes.
//!
//! ```
//! use tls::{Identity, TlsAcceptor, TlsConnector};
//! use uring_loop::io::ByteStreamExt;
//! use uring_loop::net::{TcpListener, TcpStream};
//!
//! # fn load() -> std::io::Result<Identity> {
//! #     let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
//! #     let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
//! #     Identity::from_pem(chain.as_bytes(), key.as_bytes())
//! # }
//! uring_loop::run(async {
//!     // A server. Elsewhere: Identity::from_pem_files("cert.pem", "key.pem")?
//!     let identity = load()?;
//! #   let own = identity.certificate().clone();
//!     let acceptor = TlsAcceptor::builder().identity(identity).build()?;
//!     let listener = TcpListener::bind("127.0.0.1:0")?;
//!     let address = listener.local_addr()?;
//!     let server = uring_loop::spawn(async move {
//!         let stream = acceptor.accept(listener.accept().await?).await?;
//!         let question = stream.recv().await?;
//!         stream.send([b"you said ", &*question].concat()).await?;
//!         stream.write_eof().await
//!     });
//!
//!     // A client. It believes Mozilla's authorities, or those that are named.
//!     let connector = TlsConnector::builder();
//! #   let connector = connector.ca(own);
//!     let connector = connector.build()?;
//!     let stream = connector.connect("localhost", TcpStream::connect(address).await?).await?;
//!     stream.send("hello".into()).await?;
//!     assert_eq!(&*stream.recv().await?, b"you said hello");
//!     assert!(stream.recv().await?.is_empty(), "the end");
//!     server.await?
//! })?
//! # ; Ok::<(), std::io::Error>(())
//! ```
//!
//! * [`TlsConnector`] makes a client's side of a stream, [`TlsAcceptor`] a server's. Either has a
//!   builder with defaults that are safe, and takes a configuration of rustls for all else.
//! * [`TlsListener`] does an acceptor's handshakes beside each other, for the servers of
//!   [`uring_loop::stream`] and [`uring_loop::protocol`].
//! * [`TlsStream`] is a [`ByteStream`](uring_loop::io::ByteStream) as what it lies on. So all that
//!   works over streams works over it: halves, line readers, protocols, TLS again.
//! * [`Identity`] is a certificate with its key; [`Version`] and [`HandshakeKind`] tell what was
//!   agreed on.
//!
//! # Features
//!
//! | feature | default | gives |
//! |---|---|---|
//! | `ring` | yes | cryptography by ring: needs a C compiler to build |
//! | `aws-lc-rs` | | cryptography by AWS-LC, with post-quantum key exchange; used if both are there |
//! | `webpki-roots` | yes | Mozilla's authorities, compiled in |
//! | `native-roots` | | the authorities of the system |
//!
//! A `rustls::crypto::CryptoProvider` that the process has installed goes before both.
//!
//! # Limits
//!
//! TLS 1.2 and 1.3. No early data (0-RTT), which can be replayed; no renegotiation; encryption is
//! done by this thread, not by the kernel.
//!
//! In a *debug* build, rustls 0.23 panics if a peer sends what cannot be decrypted after this side
//! has said close_notify; in a release build that is an error like any. A debug build that
//! strangers talk to should have these lines in its `Cargo.toml`:
//!
//! ```toml
//! [profile.dev.package.rustls]
//! debug-assertions = false
//! ```
//!
//! Of rustls' types, only the two configurations and those of certificates ([`pki_types`]) are in
//! the API of this crate, since the next version of rustls has others. They come from
//! [`rustls`](mod@rustls), as this crate uses it.
//!
//! [`pki_types`]: rustls::pki_types

#![forbid(unsafe_code)]

mod acceptor;
mod connector;
mod error;
mod facts;
#[cfg(any(test, fuzz))]
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod identity;
mod listener;
mod names;
mod protocols;
mod provider;
mod session;
mod stream;
mod trust;

pub use acceptor::{AcceptorBuilder, TlsAcceptor};
pub use connector::{ConnectorBuilder, TlsConnector};
pub use facts::{HandshakeKind, Version};
pub use identity::Identity;
pub use listener::TlsListener;
pub use rustls;
pub use stream::TlsStream;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
