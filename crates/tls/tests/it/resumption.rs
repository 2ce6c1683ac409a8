//! Sessions that are gone on with.

use tls::{HandshakeKind, TlsAcceptor, TlsConnector, Version};
use uring_loop::io::duplex;
use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::{EventLoop, spawn};

use crate::support::{Authority, in_memory, ping_pong, run, run_real, shaken};

fn kinds(connector: &TlsConnector, acceptor: &TlsAcceptor) -> Vec<HandshakeKind> {
    run(async {
        let mut kinds = Vec::new();
        for _ in 0..3 {
            let ends = (connector.clone(), acceptor.clone());
            let (client, server) = shaken(&ends, duplex(1000)).await;
            assert_eq!(client.handshake_kind(), server.handshake_kind());
            kinds.push(client.handshake_kind());
            ping_pong(&client, &server).await;
            assert_eq!(client.peer_certificates().len(), 1, "a session remembers them");
        }
        kinds
    })
}

#[test]
fn the_second_handshake_is_resumed() {
    use HandshakeKind::{Full, Resumed};
    for version in [Version::Tls12, Version::Tls13] {
        let authority = Authority::new();
        let connector = authority.client().build().expect("it fits");
        let acceptor = authority.server().versions(&[version]).build().expect("it fits");
        assert_eq!(kinds(&connector, &acceptor), [Full, Resumed, Resumed], "{version}");
        // Another server knows nothing of it, and another client has no tickets.
        let stranger = authority.server().versions(&[version]).build().expect("it fits");
        assert_eq!(kinds(&connector, &stranger)[0], Full, "{version}");
        let fresh = authority.client().no_resumption().build().expect("it fits");
        assert_eq!(kinds(&fresh, &acceptor), [Full, Full, Full], "{version}");
    }
}

#[test]
fn a_session_of_one_loop_is_resumed_on_another() {
    let authority = Authority::new();
    let ends =
        (authority.client().build().expect("it fits"), authority.server().build().expect("fits"));
    let first = run(async {
        let (client, server) = in_memory(&ends).await;
        ping_pong(&client, &server).await;
        client.handshake_kind()
    });
    let second = std::thread::scope(|scope| {
        let other = scope.spawn(|| run(async { in_memory(&ends).await.0.handshake_kind() }));
        other.join().expect("no panic")
    });
    assert_eq!((first, second), (HandshakeKind::Full, HandshakeKind::Resumed));
}

#[test]
fn a_client_without_certificates_of_its_own_resumes_over_tcp() {
    let authority = Authority::new();
    let (connector, acceptor) =
        (authority.client().build().expect("it fits"), authority.server().build().expect("fits"));
    run_real(async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("free");
        let address = listener.local_addr().expect("bound");
        let server = spawn(async move {
            for _ in 0..2 {
                let tcp = listener.accept().await.expect("it comes");
                let stream = acceptor.accept(tcp).await.expect("content");
                use uring_loop::io::ByteStreamExt as _;
                let question = stream.recv().await.expect("open").to_vec();
                stream.send(question).await.expect("open");
                stream.write_eof().await.expect("open");
            }
        });
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            use uring_loop::io::ByteStreamExt as _;
            let tcp = TcpStream::connect(address).await.expect("it listens");
            let stream = connector.connect("localhost", tcp).await.expect("content");
            assert_eq!(stream.handshake_kind(), kind);
            stream.send(b"question".to_vec()).await.expect("open");
            assert_eq!(crate::support::read_to_end(&stream).await.expect("open"), b"question");
        }
        server.await.expect("no panic");
    });
    // The connector outlives its loop.
    drop(EventLoop::new().expect("a ring"));
}
