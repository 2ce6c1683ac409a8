//! What a client and a server agree on in the same way: versions of TLS, and the protocol above it.

use rustls::SupportedProtocolVersion;

use crate::facts::Version;

/// What one side is ready to speak.
#[derive(Clone, Debug, Default)]
pub(crate) struct Protocols {
    /// Those of the application, the preferred first (ALPN).
    pub(crate) application: Vec<Vec<u8>>,
    /// All there are, if none is named.
    versions: Vec<Version>,
}

impl Protocols {
    pub(crate) fn set_application<P: AsRef<[u8]>>(&mut self, names: impl IntoIterator<Item = P>) {
        self.application = names.into_iter().map(|name| name.as_ref().to_vec()).collect();
    }

    pub(crate) fn set_versions(&mut self, versions: &[Version]) {
        self.versions = versions.to_vec();
    }

    /// The versions in rustls' words.
    pub(crate) fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        if self.versions.is_empty() {
            return rustls::ALL_VERSIONS.to_vec();
        }
        self.versions.iter().map(|version| version.supported()).collect()
    }
}
