//! Sockets on a kernel without the multishot receive (before 6.0): a poll, then a receive into a
//! buffer of its own. The probe tells of it by SEND_ZC, which is as old.

use std::net::SocketAddr;
use std::time::Duration;

use uring_loop::net::{TcpListener, UdpSocket, UnixStream};
use uring_loop::op::Driver;
use uring_loop::testing::{SimConfig, check_byte_stream, opcode};
use uring_loop::time::{sleep, timeout};
use uring_loop::{Builder, yield_now};

use crate::drops::{every_point, inflict, run_for};
use crate::parts::connected_pair;
use crate::support::{on_sim_with, poll_once, small};

const GUARD: Duration = Duration::from_secs(60);

fn without() -> Builder {
    small().without(&[opcode::SEND_ZC])
}

/// Runs a piece on a simulated kernel and on the machine's.
#[track_caller]
fn on_both<F: Future<Output = ()>>(piece: impl Fn() -> F) {
    on_sim_with(without(), SimConfig::seeded(1), |_| piece());
    let mut event_loop = without().build().expect("a ring");
    let limited = async { timeout(GUARD, piece()).await };
    event_loop.run_until_complete(limited).expect("not cancelled").expect("it waits for ever");
    let pause = async { sleep(Duration::from_millis(5)).await };
    event_loop.run_until_complete(pause).expect("not cancelled");
    let statistics = event_loop.statistics();
    assert_eq!((statistics.in_flight, statistics.orphans), (0, 0), "{:?}", event_loop.in_flight());
}

fn operations() -> Vec<&'static str> {
    Driver::current().in_flight_table().iter().map(|op| op.operation).collect()
}

#[test]
fn streams_keep_their_promises_there() {
    on_both(|| check_byte_stream(connected_pair));
    on_both(|| check_byte_stream(async || UnixStream::pair().expect("descriptors")));
}

#[test]
fn who_waits_for_bytes_holds_a_poll_and_no_buffer() {
    on_both(|| async {
        let (mut server, mut client) = connected_pair().await;
        assert!(poll_once(&mut server.recv()).await.is_pending());
        yield_now().await;
        assert!(operations().contains(&"POLL_ADD"), "{:?}", operations());
        assert!(!operations().contains(&"RECV"), "{:?}", operations());
        client.write_all("hello").await.0.expect("open");
        assert_eq!(&*server.recv().await.expect("open"), b"hello");
        drop(client);
        for _ in 0..3 {
            assert!(server.recv().await.expect("the end").is_empty());
        }
    });
}

#[test]
fn a_receive_that_ends_early_loses_no_byte_there() {
    for late in [opcode::POLL_ADD, opcode::RECV] {
        every_point(late, |config, faults, turns, end| {
            let piece = async |sim: uring_loop::testing::SimHandle| {
                let listener = TcpListener::bind("127.0.0.1:0").expect("free");
                let peer = sim.peer_connect(listener.local_addr().expect("bound"));
                let peer = peer.expect("it listens");
                let mut stream = listener.accept().await.expect("a connection waits");
                inflict(&sim, &faults);
                let mut got = Vec::new();
                for part in 0..4u8 {
                    peer.send([part; 100]).expect("open");
                    if let Some(bytes) = run_for(stream.recv(), turns, end).await {
                        got.extend_from_slice(&bytes.expect("open"));
                    }
                }
                peer.shutdown_write();
                loop {
                    let bytes = stream.recv().await.expect("open");
                    if bytes.is_empty() {
                        break;
                    }
                    got.extend_from_slice(&bytes);
                }
                let sent: Vec<u8> = (0..4u8).flat_map(|part| [part; 100]).collect();
                assert_eq!(got, sent);
            };
            on_sim_with(without(), config, piece);
        });
    }
}

#[test]
fn datagrams_arrive_whole_and_with_their_sender_there() {
    on_both(|| async {
        let any: SocketAddr = "127.0.0.1:0".parse().expect("numeric");
        let mut server = UdpSocket::bind(any).expect("free");
        let client = UdpSocket::bind(any).expect("free");
        let address = server.local_addr().expect("bound");
        assert!(poll_once(&mut Box::pin(server.recv())).await.is_pending());
        yield_now().await;
        assert!(!operations().contains(&"RECVMSG"), "{:?}", operations());
        let long = vec![7; 300]; // the buffers have 256
        for bytes in [&b"one"[..], b"", b"three", &long] {
            client.send_to(bytes.to_vec(), address).await.0.expect("room");
        }
        for bytes in [&b"one"[..], b"", b"three", &long[..256]] {
            let datagram = server.recv().await.expect("it was sent");
            assert_eq!(&*datagram, bytes);
            assert_eq!(datagram.from(), &client.local_addr().expect("bound"));
            assert_eq!(datagram.is_truncated(), bytes.len() == 256);
        }
    });
}
