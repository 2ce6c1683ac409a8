//! What the two sides agree on, and what they tell about it.

use tls::{HandshakeKind, TlsAcceptor, TlsConnector, TlsStream, Version};
use uring_loop::io::{ByteStream, ByteStreamExt as _, duplex, split};
use uring_loop::join;

use crate::support::{
    Authority, ends, in_memory, pattern, ping_pong, read, read_to_end, run, run_real, shaken, tcp,
    try_shake,
};

#[test]
fn both_sides_tell_what_was_agreed_on() {
    run(async {
        let (client, server) = in_memory(&ends()).await;
        for stream in [&client, &server] {
            assert_eq!(stream.protocol_version(), Version::Tls13);
            assert_eq!(stream.protocol_version().to_string(), "TLSv1.3");
            assert!(stream.cipher_suite().starts_with("TLS13_"), "{}", stream.cipher_suite());
            assert_eq!(stream.handshake_kind(), HandshakeKind::Full);
            assert_eq!(stream.server_name(), Some("localhost"));
            assert_eq!(stream.alpn_protocol(), None);
        }
        assert_eq!(client.peer_certificates().len(), 1);
        assert!(server.peer_certificates().is_empty(), "the client was not asked");
        assert!(format!("{client:?}").contains("localhost"));
    });
}

#[test]
fn each_version_alone_carries_bytes_both_ways() {
    for version in [Version::Tls12, Version::Tls13] {
        run(async move {
            let authority = Authority::new();
            let client = authority.client().build().expect("it fits");
            let server = authority.server().versions(&[version]).build().expect("it fits");
            let (client, server) = shaken(&(client, server), duplex(1000)).await;
            assert_eq!((client.protocol_version(), server.protocol_version()), (version, version));
            ping_pong(&client, &server).await;
        });
    }
}

#[test]
fn a_server_with_an_address_for_a_name() {
    run(async {
        let (connector, acceptor) = ends();
        let (client, server) = try_shake(&connector, &acceptor, "127.0.0.1", duplex(100)).await;
        assert_eq!(client.expect("its certificate has it").server_name(), Some("127.0.0.1"));
        // SNI is for names of hosts.
        assert_eq!(server.expect("content").server_name(), None);
    });
}

#[test]
fn the_server_chooses_of_the_protocols_that_the_client_offers() {
    run(async {
        let authority = Authority::new();
        let server = authority.server().alpn(["h2", "http/1.1"]).build().expect("it fits");
        for (offered, chosen) in
            [(&["http/1.1"][..], Some("http/1.1")), (&["http/1.1", "h2"], Some("h2")), (&[], None)]
        {
            let client = authority.client().alpn(offered).build().expect("it fits");
            let (client, server) = shaken(&(client, server.clone()), duplex(1000)).await;
            let chosen = chosen.map(|name| name.as_bytes().to_vec());
            assert_eq!(client.alpn_protocol(), chosen);
            assert_eq!(server.alpn_protocol(), chosen);
        }
    });
}

#[test]
fn a_client_shows_its_certificate_if_it_is_asked() {
    run(async {
        let authority = Authority::new();
        let me = authority.issue(&["me.example.org"]);
        let own = me.certificate().clone();
        let with = authority.client().identity(me).build().expect("it fits");
        let without = authority.client().build().expect("it fits");
        let pem = authority.pem();
        let asking = || authority.server().client_ca_pem(pem.as_bytes()).expect("PEM");
        let required = asking().require_client_certificate().build().expect("it fits");
        let asked = asking().ask_for_client_certificate().build().expect("it fits");
        for acceptor in [&required, &asked] {
            let (client, server) =
                shaken(&(with.clone(), acceptor.clone()), duplex(64 << 10)).await;
            ping_pong(&client, &server).await;
            assert_eq!(server.peer_certificates(), std::slice::from_ref(&own));
        }
        let (client, server) = shaken(&(without, asked), duplex(1000)).await;
        ping_pong(&client, &server).await;
        assert!(server.peer_certificates().is_empty());
    });
}

#[test]
fn a_configuration_of_rustls_can_be_used_as_it_is() {
    run(async {
        let authority = Authority::new();
        let (chain, key) = authority.issue_pem(&["localhost"], |_| {});
        use tls::rustls::pki_types::pem::PemObject as _;
        use tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
        use tls::rustls::{ClientConfig, RootCertStore, ServerConfig};
        let chain = CertificateDer::from_pem_slice(chain.as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
        let provider = std::sync::Arc::new(tls::rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("known versions")
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .expect("they fit");
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("PEM"))
            .expect("a root");
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("known versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(std::sync::Arc::new(client));
        let acceptor = TlsAcceptor::from(std::sync::Arc::new(server));
        let (client, server) = shaken(&(connector, acceptor), duplex(1000)).await;
        ping_pong(&client, &server).await;
    });
}

#[test]
fn bytes_that_come_with_the_last_flight_are_not_lost() {
    // The client's first words are in the same buffer as the end of its handshake.
    run(async {
        let (connector, acceptor) = ends();
        let (near, far) = duplex(64 << 10);
        let (relayed, relay_end) = duplex(64 << 10);
        let relay = async {
            // Holds the client's bytes back until there are two pieces, and joins them.
            let hello = near.recv().await.expect("a hello");
            relayed.send(hello.to_vec()).await.expect("open");
            near.send(relayed.recv().await.expect("a flight").to_vec()).await.expect("open");
            let mut joined = near.recv().await.expect("the end of the handshake").to_vec();
            joined.extend_from_slice(&near.recv().await.expect("and words"));
            relayed.send(joined).await.expect("open");
        };
        let client = async {
            let stream = connector.connect("localhost", far).await.expect("content");
            stream.send(b"words".to_vec()).await.expect("open");
            stream
        };
        let ((), client, server) = join((relay, client, acceptor.accept(relay_end))).await;
        let server = server.expect("content");
        assert_eq!(read(&server, 5).await, b"words");
        drop(client);
    });
}

async fn traffic_under_new_keys<S: ByteStream + 'static>(
    (client, server): (TlsStream<S>, TlsStream<S>),
) {
    for round in 0..5 {
        client.update_keys().expect("TLS 1.3");
        server.update_keys().expect("TLS 1.3");
        client.flush().await.expect("open");
        let bytes = pattern(50_000, round);
        let sending = async { client.send(bytes.clone()).await.expect("open") };
        assert!(join((sending, read(&server, bytes.len()))).await.1 == bytes, "mangled");
        let sending = async { server.send(bytes.clone()).await.expect("open") };
        assert!(join((sending, read(&client, bytes.len()))).await.1 == bytes, "mangled");
    }
    let (ended, rest) = join((client.write_eof(), read_to_end(&server))).await;
    ended.expect("open");
    assert!(rest.expect("an orderly end").is_empty());
}

#[test]
fn keys_are_renewed_in_the_middle_of_traffic() {
    run(async { traffic_under_new_keys(in_memory(&ends()).await).await });
    run_real(async { traffic_under_new_keys(shaken(&ends(), tcp().await).await).await });
}

#[test]
fn keys_of_tls_1_2_are_not_renewed() {
    run(async {
        let authority = Authority::new();
        let client = authority.client().versions(&[Version::Tls12]).build().expect("it fits");
        let ends = (client, authority.server().build().expect("it fits"));
        let (client, server) = in_memory(&ends).await;
        assert_eq!(
            client.update_keys().expect_err("it cannot").kind(),
            std::io::ErrorKind::InvalidData
        );
        ping_pong(&client, &server).await;
    });
}

#[test]
fn two_tasks_use_a_direction_each() {
    run_real(async {
        let (client, server) = shaken(&ends(), tcp().await).await;
        let (mut reading, mut writing) = split(client);
        let echo = uring_loop::spawn(async move {
            loop {
                let bytes = server.recv().await.expect("open");
                if bytes.is_empty() {
                    return server.write_eof().await.expect("open");
                }
                server.send(bytes.to_vec()).await.expect("open");
            }
        });
        let writer = uring_loop::spawn(async move {
            for round in 0..50 {
                writing.send(pattern(10_000, round)).await.expect("open");
            }
            writing.write_eof().await.expect("open");
        });
        let mut got = Vec::new();
        loop {
            let bytes = reading.recv().await.expect("open");
            if bytes.is_empty() {
                break;
            }
            got.extend_from_slice(&bytes);
        }
        let sent: Vec<u8> = (0..50).flat_map(|round| pattern(10_000, round)).collect();
        assert!(got == sent, "mangled");
        echo.await.expect("no panic");
        writer.await.expect("no panic");
    });
}

#[test]
fn addresses_and_types_can_be_asked_for() {
    run_real(async {
        let (client, server) = shaken(&ends(), tcp().await).await;
        let local = client.local_address().map(|address| address.to_string());
        assert_eq!(local, server.peer_address().map(|address| address.to_string()));
        assert!(client.descriptor().is_some() && client.carrier().nodelay().is_ok());
        let stream: Box<dyn ByteStream> = Box::new(client);
        let any = stream.as_any().expect("its own type");
        let tls = any.downcast_ref::<TlsStream<uring_loop::net::TcpStream>>();
        assert_eq!(tls.expect("it is one").peer_certificates().len(), 1);
    });
}
