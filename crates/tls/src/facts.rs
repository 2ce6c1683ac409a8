//! What a handshake has agreed on, in words of our own: rustls' would change with its version.

use std::fmt;

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
