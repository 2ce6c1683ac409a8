//! Who this side is: certificates and the key that proves them.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::unusable;

/// A chain of certificates, that of this side first and each vouched for by the next, with the
/// private key of the first.
///
/// # Examples
///
/// ```
/// use tls::Identity;
///
/// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
/// # let folder = tempfile::tempdir()?;
/// # std::env::set_current_dir(&folder)?;
/// # std::fs::write("cert.pem", made.cert.pem())?;
/// # std::fs::write("key.pem", made.signing_key.serialize_pem())?;
/// let identity = Identity::from_pem_files("cert.pem", "key.pem")?;
/// println!("a certificate of {} bytes", identity.certificate().len());
///
/// let error = Identity::from_pem_files("cert.pem", "no-such.pem").unwrap_err();
/// assert!(error.to_string().contains("no-such.pem"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "load_cert_chain")]
pub struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// From DER. Whether the key fits the certificate is known when the connector or acceptor is
    /// built.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there is no certificate.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> io::Result<Self> {
        if chain.is_empty() {
            return Err(unusable("an identity needs a certificate, and there is none"));
        }
        Ok(Identity { chain, key })
    }

    /// From PEM: one or more `CERTIFICATE`, and a `PRIVATE KEY` (PKCS #8), `RSA PRIVATE KEY` or
    /// `EC PRIVATE KEY`. Both may be the same text. An encrypted key is not understood.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if one of them is missing or cannot be read.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> io::Result<Self> {
        let chain = certificates(chain, "the chain")?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| unusable(format!("the private key is no PEM: {error}")))?;
        Self::new(chain, key)
    }

    /// From files of PEM, which are read at once: at the start of a program, as a rule. Both may be
    /// the same file.
    ///
    /// # Errors
    ///
    /// Those of reading, and as [`from_pem`](Self::from_pem); both name the file.
    pub fn from_pem_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> io::Result<Self> {
        let (chain, key) = (chain.as_ref(), key.as_ref());
        let of = |path: &Path, error: &dyn fmt::Display| {
            unusable(format!("{}: {error}", path.display()))
        };
        let certificates = certificates(&read(chain)?, "it").map_err(|error| of(chain, &error))?;
        let key = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| of(key, &error))?;
        Self::new(certificates, key)
    }

    /// The certificate of this side: the first of the chain.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Identity { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl fmt::Debug for Identity {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}

/// The certificates in a text; one at least.
pub(crate) fn certificates(pem: &[u8], what: &str) -> io::Result<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| unusable(format!("{what} is no PEM: {error}")))?;
    if all.is_empty() {
        return Err(unusable(format!("{what} holds no CERTIFICATE in PEM")));
    }
    Ok(all)
}

pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path).map_err(|error| {
        io::Error::new(error.kind(), format!("reading {}: {error}", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused_by_name() {
        let error = certificates(b"hello", "the chain").expect_err("no PEM in it");
        assert_eq!(error.to_string(), "the chain holds no CERTIFICATE in PEM");
        let error = Identity::from_pem_files("/no/such/file", "/no/such/key").expect_err("none");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().starts_with("reading /no/such/file: "), "{error}");
    }
}
