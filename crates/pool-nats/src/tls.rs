//! What TLS needs beside `ConnectOptions`: whose cryptography, and errors that say what to do.

use std::error::Error;
use std::io;

use async_nats::rustls::{self, AlertDescription, CertificateError, crypto};
use async_nats::{ConnectError, ConnectErrorKind, ConnectOptions, ServerAddr};

const UNTRUSTED: &str = "its certificate was issued by nobody who is trusted here; give the \
    certificate of its authority to both clients and agents, as a PEM file: \
    Queue::options(ConnectOptions::new().add_root_certificates(FILE)), or SSL_CERT_FILE in the \
    environment";
const OTHER_NAME: &str = "its certificate is for other names; say one of those in the address, or \
    issue one that has the name or the IP address by which it is reached among its subject \
    alternative names";
const WRONG_TIME: &str = "its certificate is not valid at this time; renew it, or set the clock";
const NO_SERVERS: &str = "its certificate is that of an authority (CA:TRUE), as \
    `openssl req -x509` makes them; issue one for the server (CA:FALSE) and sign it with that";
const OWN: &str = "it does not take what this client shows, or does not show: it wants a \
    certificate of its clients, too (`verify` in its configuration): \
    Queue::options(ConnectOptions::new().add_client_certificate(FILE, KEY))";
const ENDED: &str = "it has ended the connection after the first words of TLS: it may want a \
    certificate of its clients (`verify` in its configuration): \
    Queue::options(ConnectOptions::new().add_client_certificate(FILE, KEY))";
const WITHOUT: &str = "what answers there does so without TLS; configure it there, or say nats://";

/// With `tls://` in one of the addresses nothing is ever said without TLS, neither to servers that
/// the first one tells of.
pub(crate) fn require(options: ConnectOptions, addresses: &[ServerAddr]) -> ConnectOptions {
    let wanted = addresses.iter().any(ServerAddr::tls_required) && !mutant!("tls-at-first-only");
    if wanted { options.require_tls(true) } else { options }
}

/// Chooses whose cryptography rustls uses, unless the program has. rustls does so itself as long as
/// there is one choice; but any crate of a program can add the other one, and then it panics.
pub(crate) fn choose_cryptography() {
    if crypto::CryptoProvider::get_default().is_none() {
        // Fails if somebody else was faster.
        let _ = crypto::ring::default_provider().install_default();
    }
}

/// What to do about a connection that was refused, if TLS is the reason.
pub(crate) fn remedy(error: &ConnectError, with_tls: bool) -> Option<&'static str> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
            return inner.map_or_else(|| ended(error).filter(|_| with_tls), reason);
        }
        cause = error.source();
    }
    // The end of a connection has no error of its own.
    let silent = error.kind() == ConnectErrorKind::Io && error.to_string().ends_with("broken pipe");
    (silent && with_tls).then_some(ENDED)
}

fn ended(error: &io::Error) -> Option<&'static str> {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let ended = [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof];
    ended.contains(&error.kind()).then_some(ENDED)
}

fn reason(error: &rustls::Error) -> Option<&'static str> {
    use CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            // Of the second sort: by another authority of the same name.
            Bad::UnknownIssuer | Bad::BadSignature => Some(UNTRUSTED),
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => Some(OTHER_NAME),
            Bad::Expired
            | Bad::ExpiredContext { .. }
            | Bad::NotValidYet
            | Bad::NotValidYetContext { .. } => Some(WRONG_TIME),
            Bad::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
                Some(NO_SERVERS)
            }
            _ => None,
        },
        rustls::Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::UnknownCA,
        ) => Some(OWN),
        rustls::Error::InvalidMessage(_) => Some(WITHOUT),
        _ => None,
    }
}
