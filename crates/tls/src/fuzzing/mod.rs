//! What `cargo xtask fuzz` feeds with bytes: both sides of a handshake, whose peer says anything at
//! all, and connections with somebody in between who changes, cuts and delays what goes by.
//!
//! Each target panics if something is wrong; its seeds are the files of the folder `fuzz/TARGET`
//! of this crate, which the tests here run too. This module is not compiled otherwise.

mod relay;

use std::sync::OnceLock;

use uring_loop::io::{ByteStreamExt as _, duplex};
use uring_loop::testing::{SimConfig, simulate};

use crate::{Identity, TlsAcceptor, TlsConnector};

/// Something that can be fed, and its name.
pub type Target = (&'static str, fn(&[u8]));

/// What can be fed.
pub const TARGETS: &[Target] =
    &[("certificates", certificates), ("hellos", hellos), ("relays", relay::run)];

/// Good for these targets alone, until the year 2120. The key is no secret.
const CHAIN: &str = include_str!("cert.pem");
const KEY: &str = include_str!("key.pem");

/// A client and a server who get on, and remember nothing.
fn ends() -> &'static (TlsConnector, TlsAcceptor) {
    static ENDS: OnceLock<(TlsConnector, TlsAcceptor)> = OnceLock::new();
    ENDS.get_or_init(|| {
        let identity = Identity::from_pem(CHAIN.as_bytes(), KEY.as_bytes()).expect("PEM");
        let connector = TlsConnector::builder().ca(identity.certificate().clone());
        let connector = connector.alpn(["a", "b"]).no_resumption().build();
        let acceptor = TlsAcceptor::builder().identity(identity).alpn(["b"]).build();
        (connector.expect("it fits"), acceptor.expect("it fits"))
    })
}

/// A chain and a key that somebody has written: they are good, or refused.
fn certificates(bytes: &[u8]) {
    let (chain, key) = match bytes.iter().position(|byte| *byte == 0) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, KEY.as_bytes()),
    };
    if let Ok(identity) = Identity::from_pem(chain, key) {
        drop(TlsAcceptor::builder().identity(identity).build());
    }
    drop(TlsConnector::builder().ca_pem(bytes).map(|builder| builder.build().map(drop)));
}

/// A peer that knows no key says something, in pieces, and goes: there is no connection.
fn hellos(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let pieces = rest.chunks(usize::from(*first >> 1).pow(2) + 1);
    simulate(SimConfig::seeded(0), |_| async {
        let (connector, acceptor) = ends();
        let (here, peer) = duplex(1 << 20);
        for piece in pieces {
            peer.send(piece.to_vec()).await.expect("open");
        }
        peer.write_eof().await.expect("open");
        let shaken = match first & 1 {
            0 => acceptor.accept(here).await,
            _ => connector.connect("localhost", here).await,
        };
        let error = shaken.map(drop).expect_err("nobody has proved anything");
        assert!(!error.to_string().is_empty());
    });
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn seeds_of_every_target() {
        for (name, target) in TARGETS {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name);
            let mut count = 0;
            for file in fs::read_dir(&folder).expect("it has seeds") {
                let path = file.expect("readable").path();
                println!("{}", path.display());
                target(&fs::read(&path).expect("readable"));
                count += 1;
            }
            assert!(count > 0, "{} is empty", folder.display());
        }
    }
}
