//! Whom this side believes: the root certificates of authorities.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use crate::error::unusable;
use crate::identity::{certificates, read};

/// Roots as they are gathered by a builder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trust {
    roots: Vec<CertificateDer<'static>>,
    mozilla: bool,
}

impl Trust {
    pub(crate) fn add(&mut self, root: CertificateDer<'static>) {
        self.roots.push(root);
    }

    pub(crate) fn add_pem(&mut self, pem: &[u8]) -> io::Result<()> {
        self.roots.extend(certificates(pem, "the text with authorities")?);
        Ok(())
    }

    pub(crate) fn add_file(&mut self, path: &Path) -> io::Result<()> {
        let found = certificates(&read(path)?, &path.display().to_string())?;
        self.roots.extend(found);
        Ok(())
    }

    #[cfg(feature = "webpki-roots")]
    pub(crate) fn add_mozilla(&mut self) {
        self.mozilla = true;
    }

    /// Those of the system. One that cannot be read is left out, as long as there are others.
    #[cfg(feature = "native-roots")]
    pub(crate) fn add_native(&mut self) -> io::Result<()> {
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() {
            let why = found.errors.iter().map(|error| format!(": {error}")).collect::<String>();
            let message = format!(
                "this system has no root certificates{why}. Install them (`ca-certificates`), or \
                 name a file in the environment variable SSL_CERT_FILE"
            );
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        let mut store = RootCertStore::empty();
        let known = found.certs.into_iter().filter(|root| store.add(root.clone()).is_ok());
        self.roots.extend(known);
        Ok(())
    }

    /// What was named, or Mozilla's roots if nothing was.
    pub(crate) fn or_mozilla(mut self) -> Self {
        self.mozilla |= self.roots.is_empty() && cfg!(feature = "webpki-roots");
        self
    }

    pub(crate) fn into_store(self) -> io::Result<Arc<RootCertStore>> {
        let mut store = RootCertStore::empty();
        for root in self.roots {
            store.add(root).map_err(|error| {
                unusable(format!("an authority's certificate cannot be used: {error}"))
            })?;
        }
        #[cfg(feature = "webpki-roots")]
        if self.mozilla {
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        if store.is_empty() {
            return Err(unusable(
                "nobody is trusted, so no certificate could be accepted: name an authority with \
                 `ca_file` or `ca_pem`, or enable the feature `webpki-roots` or `native-roots`",
            ));
        }
        Ok(Arc::new(store))
    }
}
