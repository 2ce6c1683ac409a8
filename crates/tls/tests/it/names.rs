//! Several certificates at one server, by the name that the client asks for.

use std::io::ErrorKind;

use tls::{Identity, TlsAcceptor, TlsConnector};
use uring_loop::io::duplex;

use crate::support::{Authority, run, try_shake};

#[test]
fn the_name_chooses_the_certificate() {
    run(async {
        let authority = Authority::new();
        let other = authority.issue(&["other.example.org"]);
        let wild = authority.issue(&["*.example.org"]);
        let fallback = authority.issue(&["fallback.test"]);
        let own = [&other, &wild, &fallback].map(|identity| identity.certificate().clone());
        let acceptor = TlsAcceptor::builder()
            .identity(fallback)
            .identity_for("Other.example.ORG", other)
            .identity_for("*.example.org", wild)
            .build()
            .expect("they fit");
        let connector = authority.client().build().expect("it fits");
        for (name, which) in [
            ("other.example.org", 0),
            ("OTHER.example.org", 0),
            ("any.example.org", 1),
            ("fallback.test", 2),
        ] {
            let (client, _) = try_shake(&connector, &acceptor, name, duplex(1000)).await;
            let shown = client.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(shown.peer_certificates(), own[which..=which], "{name}");
        }
        // One label more is not covered, so the default is shown, which is for another name.
        let (client, _) = try_shake(&connector, &acceptor, "a.b.example.org", duplex(1000)).await;
        let error = client.expect_err("no certificate for it");
        assert!(error.to_string().contains("fallback.test"), "{error}");
    });
}

#[test]
fn without_a_default_a_client_that_asks_for_something_else_is_refused() {
    run(async {
        let authority = Authority::new();
        let identity = authority.issue(&["one.test"]);
        let acceptor = TlsAcceptor::builder().identity_for("one.test", identity).build();
        let acceptor = acceptor.expect("it fits");
        let connector = authority.client().build().expect("it fits");
        let (client, server) = try_shake(&connector, &acceptor, "two.test", duplex(1000)).await;
        assert_eq!(client.expect_err("refused").kind(), ErrorKind::ConnectionAborted);
        server.expect_err("refused");
    });
}

#[test]
fn settings_that_do_not_go_together_are_refused_with_the_reason() {
    let (one, other) = (Authority::new(), Authority::new());
    let refused = |result: std::io::Result<TlsAcceptor>, words: &str| {
        let error = result.expect_err("it does not fit");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(words), "{error}");
    };
    refused(TlsAcceptor::builder().build(), "needs a certificate");
    let identity = one.issue(&["one.test"]);
    refused(
        TlsAcceptor::builder().identity_for("two.test", identity.clone()).build(),
        "two.test is not valid for that name",
    );
    refused(
        TlsAcceptor::builder().identity_for("no name", identity.clone()).build(),
        "no name of a host",
    );
    refused(
        TlsAcceptor::builder().identity(identity).require_client_certificate().build(),
        "client_ca",
    );
    let (chain, _) = one.issue_pem(&["one.test"], |_| {});
    let (_, key) = other.issue_pem(&["one.test"], |_| {});
    let mixed = Identity::from_pem(chain.as_bytes(), key.as_bytes()).expect("PEM");
    refused(TlsAcceptor::builder().identity(mixed).build(), "not that of the certificate");
    let error = TlsConnector::builder().ca_pem(b"nothing").expect_err("no PEM");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn certificates_are_read_from_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let authority = Authority::new();
    let (chain, key) = authority.issue_pem(&["localhost"], |_| {});
    std::fs::write(path("ca.pem"), authority.pem()).expect("room");
    std::fs::write(path("both.pem"), format!("{chain}\nsome words\n{key}")).expect("room");
    run(async {
        let identity = Identity::from_pem_files(path("both.pem"), path("both.pem")).expect("PEM");
        let acceptor = TlsAcceptor::builder()
            .identity(identity)
            .client_ca_file(path("ca.pem"))
            .and_then(tls::AcceptorBuilder::build)
            .expect("it fits");
        let connector = TlsConnector::builder().ca_file(path("ca.pem")).expect("PEM").build();
        let connector = connector.expect("it fits");
        let (client, server) = try_shake(&connector, &acceptor, "localhost", duplex(1000)).await;
        client.and(server).map(drop).expect("both are content");
    });
    let error = Identity::from_pem_files(path("ca.pem"), path("ca.pem")).expect_err("no key");
    assert!(error.to_string().contains("ca.pem"), "{error}");
    let error = TlsConnector::builder().ca_file(path("none")).expect_err("no file");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_name_that_is_none_is_refused() {
    run(async {
        let connector = Authority::new().client().build().expect("it fits");
        let (one, _other) = duplex(1000);
        let error = connector.connect("not a name", one).await.expect_err("a space in it");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("\"not a name\""), "{error}");
    });
}
