//! Datagrams, UDP and Unix, on both rings: they arrive whole, with their sender, and none is lost
//! to a receive that was given up.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::join;
use uring_loop::net::{UdpSocket, UnixDatagram};
use uring_loop::testing::{Fault, Faults, SimConfig, opcode};
use uring_loop::time::{sleep, timeout};
use uring_loop::{EventLoop, spawn};

use crate::drops::{End, every_point, inflict, run_for};
use crate::net_unix::on_both;
use crate::support::{on_sim, on_sim_with, poll_once, run_limited, small, sockets_receive_ahead};

fn local() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("free");
    let address = socket.local_addr().expect("bound");
    (socket, address)
}

#[test]
fn datagrams_arrive_whole_and_with_their_sender() {
    on_both(|| async {
        let (mut server, address) = local();
        let (mut client, from) = local();
        for bytes in ["one", "", "three"] {
            client.send_to(bytes, address).await.0.expect("room");
        }
        for bytes in ["one", "", "three"] {
            let datagram = server.recv().await.expect("it was sent");
            assert_eq!(&*datagram, bytes.as_bytes());
            assert_eq!((datagram.from(), datagram.info().length), (&from, bytes.len()));
            assert!(!datagram.is_truncated());
            assert_eq!(datagram.segments().collect::<Vec<_>>(), [bytes.as_bytes()]);
            server.send_to(datagram.into_bytes(), from).await.0.expect("room");
        }
        let (info, buffer) = client.recv_into(Vec::with_capacity(99)).await;
        let info = info.expect("it was sent back");
        assert_eq!((info.count, info.from, &*buffer), (3, address, &b"one"[..]));
        let (info, _) = client.recv_into([0; 9]).await;
        assert_eq!(info.expect("an empty one is one").count, 0);
    });
}

#[test]
fn a_connected_socket_hears_one_other_only() {
    on_both(|| async {
        let (mut server, address) = local();
        let (client, from) = local();
        let (stranger, _) = local();
        server.connect(from).await.expect("an address");
        assert_eq!(server.peer_addr().expect("connected"), from);
        stranger.send_to("not for you", address).await.0.expect("room");
        client.send_to("for you", address).await.0.expect("room");
        assert_eq!(&*server.recv().await.expect("it was sent"), b"for you");
        server.send("and back").await.0.expect("connected");
        let mut client = client;
        assert_eq!(&*client.recv().await.expect("it was sent"), b"and back");
        let error = client.send("to whom?").await.0.expect_err("not connected");
        assert_eq!(error.raw_os_error(), Some(libc::EDESTADDRREQ));
        let error = client.peer_addr().expect_err("not connected");
        assert_eq!(error.kind(), ErrorKind::NotConnected);
    });
}

#[test]
fn where_nobody_listens_is_told_once_and_the_socket_stays_usable() {
    on_both(|| async {
        let gone = local().1;
        sleep(Duration::from_millis(10)).await; // for its close
        let (mut client, from) = local();
        client.connect(gone).await.expect("nothing is sent yet");
        client.send("x").await.0.expect("nobody has answered yet");
        let error = client.recv().await.expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let late = UdpSocket::bind(gone).expect("free again");
        late.send_to("late", from).await.0.expect("room");
        assert_eq!(&*client.recv().await.expect("it works on"), b"late");
    });
}

#[test]
fn a_datagram_that_is_too_long_for_its_buffer_says_so() {
    /// More than the loop's buffers have room for.
    const LONG: usize = 20_000;
    on_both(|| async {
        let (mut server, address) = local();
        let (client, _) = local();
        client.send_to(vec![7; LONG], address).await.0.expect("room");
        client.send_to(vec![8; LONG], address).await.0.expect("room");
        let (info, buffer) = server.recv_into(Vec::with_capacity(100)).await;
        let info = info.expect("it was sent");
        assert_eq!((info.count, info.length, info.is_truncated()), (100, LONG, true));
        assert_eq!(buffer, [7; 100]);
        let datagram = server.recv().await.expect("it was sent");
        assert!(datagram.is_truncated() && !datagram.is_empty());
        assert_eq!(datagram.info().length, LONG);
        assert!(datagram.iter().all(|byte| *byte == 8));
        let (result, buffer) = client.send_to(vec![0; 70_000], address).await;
        let error = result.expect_err("longer than any");
        assert_eq!((error.raw_os_error(), buffer.len()), (Some(libc::EMSGSIZE), 70_000));
    });
}

#[test]
fn one_send_is_many_datagrams() {
    on_both(|| async {
        let (mut server, address) = local();
        let (client, _) = local();
        let bytes: Vec<u8> = (0..1050u32).map(|at| at as u8).collect();
        client.send_to_segmented(bytes.clone(), address, 100).await.0.expect("room");
        client.connect(address).await.expect("an address");
        client.send_segmented(bytes.clone(), 1050).await.0.expect("room");
        for part in bytes.chunks(100) {
            assert_eq!(&*server.recv().await.expect("it was sent"), part);
        }
        let (info, buffer) = server.recv_into(Vec::with_capacity(2000)).await;
        // The receive that is armed has cut it to the loop's buffers, if they are smaller.
        assert_eq!(info.expect("it was sent").length, 1050);
        assert!(bytes.starts_with(&buffer));
        let error = client.send_segmented(bytes, 0).await.0.expect_err("no size");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_sender_sends_many_datagrams_at_once_too() {
    on_both(|| async {
        let (mut server, address) = local();
        let (client, _) = local();
        let sender = client.sender();
        sender.send_to_segmented(vec![1; 250], address, 100).await.0.expect("room");
        client.connect(address).await.expect("an address");
        sender.send_segmented(vec![2; 200], 100).await.0.expect("room");
        for (value, length) in [(1, 100), (1, 100), (1, 50), (2, 100), (2, 100)] {
            assert_eq!(&*server.recv().await.expect("it was sent"), vec![value; length]);
        }
        let error = sender.send_segmented(vec![1], 0).await.0.expect_err("no size");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_sender_sends_while_the_socket_is_received_from() {
    on_both(|| async {
        let (mut server, address) = local();
        let echo = server.sender();
        let serving = spawn(async move {
            for _ in 0..20 {
                let datagram = server.recv().await.expect("it was sent");
                let from = *datagram.from();
                echo.clone().send_to(datagram.into_bytes(), from).await.0.expect("room");
            }
        });
        let (mut client, _) = local();
        client.connect(address).await.expect("an address");
        let asking = client.sender();
        for round in 0..20u8 {
            let (sent, got) = join!(asking.send(vec![round; 50]), client.recv());
            sent.0.expect("room");
            assert_eq!(&*got.expect("the echo"), [round; 50]);
        }
        serving.await.expect("no panic");
    });
}

#[test]
fn a_burst_is_received_where_it_came_though_nobody_waits() {
    async fn burst(ahead: bool) {
        let (mut server, address) = local();
        let (client, _) = local();
        // Armed, and given up.
        assert!(poll_once(&mut Box::pin(server.recv())).await.is_pending());
        for number in 0..20 {
            client.send_to([number; 30], address).await.0.expect("room");
        }
        sleep(Duration::from_millis(10)).await;
        for number in 0..20 {
            let datagram = server.recv().await.expect("it was sent");
            assert_eq!(*datagram, [number; 30]);
            assert!(!ahead || datagram.into_bytes().is_lent(), "{number} was copied");
        }
    }
    let builder = EventLoop::builder().buffers(256, 256);
    on_sim_with(builder, SimConfig::seeded(2), |_| burst(true));
    run_limited(burst(sockets_receive_ahead()));
}

#[test]
fn a_receive_that_is_given_up_loses_no_datagram() {
    every_point(opcode::RECVMSG, |config, faults, turns, end| {
        on_sim(config, |sim| async move {
            let (mut server, address) = local();
            let outside = sim.peer_udp("10.0.0.1:53".parse().expect("numeric")).expect("free");
            inflict(&sim, &faults);
            let mut got = Vec::new();
            for part in 0..4u8 {
                outside.send_to([part; 10], address).expect("short");
                if let Some(datagram) = run_for(server.recv(), turns, end).await {
                    got.push(datagram.expect("it was sent")[0]);
                }
            }
            while got.len() < 4 {
                let datagram = server.recv().await.expect("it was sent");
                assert_eq!(*datagram.from(), outside.local_addr());
                got.push(datagram[0]);
            }
            assert_eq!(got, [0, 1, 2, 3]);
        });
    });
}

#[test]
fn a_socket_dropped_while_it_receives_gives_its_buffers_back() {
    every_point(opcode::RECVMSG, |config, faults, turns, end| {
        if end == End::Forget {
            return; // The socket is in the future that was forgotten.
        }
        on_sim(config, |sim| async move {
            let (mut server, address) = local();
            let outside = sim.peer_udp("10.0.0.1:53".parse().expect("numeric")).expect("free");
            inflict(&sim, &faults);
            for part in 0..6u8 {
                outside.send_to([part; 10], address).expect("short");
            }
            let datagram = run_for(server.recv(), turns, end).await;
            drop(server);
            if let Some(datagram) = datagram {
                assert_eq!(*datagram.expect("it was sent"), [0; 10]);
            }
            outside.send_to("nobody there", address).expect("short");
        });
    });
}

#[test]
fn a_socket_that_nobody_reads_holds_few_buffers_and_keeps_the_order() {
    on_sim_with(small(), SimConfig::seeded(1), |sim| async move {
        let (mut server, address) = local();
        let outside = sim.peer_udp("10.0.0.1:53".parse().expect("numeric")).expect("free");
        // Armed once, and then not read.
        timeout(Duration::ZERO, server.recv()).await.expect_err("nothing was sent");
        for part in 0..200u8 {
            outside.send_to([part], address).expect("short");
            if part % 10 == 0 {
                sleep(Duration::from_nanos(1)).await;
            }
        }
        let (free, all) = uring_loop::Statistics::current().buffers.expect("in use");
        assert!(all - free <= 4, "{} of {all} buffers are held", all - free);
        for part in 0..200u8 {
            assert_eq!(*server.recv().await.expect("it was sent"), [part]);
        }
    });
}

#[test]
fn a_receive_that_finds_no_buffer_goes_on_without() {
    on_sim_with(small(), SimConfig::seeded(1), |sim| async move {
        let outside = sim.peer_udp("10.0.0.1:53".parse().expect("numeric")).expect("free");
        for errno in [libc::ENOBUFS, libc::EAGAIN, libc::EINTR] {
            let (mut server, address) = local();
            sim.next(opcode::RECVMSG, Fault::Fail(errno));
            outside.send_to(errno.to_ne_bytes(), address).expect("short");
            let datagram = server.recv().await.expect("it was sent");
            assert_eq!(*datagram, errno.to_ne_bytes());
            assert_eq!(*datagram.from(), outside.local_addr());
        }
        // All buffers are with a user.
        let (mut server, address) = local();
        let mut kept = Vec::new();
        for part in 0..30u8 {
            outside.send_to([part; 200], address).expect("short");
            let datagram = server.recv().await.expect("it was sent");
            assert_eq!((&*datagram, *datagram.from()), (&[part; 200][..], outside.local_addr()));
            kept.push(datagram);
        }
    });
}

#[test]
fn datagrams_under_chaos_are_neither_mixed_up_nor_doubled() {
    for seed in 0..60 {
        let faults = Faults::chaos().short(0.0);
        let config = SimConfig { faults, ..SimConfig::seeded(seed) };
        on_sim(config, |sim| async move {
            let (mut server, address) = local();
            let outside = sim.peer_udp("10.0.0.1:53".parse().expect("numeric")).expect("free");
            let mut next = 0u8;
            for part in 0..40u8 {
                outside.send_to([part; 20], address).expect("short");
                let limit = Duration::from_nanos(1 + seed % 3);
                match timeout(limit, server.recv()).await {
                    Ok(Ok(datagram)) => {
                        assert_eq!(*datagram, [next; 20], "seed {seed}");
                        next += 1;
                    }
                    Ok(Err(error)) => panic!("seed {seed}: {error}"),
                    Err(_) => {}
                }
            }
            while next < 40 {
                assert_eq!(*server.recv().await.expect("it was sent"), [next; 20], "seed {seed}");
                next += 1;
            }
            let (sent, _) = server.send_to("out", outside.local_addr()).await;
            sent.expect("room");
            assert_eq!(outside.recv().expect("it was sent").0, b"out");
        });
    }
}

#[test]
fn names_are_refused_where_a_look_up_would_block() {
    on_both(|| async {
        let error = UdpSocket::bind("localhost:0").expect_err("a name");
        assert!(error.to_string().contains("resolve"), "{error}");
        let (socket, address) = local();
        let (result, buffer) = socket.send_to("x", "localhost:53").await;
        assert_eq!(result.expect_err("a name").kind(), ErrorKind::InvalidInput);
        assert_eq!(buffer, "x");
        let error = UdpSocket::bind(address).expect_err("in use");
        assert!(error.to_string().starts_with(&format!("binding {address}: ")), "{error}");
    });
}

#[test]
fn unix_datagrams_know_their_senders_by_path() {
    on_both(|| async {
        let place = tempfile::tempdir().expect("a place for temporary files");
        let (here, there) = (place.path().join("here"), place.path().join("there"));
        let mut one = UnixDatagram::bind(&here).expect("free");
        let mut other = UnixDatagram::bind(&there).expect("free");
        one.send_to("hello", &there).await.0.expect("it is bound");
        let datagram = other.recv().await.expect("it was sent");
        assert_eq!(&*datagram, b"hello");
        assert_eq!(datagram.from().as_pathname(), Some(&*here));
        other.connect(&here).await.expect("it is bound");
        assert_eq!(other.peer_addr().expect("connected").as_pathname(), Some(&*here));
        other.sender().send("back").await.0.expect("connected");
        let (info, buffer) = one.recv_into(Vec::with_capacity(9)).await;
        assert_eq!((info.expect("it was sent").count, &*buffer), (4, &b"back"[..]));
        let nameless = UnixDatagram::unbound().expect("descriptors");
        nameless.send_to("from nobody", &here).await.0.expect("it is bound");
        let datagram = one.recv().await.expect("it was sent");
        assert!(datagram.from().is_unnamed());
        let missing = place.path().join("missing");
        let error = nameless.send_to("x", &missing).await.0.expect_err("nobody is there");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = UnixDatagram::bind(&here).expect_err("taken");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        drop(one);
        let error = nameless.send_to("x", &here).await.0.expect_err("its file is gone");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_pair_of_unix_datagram_sockets_talks() {
    on_both(|| async {
        let (one, mut other) = UnixDatagram::pair().expect("descriptors");
        let sending = one.sender();
        let (sent, got) = join!(sending.send(vec![3; 30]), other.recv());
        sent.0.expect("room");
        let got = got.expect("it was sent");
        assert_eq!((&*got, got.is_truncated()), (&[3; 30][..], false));
    });
}
