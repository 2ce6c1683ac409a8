//! TCP sockets before they connect or listen, their options, and connections as a stream.

use std::cell::Cell;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use futures_util::{StreamExt, join};
use uring_loop::net::{Keepalive, TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use uring_loop::testing::{Fault, SimConfig, opcode};
use uring_loop::time::{now, sleep, timeout};
use uring_loop::{EventLoop, spawn};

use crate::net_unix::on_both;
use crate::parts::connected_pair;
use crate::support::{on_sim, poll_once, run_limited};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

#[test]
fn a_socket_is_bound_before_it_listens_or_connects() {
    on_both(|| async {
        let socket = TcpSocket::new_v4().expect("descriptors");
        socket.bind(ANY).expect("free");
        let address = socket.local_addr().expect("bound");
        assert_ne!(address.port(), 0);
        let again = TcpSocket::new_v4().expect("descriptors");
        let error = again.bind(address).expect_err("taken");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().starts_with(&format!("binding {address}: ")), "{error}");
        let listener = socket.listen(16).expect("bound");
        let client = TcpSocket::new_v4().expect("descriptors");
        client.bind(ANY).expect("free");
        let from = client.local_addr().expect("bound");
        let (server, client) = join!(listener.accept(), client.connect(address));
        let (server, mut client) = (server.expect("accepted"), client.expect("connected"));
        assert_eq!(server.peer_addr().expect("connected"), from);
        assert_eq!(client.local_addr().expect("connected"), from);
        drop((server, listener));
        assert!(client.recv().await.expect("its end").is_empty());
        let unbound = TcpSocket::new_v4().expect("descriptors").listen(1).expect("any port");
        assert_ne!(unbound.local_addr().expect("bound").port(), 0);
    });
}

#[test]
fn a_socket_that_is_refused_names_the_address_and_is_closed() {
    on_both(|| async {
        let listener = TcpListener::bind(ANY).expect("free");
        let gone = listener.local_addr().expect("bound");
        drop(listener);
        let mut refused = None;
        // Its close may still be under way.
        while refused.is_none() {
            let socket = TcpSocket::new_v4().expect("descriptors");
            let error = socket.connect(gone).await.err();
            refused = error.filter(|error| error.kind() != ErrorKind::ConnectionReset);
        }
        let error = refused.expect("just looked");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(error.to_string().starts_with(&format!("connecting to {gone}: ")), "{error}");
    });
}

#[test]
fn options_that_are_set_are_there() {
    run_limited(async {
        let socket = TcpSocket::new_v4().expect("descriptors");
        assert!(socket.nodelay().expect("a socket"));
        socket.set_reuse_addr(true).expect("a socket");
        socket.set_recv_buffer_size(100_000).expect("a socket");
        socket.set_send_buffer_size(50_000).expect("a socket");
        socket.bind(ANY).expect("free");
        let listener = socket.listen(8).expect("bound");
        let address = listener.local_addr().expect("bound");
        let (server, client) = join!(listener.accept(), TcpStream::connect(address));
        let (server, client) = (server.expect("accepted"), client.expect("connected"));
        // What was set before listening is inherited.
        assert_eq!(server.socket().recv_buffer_size().expect("a socket"), 200_000);
        assert_eq!(server.socket().send_buffer_size().expect("a socket"), 100_000);
        let keepalive = Keepalive { retries: 7, ..Keepalive::default() };
        client.set_keepalive(Some(keepalive)).expect("a socket");
        let options = client.socket();
        assert!(options.keepalive().expect("a socket"));
        assert_eq!(options.tcp_keepalive_time().expect("a socket"), keepalive.idle);
        assert_eq!(options.tcp_keepalive_interval().expect("a socket"), keepalive.interval);
        assert_eq!(options.tcp_keepalive_retries().expect("a socket"), 7);
        client.set_keepalive(None).expect("a socket");
        assert!(!client.socket().keepalive().expect("a socket"));
        let limit = Duration::from_secs(20);
        client.set_user_timeout(Some(limit)).expect("a socket");
        assert_eq!(client.socket().tcp_user_timeout().expect("a socket"), Some(limit));
        client.set_quickack(true).expect("a socket");
        client.set_nodelay(false).expect("a socket");
        assert!(!client.nodelay().expect("a socket"));
    });
}

#[test]
fn a_socket_that_does_not_linger_resets() {
    run_limited(async {
        let listener = TcpListener::bind(ANY).expect("free");
        let address = listener.local_addr().expect("bound");
        let (server, client) = join!(listener.accept(), TcpStream::connect(address));
        let (server, mut client) = (server.expect("accepted"), client.expect("connected"));
        server.set_linger(Some(Duration::ZERO)).expect("a socket");
        drop(server);
        let error = client.recv().await.expect_err("reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn listeners_share_a_port_if_all_agree() {
    run_limited(async {
        let open = |address: SocketAddr| {
            let socket = TcpSocket::new_v4().expect("descriptors");
            socket.set_reuse_port(true).expect("a socket");
            socket.bind(address).expect("shared");
            socket.listen(8).expect("bound")
        };
        let first = open(ANY);
        let address = first.local_addr().expect("bound");
        let second = open(address);
        assert_eq!(second.local_addr().expect("bound"), address);
    });
}

#[test]
fn an_ipv6_socket_leaves_ipv4_to_others() {
    run_limited(async {
        // Some of the ports may be taken for IPv4 by others of this machine.
        for _ in 0..50 {
            let socket = TcpSocket::new_v6().expect("descriptors");
            if socket.bind((Ipv6Addr::UNSPECIFIED, 0).into()).is_err() {
                return; // A machine without IPv6.
            }
            assert!(socket.socket().only_v6().expect("a socket"));
            let port = socket.local_addr().expect("bound").port();
            let _v6 = socket.listen(8).expect("bound");
            let v4 = TcpSocket::new_v4().expect("descriptors");
            v4.set_reuse_addr(true).expect("a socket");
            match v4.bind((Ipv4Addr::UNSPECIFIED, port).into()) {
                Ok(()) => return,
                Err(error) => assert_eq!(error.kind(), ErrorKind::AddrInUse),
            }
        }
        panic!("not one of 50 ports was free for IPv4");
    });
}

#[test]
fn an_interface_that_is_not_there_cannot_be_bound_to() {
    run_limited(async {
        let socket = TcpSocket::new_v4().expect("descriptors");
        let error = socket.bind_device("no-such-interface").expect_err("there is none");
        assert!(error.raw_os_error().is_some(), "{error}");
    });
}

#[test]
fn a_stopped_server_starts_again_at_once_in_spite_of_its_old_connections() {
    run_limited(async {
        let listener = TcpListener::bind(ANY).expect("free");
        let address = listener.local_addr().expect("bound");
        let (server, client) = join!(listener.accept(), TcpStream::connect(address));
        // The side that closes first has the connection in TIME_WAIT.
        drop(server.expect("accepted"));
        let mut client = client.expect("connected");
        assert!(client.recv().await.expect("its end").is_empty());
        drop((client, listener));
        sleep(Duration::from_millis(1)).await;
        let strict = TcpSocket::new_v4().expect("descriptors");
        let error = strict.bind(address).expect_err("the old connection stands on it");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        TcpListener::bind(address).expect("SO_REUSEADDR is set");
    });
}

#[test]
fn several_who_accept_on_one_listener_are_all_served() {
    on_both(|| async {
        let listener = Rc::new(TcpListener::bind(ANY).expect("free"));
        let address = listener.local_addr().expect("bound");
        let served = Rc::new(Cell::new(0));
        let mut waiting = Vec::new();
        for _ in 0..4 {
            let (listener, served) = (listener.clone(), served.clone());
            waiting.push(spawn(async move {
                drop(listener.accept().await.expect("accepted"));
                served.set(served.get() + 1);
            }));
        }
        let pause = Duration::from_millis(10);
        timeout(pause, listener.accept()).await.expect_err("nobody connects");
        // Of several that wait the operation knows the last; it goes.
        waiting.pop().expect("there are four").abort();
        for so_far in 1..=3 {
            drop(TcpStream::connect(address).await.expect("it listens"));
            while served.get() < so_far {
                sleep(pause).await;
            }
        }
        for task in waiting {
            task.await.expect("no panic");
        }
    });
}

#[test]
fn a_stream_is_readable_when_bytes_wait_or_the_end_and_nothing_is_taken() {
    on_both(|| async {
        let (mut server, mut client) = connected_pair().await;
        assert!(poll_once(&mut Box::pin(server.readable())).await.is_pending());
        client.write_all("hello").await.0.expect("open");
        for _ in 0..2 {
            server.readable().await.expect("open");
        }
        let (count, buffer) = server.read(Vec::with_capacity(3)).await;
        assert_eq!((count.expect("open"), &*buffer), (3, &b"hel"[..]));
        // From here on the loop receives ahead, and what has come is not in the kernel any more.
        assert_eq!(&*server.recv().await.expect("open"), b"lo");
        assert!(poll_once(&mut Box::pin(server.readable())).await.is_pending());
        client.write_all("world").await.0.expect("open");
        for _ in 0..2 {
            server.readable().await.expect("open");
        }
        let (mut receiving, _sending) = server.split();
        receiving.readable().await.expect("open");
        assert_eq!(&*receiving.recv().await.expect("open"), b"world");
        client.shutdown(Shutdown::Write).await.expect("open");
        for _ in 0..2 {
            receiving.readable().await.expect("the end is something to receive");
            assert!(receiving.recv().await.expect("the end").is_empty());
        }
    });
}

#[test]
fn who_waits_for_something_to_read_is_told_that_it_takes_too_long() {
    on_both(|| async {
        let (mut server, _client) = connected_pair().await;
        server.set_read_timeout(Some(Duration::from_secs(5)));
        let start = now();
        let late = server.readable().await.expect_err("nothing comes");
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        assert!(now() - start >= Duration::from_secs(5));
    });
}

#[test]
fn connections_come_as_a_stream() {
    on_both(|| async {
        let listener = TcpListener::bind(ANY).expect("free");
        let address = listener.local_addr().expect("bound");
        let mut incoming = listener.incoming();
        for _ in 0..3 {
            let (server, client) = join!(incoming.next(), TcpStream::connect(address));
            let server = server.expect("it never ends").expect("accepted");
            let client = client.expect("connected");
            assert_eq!(server.peer_addr().ok(), client.local_addr().ok());
        }
        let place = tempfile::tempdir().expect("a place for temporary files");
        let listener = UnixListener::bind(place.path().join("socket")).expect("free");
        let client = UnixStream::connect(place.path().join("socket"));
        let mut incoming = listener.incoming();
        let (server, client) = join!(incoming.next(), client);
        server.expect("it never ends").expect("accepted");
        drop(client.expect("connected"));
    });
}

#[test]
fn an_accept_that_finds_nobody_waits_for_the_next() {
    on_sim(SimConfig::seeded(1), |sim| async move {
        let listener = TcpListener::bind(ANY).expect("free");
        let address = listener.local_addr().expect("bound");
        // As a listener in non-blocking mode may answer.
        sim.next(opcode::ACCEPT, Fault::Fail(libc::EAGAIN));
        let _peer = sim.peer_connect(address);
        drop(listener.accept().await.expect("it has connected"));
    });
}

#[test]
fn an_accept_that_finds_nobody_again_and_again_leaves_the_loop_at_rest() {
    on_sim(SimConfig::seeded(1), |sim| async move {
        let listener = TcpListener::bind(ANY).expect("free");
        let address = listener.local_addr().expect("bound");
        for _ in 0..50 {
            sim.next(opcode::ACCEPT, Fault::Fail(libc::EAGAIN));
        }
        let before = sim.enters();
        timeout(Duration::from_secs(3600), listener.accept()).await.expect_err("nobody came");
        assert!(sim.enters() - before < 10, "{} enters in vain", sim.enters() - before);
        let _peer = sim.peer_connect(address);
        drop(listener.accept().await.expect("it has connected"));
    });
}

#[test]
fn a_listener_in_non_blocking_mode_is_waited_at_without_turning() {
    let mut event_loop = EventLoop::new().expect("a ring");
    let run = event_loop.run_until_complete(async {
        let theirs = std::net::TcpListener::bind(ANY).expect("free");
        theirs.set_nonblocking(true).expect("it is ours");
        let address = theirs.local_addr().expect("bound");
        let listener = TcpListener::from_owned_fd(theirs.into());
        let waiting = timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(waiting.is_err(), "nobody came");
        let (accepted, connected) = join!(listener.accept(), TcpStream::connect(address));
        drop((accepted.expect("a client"), connected.expect("it listens")));
    });
    run.expect("not stopped");
    let turns = event_loop.statistics().turns;
    assert!(turns < 50, "{turns} turns for one connection");
}

#[test]
fn a_stream_of_connections_pauses_without_descriptors_and_goes_on() {
    on_sim(SimConfig::seeded(1), |sim| async move {
        let listener = TcpListener::bind(ANY).expect("free");
        let address = listener.local_addr().expect("bound");
        sim.next(opcode::ACCEPT, Fault::Fail(libc::EMFILE));
        let _peers = [sim.peer_connect(address), sim.peer_connect(address)];
        let mut incoming = listener.incoming();
        let error = incoming.next().await.expect("it never ends").expect_err("no descriptor");
        assert!(error.to_string().contains("os error 24"), "{error}");
        let start = now();
        let _first = incoming.next().await.expect("it never ends").expect("room again");
        assert_eq!(now() - start, Duration::from_millis(100));
        // One that gives up in its pause leaves it to the next.
        drop(incoming);
        let _second = listener.accept().await.expect("it waits");
        timeout(Duration::from_secs(1), listener.incoming().next()).await.expect_err("no more");
    });
}
