//! What went wrong, as an `io::Error` whose sentence names the cause and the peer.

use std::io;
use std::rc::Rc;

use rustls::{CertificateError, Error};

/// A failure that stays, so it is told more than once.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    kind: io::ErrorKind,
    message: Rc<str>,
}

impl Failure {
    pub(crate) fn new(kind: io::ErrorKind, message: impl Into<Rc<str>>) -> Self {
        Failure { kind, message: message.into() }
    }

    /// The stream under TLS ended, but not TLS.
    pub(crate) fn truncated(peer: &str) -> Self {
        let message = format!(
            "the connection to {peer} ended without TLS' close_notify: it broke, or somebody cut \
             it, and the last bytes may be missing"
        );
        Self::new(io::ErrorKind::UnexpectedEof, message)
    }

    pub(crate) fn error(&self) -> io::Error {
        io::Error::new(self.kind, &*self.message)
    }
}

/// What rustls says about a connection to `peer`.
pub(crate) fn explain(error: &Error, peer: &str) -> Failure {
    let message = match error {
        Error::InvalidCertificate(error) => certificate(error, peer),
        Error::NoCertificatesPresented => {
            format!("{peer} has shown no certificate, and this side asks for one")
        }
        Error::PeerIncompatible(detail) => {
            format!("{peer} and this side have no version or cipher of TLS in common ({detail:?})")
        }
        Error::InvalidMessage(detail) => format!(
            "what {peer} sent is not TLS ({detail:?}): does it expect plain text on this port?"
        ),
        Error::NoApplicationProtocol => {
            format!("{peer} and this side have no application protocol (ALPN) in common")
        }
        Error::AlertReceived(alert) => {
            let message = format!("{peer} has broken off TLS, with the alert {alert:?}");
            return Failure::new(io::ErrorKind::ConnectionAborted, message);
        }
        Error::DecryptError => {
            format!("bytes from {peer} were changed on their way: they cannot be decrypted")
        }
        Error::EncryptError => format!(
            "the keys of the TLS connection to {peer} have encrypted all they may: connect anew"
        ),
        other => format!("TLS with {peer} failed: {other}"),
    };
    Failure::new(io::ErrorKind::InvalidData, message)
}

fn certificate(error: &CertificateError, peer: &str) -> String {
    use CertificateError as C;
    let why = match error {
        C::Expired => "has expired".to_owned(),
        C::ExpiredContext { time, not_after } => {
            format!("has expired, {}", ago(time.as_secs(), not_after.as_secs()))
        }
        C::NotValidYet | C::NotValidYetContext { .. } => {
            "is not valid yet: is the clock of this machine right?".to_owned()
        }
        C::NotValidForName => "is for another name".to_owned(),
        C::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "is for no name at all".to_owned()
        }
        C::NotValidForNameContext { presented, .. } => {
            format!("is for another name: {}", presented.join(", "))
        }
        C::UnknownIssuer => "was not issued by anybody whom this side trusts: it is self-signed, \
                             or its authority is unknown here, or a certificate in between is \
                             missing"
            .to_owned(),
        C::Revoked => "was revoked".to_owned(),
        C::BadSignature => "has a signature that is wrong".to_owned(),
        C::BadEncoding => "cannot be read".to_owned(),
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => {
            "was issued for another purpose".to_owned()
        }
        C::Other(detail) if detail.to_string().contains("CaUsedAsEndEntity") => {
            "is that of an authority, which cannot vouch for a host: it is self-signed".to_owned()
        }
        other => format!("is not accepted: {other}"),
    };
    format!("the certificate of {peer} {why}")
}

fn ago(now: u64, then: u64) -> String {
    match now.saturating_sub(then) / (24 * 60 * 60) {
        0 => "today".to_owned(),
        1 => "a day ago".to_owned(),
        days => format!("{days} days ago"),
    }
}

/// A setting that cannot be used.
pub(crate) fn unusable(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expired_certificate_says_for_how_long() {
        assert_eq!(ago(100, 99), "today");
        assert_eq!(ago(100_000, 0), "a day ago");
        assert_eq!(ago(1_000_000, 0), "11 days ago");
    }

    #[test]
    fn a_failure_is_told_again_and_again_in_the_same_words() {
        let failure = explain(&Error::DecryptError, "example.org");
        for _ in 0..2 {
            let error = failure.error();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains("example.org"), "{error}");
        }
    }
}
