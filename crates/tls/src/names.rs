//! Which certificate a server shows to whom, by the name that the client asks for (SNI).

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::error::unusable;
use crate::identity::Identity;

#[derive(Debug, Default)]
pub(crate) struct ByName {
    /// For a client that asks for no name, or for one that is not in the table.
    default: Option<Arc<CertifiedKey>>,
    /// By name in lower case; `*.example.org` stands for one label more.
    named: HashMap<String, Arc<CertifiedKey>>,
}

impl ByName {
    pub(crate) fn set_default(
        &mut self,
        identity: Identity,
        provider: &CryptoProvider,
    ) -> io::Result<()> {
        self.default = Some(certified(identity, provider)?);
        Ok(())
    }

    pub(crate) fn add(
        &mut self,
        name: &str,
        identity: Identity,
        provider: &CryptoProvider,
    ) -> io::Result<()> {
        let certified = certified(identity, provider)?;
        check_name(name, &certified)?;
        self.named.insert(name.to_ascii_lowercase(), certified);
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.default.is_none() && self.named.is_empty()
    }

    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        let wild = || {
            let (_, rest) = name.split_once('.')?;
            self.named.get(&format!("*.{rest}"))
        };
        self.named.get(&name).or_else(wild)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| self.find(name));
        named.or(self.default.as_ref()).cloned()
    }
}

/// The chain with its key in a form that signs.
pub(crate) fn certified(
    identity: Identity,
    provider: &CryptoProvider,
) -> io::Result<Arc<CertifiedKey>> {
    let certified = CertifiedKey::from_der(identity.chain, identity.key, provider);
    certified.map(Arc::new).map_err(|error| {
        unusable(match error {
            rustls::Error::InconsistentKeys(_) => {
                "the private key is not that of the certificate".to_owned()
            }
            other => format!("the certificate and its key cannot be used: {other}"),
        })
    })
}

/// A certificate under a name that it does not have would fail at every client.
fn check_name(name: &str, certified: &CertifiedKey) -> io::Result<()> {
    let some = match name.strip_prefix("*.") {
        Some(rest) => format!("any.{rest}"),
        None => name.to_owned(),
    };
    let asked = ServerName::try_from(some)
        .map_err(|_| unusable(format!("{name:?} is no name of a host")))?;
    let own = certified.end_entity_cert().and_then(ParsedCertificate::try_from);
    own.and_then(|own| verify_server_name(&own, &asked))
        .map_err(|_| unusable(format!("the certificate for {name} is not valid for that name")))
}
