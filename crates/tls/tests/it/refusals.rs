//! Certificates and peers that are not accepted: each with a sentence that says why, on this side,
//! and an alert for the other.

use std::io::{self, ErrorKind};

use tls::{TlsAcceptor, TlsConnector, Version};
use uring_loop::io::{ByteStreamExt as _, duplex};
use uring_loop::join;

use crate::support::{Authority, ends, read_to_end, run, try_shake};

/// What each side says when they shake hands in vain. In TLS 1.3 the client may be content first,
/// and learn it when it reads.
fn both_refuse(connector: &TlsConnector, acceptor: &TlsAcceptor) -> (io::Error, io::Error) {
    run(async {
        let (client, server) = try_shake(connector, acceptor, "localhost", duplex(10_000)).await;
        let server = server.map(drop).expect_err("the server is not content");
        let client = match client {
            Err(error) => error,
            Ok(stream) => stream.recv().await.expect_err("the client is told"),
        };
        (client, server)
    })
}

fn client_refuses(connector: &TlsConnector, acceptor: &TlsAcceptor, words: &[&str]) {
    let (client, server) = both_refuse(connector, acceptor);
    assert_eq!(client.kind(), ErrorKind::InvalidData, "{client}");
    for word in words {
        assert!(client.to_string().contains(word), "{client}: {word}");
    }
    assert!(client.to_string().contains("localhost"), "{client}");
    assert_eq!(server.kind(), ErrorKind::ConnectionAborted, "{server}");
    assert!(server.to_string().contains("the alert"), "{server}");
}

fn server_with(
    authority: &Authority,
    adapt: impl FnOnce(&mut rcgen::CertificateParams),
) -> TlsAcceptor {
    let identity = authority.issue_with(&["localhost"], adapt);
    TlsAcceptor::builder().identity(identity).build().expect("it fits")
}

#[test]
fn a_certificate_that_has_expired() {
    let authority = Authority::new();
    let acceptor = server_with(&authority, |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2001, 2, 1);
    });
    let connector = authority.client().build().expect("it fits");
    client_refuses(&connector, &acceptor, &["has expired", "days ago"]);
}

#[test]
fn a_certificate_that_is_not_valid_yet() {
    let authority = Authority::new();
    let acceptor = server_with(&authority, |params| {
        params.not_before = rcgen::date_time_ymd(3000, 1, 1);
    });
    let connector = authority.client().build().expect("it fits");
    client_refuses(&connector, &acceptor, &["not valid yet", "clock"]);
}

#[test]
fn a_certificate_for_another_name() {
    let authority = Authority::new();
    let identity = authority.issue(&["example.org", "www.example.org"]);
    let acceptor = TlsAcceptor::builder().identity(identity).build().expect("it fits");
    let connector = authority.client().build().expect("it fits");
    client_refuses(&connector, &acceptor, &["another name", "www.example.org"]);
}

#[test]
fn a_certificate_of_an_authority_that_is_not_trusted() {
    let acceptor = Authority::new().server().build().expect("it fits");
    let connector = Authority::new().client().build().expect("it fits");
    client_refuses(&connector, &acceptor, &["whom this side trusts"]);
}

#[test]
fn mozillas_authorities_are_not_ours() {
    let acceptor = Authority::new().server().build().expect("it fits");
    let connector = TlsConnector::builder().build().expect("roots are compiled in");
    client_refuses(&connector, &acceptor, &["whom this side trusts"]);
}

#[test]
fn naming_an_authority_leaves_the_others_out_unless_they_are_named() {
    // Whoever names their own authority wants no other, as in Python's `create_default_context`.
    let (one, other) = (Authority::new(), Authority::new());
    let acceptor = one.server().build().expect("it fits");
    let connector = other.client().webpki_roots().build().expect("it fits");
    client_refuses(&connector, &acceptor, &["whom this side trusts"]);
    let both = other.client().ca_pem(one.pem().as_bytes()).expect("PEM").build();
    run(async {
        let both = both.expect("it fits");
        let (client, _) = try_shake(&both, &acceptor, "localhost", duplex(1000)).await;
        client.map(drop).expect("one of the two");
    });
}

#[test]
fn a_certificate_that_signed_itself() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a name");
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let identity = tls::Identity::from_pem(certificate.as_bytes(), key.as_bytes()).expect("PEM");
    let acceptor = TlsAcceptor::builder().identity(identity).build().expect("it fits");
    let connector = Authority::new().client().build().expect("it fits");
    client_refuses(&connector, &acceptor, &["self-signed"]);
}

#[test]
fn an_authority_that_poses_as_a_host() {
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("signed").pem();
    let key = key.serialize_pem();
    let identity = tls::Identity::from_pem(certificate.as_bytes(), key.as_bytes()).expect("PEM");
    let acceptor = TlsAcceptor::builder().identity(identity).build().expect("it fits");
    let connector = TlsConnector::builder().ca_pem(certificate.as_bytes()).expect("PEM");
    let connector = connector.build().expect("it fits");
    client_refuses(&connector, &acceptor, &["an authority", "self-signed"]);
}

#[test]
fn a_certificate_for_another_purpose() {
    let authority = Authority::new();
    let acceptor = server_with(&authority, |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    let connector = authority.client().build().expect("it fits");
    client_refuses(&connector, &acceptor, &["another purpose"]);
}

#[test]
fn no_version_in_common() {
    let authority = Authority::new();
    let connector = authority.client().versions(&[Version::Tls12]).build().expect("it fits");
    let acceptor = authority.server().versions(&[Version::Tls13]).build().expect("it fits");
    let (client, server) = both_refuse(&connector, &acceptor);
    assert_eq!(server.kind(), ErrorKind::InvalidData);
    assert!(server.to_string().contains("no version or cipher"), "{server}");
    assert_eq!(client.kind(), ErrorKind::ConnectionAborted);
    assert!(client.to_string().contains("localhost"), "{client}");
}

#[test]
fn no_cipher_in_common() {
    let authority = Authority::new();
    let with = |suite: tls::rustls::SupportedCipherSuite| {
        let mut provider = tls::rustls::crypto::ring::default_provider();
        provider.cipher_suites = vec![suite];
        std::sync::Arc::new(provider)
    };
    use tls::rustls::crypto::ring::cipher_suite as suites;
    use tls::rustls::pki_types::pem::PemObject as _;
    use tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let (chain, key) = authority.issue_pem(&["localhost"], |_| {});
    let server =
        tls::rustls::ServerConfig::builder_with_provider(with(suites::TLS13_AES_128_GCM_SHA256))
            .with_safe_default_protocol_versions()
            .expect("a suite of 1.3")
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(chain.as_bytes()).expect("PEM")],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM"),
            )
            .expect("they fit");
    let client = tls::rustls::ClientConfig::builder_with_provider(with(
        suites::TLS13_CHACHA20_POLY1305_SHA256,
    ))
    .with_safe_default_protocol_versions()
    .expect("a suite of 1.3")
    .with_root_certificates(tls::rustls::RootCertStore::empty())
    .with_no_client_auth();
    let connector = TlsConnector::new(std::sync::Arc::new(client));
    let acceptor = TlsAcceptor::new(std::sync::Arc::new(server));
    let (client, server) = both_refuse(&connector, &acceptor);
    assert_eq!(server.kind(), ErrorKind::InvalidData);
    assert!(server.to_string().contains("no version or cipher"), "{server}");
    assert_eq!(client.kind(), ErrorKind::ConnectionAborted);
}

#[test]
fn no_application_protocol_in_common() {
    let authority = Authority::new();
    let connector = authority.client().alpn(["h2"]).build().expect("it fits");
    let acceptor = authority.server().alpn(["http/1.1"]).build().expect("it fits");
    let (client, server) = both_refuse(&connector, &acceptor);
    assert_eq!(server.kind(), ErrorKind::InvalidData);
    assert!(server.to_string().contains("ALPN"), "{server}");
    assert_eq!(client.kind(), ErrorKind::ConnectionAborted);
}

#[test]
fn a_client_without_the_certificate_it_is_asked_for() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let pem = authority.pem();
    for version in [Version::Tls12, Version::Tls13] {
        let acceptor = authority
            .server()
            .versions(&[version])
            .require_client_certificate()
            .client_ca_pem(pem.as_bytes())
            .and_then(tls::AcceptorBuilder::build)
            .expect("it fits");
        let without = authority.client().build().expect("it fits");
        let (client, server) = both_refuse(&without, &acceptor);
        assert!(server.to_string().contains("has shown no certificate"), "{server}");
        assert_eq!(server.kind(), ErrorKind::InvalidData);
        assert_eq!(client.kind(), ErrorKind::ConnectionAborted, "{client}");
        let strange = authority.client().identity(stranger.issue(&["me"])).build();
        let (client, server) = both_refuse(&strange.expect("it fits"), &acceptor);
        assert!(server.to_string().contains("the client was not issued"), "{server}");
        assert_eq!(client.kind(), ErrorKind::ConnectionAborted, "{client}");
    }
}

#[test]
fn plain_text_at_a_server() {
    run(async {
        let (_, acceptor) = ends();
        let (plain, stream) = duplex(1000);
        plain.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".into()).await.expect("open");
        let error = acceptor.accept(stream).await.map(drop).expect_err("no hello");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().contains("the client sent is not TLS"), "{error}");
        let alert = read_to_end(&plain).await.expect("an orderly end");
        assert_eq!(alert.first(), Some(&21), "the other side gets an alert");
    });
}

#[test]
fn plain_text_from_a_server() {
    run(async {
        let (connector, _) = ends();
        let (plain, stream) = duplex(1000);
        plain.send("220 mail.example.org ESMTP\r\n".into()).await.expect("open");
        let error = connector.connect("mail.example.org", stream).await.map(drop);
        let error = error.expect_err("no hello");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        let said = error.to_string();
        assert!(said.contains("what mail.example.org sent is not TLS"), "{said}");
    });
}

#[test]
fn a_peer_that_goes_away_in_the_middle() {
    run(async {
        let (connector, acceptor) = ends();
        let (plain, stream) = duplex(1000);
        let going = async {
            plain.recv().await.expect("a hello");
            drop(plain);
        };
        let (error, ()) = join((connector.connect("localhost", stream), going)).await;
        let error = error.map(drop).expect_err("gone");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
        assert!(error.to_string().contains("localhost ended the connection"), "{error}");
        let (plain, stream) = duplex(1000);
        drop(plain);
        let error = acceptor.accept(stream).await.map(drop).expect_err("gone");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
    });
}
