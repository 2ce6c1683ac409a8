//! What a handshake has agreed on, in words of our own: rustls' would change with its version.

use std::fmt;

use rustls::pki_types::CertificateDer;
use uring_loop::io::ByteStream;

use crate::stream::TlsStream;

/// A version of TLS. Older ones are not spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Version {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl fmt::Display for Version {
    /// As Python's `SSLSocket.version()` and OpenSSL name them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::Tls12 => "TLSv1.2",
            Version::Tls13 => "TLSv1.3",
        })
    }
}

impl Version {
    pub(crate) fn supported(self) -> &'static rustls::SupportedProtocolVersion {
        match self {
            Version::Tls12 => &rustls::version::TLS12,
            Version::Tls13 => &rustls::version::TLS13,
        }
    }
}

/// How a handshake went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeKind {
    /// All of it, with certificates.
    Full,
    /// All of it, with one more round trip: the server wanted another key exchange than the client
    /// had guessed.
    FullWithRetry,
    /// An earlier session was gone on with: fewer round trips and no certificates.
    #[doc(alias = "session_reused")]
    Resumed,
}

/// What was agreed on.
impl<S: ByteStream + 'static> TlsStream<S> {
    /// The certificates that the other side has shown, its own first; none if it has shown none.
    #[doc(alias = "getpeercert")]
    pub fn peer_certificates(&self) -> Vec<CertificateDer<'static>> {
        self.session.borrow().peer_certificates()
    }

    /// The application protocol that was agreed on, if ALPN was used.
    #[doc(alias = "selected_alpn_protocol")]
    pub fn alpn_protocol(&self) -> Option<Vec<u8>> {
        self.session.borrow().alpn_protocol()
    }

    /// The version of TLS that is spoken.
    #[doc(alias = "version")]
    pub fn protocol_version(&self) -> Version {
        self.session.borrow().version()
    }

    /// The name of the cipher suite, as IANA has it: `TLS13_AES_256_GCM_SHA384`.
    #[doc(alias = "cipher")]
    pub fn cipher_suite(&self) -> &'static str {
        self.session.borrow().cipher_suite()
    }

    /// The name of the server: at a client the one that was connected to, at a server the one that
    /// the client asked for (SNI), if it did.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Whether an earlier session was resumed.
    #[doc(alias = "session_reused")]
    pub fn handshake_kind(&self) -> HandshakeKind {
        self.session.borrow().handshake_kind()
    }
}
