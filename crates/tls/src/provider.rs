//! Whose cryptography is used: chosen by name, so that two compiled-in providers are no conflict.

use std::io;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::ProducesTickets;

use crate::error::unusable;

/// The one that the process has installed, or else the one that is compiled in; AWS-LC of both,
/// since ring is there by default and AWS-LC only where somebody wanted it.
pub(crate) fn provider() -> io::Result<Arc<CryptoProvider>> {
    if let Some(installed) = CryptoProvider::get_default() {
        return Ok(installed.clone());
    }
    compiled_in().map(Arc::new).ok_or_else(|| {
        unusable(
            "there is no cryptography to do TLS with: enable the feature `ring` or `aws-lc-rs` \
             of the crate `tls`, or install a `rustls::crypto::CryptoProvider`",
        )
    })
}

#[cfg(feature = "aws-lc-rs")]
fn compiled_in() -> Option<CryptoProvider> {
    Some(rustls::crypto::aws_lc_rs::default_provider())
}

#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
fn compiled_in() -> Option<CryptoProvider> {
    Some(rustls::crypto::ring::default_provider())
}

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
fn compiled_in() -> Option<CryptoProvider> {
    None
}

/// Who makes a server's session tickets; `None` leaves sessions in the server's memory.
#[cfg(feature = "aws-lc-rs")]
pub(crate) fn ticketer() -> Option<Arc<dyn ProducesTickets>> {
    rustls::crypto::aws_lc_rs::Ticketer::new().ok()
}

/// Who makes a server's session tickets; `None` leaves sessions in the server's memory.
#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
pub(crate) fn ticketer() -> Option<Arc<dyn ProducesTickets>> {
    rustls::crypto::ring::Ticketer::new().ok()
}

/// Who makes a server's session tickets; `None` leaves sessions in the server's memory.
#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
pub(crate) fn ticketer() -> Option<Arc<dyn ProducesTickets>> {
    None
}
