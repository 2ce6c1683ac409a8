//! Datagrams where only the real kernel can tell: joined ones, full queues, options.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::time::Duration;

use uring_loop::net::{UdpSocket, UnixDatagram};
use uring_loop::time::{sleep, timeout};
use uring_loop::{EventLoop, spawn};

use crate::support::{on_sim, run_limited};

#[test]
fn datagrams_that_the_kernel_has_joined_are_taken_apart() {
    let mut event_loop = EventLoop::builder().buffers(8, 64 << 10).build().expect("a ring");
    event_loop
        .run_until_complete(async {
            for armed_before in [false, true] {
                let mut server = UdpSocket::bind("127.0.0.1:0").expect("free");
                let client = UdpSocket::bind("127.0.0.1:0").expect("free");
                let address = server.local_addr().expect("bound");
                if armed_before {
                    client.send_to("first", address).await.0.expect("room");
                    assert_eq!(&*server.recv().await.expect("it was sent"), b"first");
                }
                server.set_gro(true).expect("this kernel can");
                let bytes: Vec<u8> = (0..10_500u32).map(|at| (at / 1000) as u8).collect();
                client.send_to_segmented(bytes.clone(), address, 1000).await.0.expect("room");
                let mut parts: Vec<Vec<u8>> = Vec::new();
                while parts.len() < 11 {
                    let datagram = server.recv().await.expect("it was sent");
                    assert_eq!(datagram.from(), &client.local_addr().expect("bound"));
                    parts.extend(datagram.segments().map(<[u8]>::to_vec));
                }
                let expected: Vec<Vec<u8>> = bytes.chunks(1000).map(<[u8]>::to_vec).collect();
                assert_eq!(parts, expected);
            }
            let mut server = UdpSocket::bind("127.0.0.1:0").expect("free");
            server.set_gro(true).expect("this kernel can");
            let client = UdpSocket::bind("127.0.0.1:0").expect("free");
            let address = server.local_addr().expect("bound");
            client.send_to_segmented(vec![9; 4000], address, 1000).await.0.expect("room");
            let mut count = 0;
            while count < 4000 {
                let (info, buffer) = server.recv_into(Vec::with_capacity(64 << 10)).await;
                let info = info.expect("it was sent");
                assert!(info.segment_size.is_none_or(|size| size == 1000));
                assert_eq!(buffer.len(), info.count);
                count += info.count;
            }
        })
        .expect("not cancelled");
}

#[test]
fn joining_is_refused_where_it_cannot_be_had() {
    on_sim(uring_loop::testing::SimConfig::seeded(1), |_| async {
        let mut socket = UdpSocket::bind("127.0.0.1:0").expect("free");
        let error = socket.set_gro(true).expect_err("not simulated");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    });
}

#[test]
fn a_unix_sender_waits_while_the_receiver_is_full() {
    run_limited(async {
        let (one, mut other) = UnixDatagram::pair().expect("descriptors");
        let sending = spawn(async move {
            for round in 0..200u8 {
                one.send(vec![round; 4000]).await.0.expect("open");
            }
        });
        sleep(Duration::from_millis(1)).await;
        assert!(!sending.is_done(), "a queue without an end");
        for round in 0..200u8 {
            let (info, buffer) = other.recv_into(Vec::with_capacity(4000)).await;
            assert_eq!(info.expect("it was sent").count, 4000);
            assert_eq!(buffer, [round; 4000]);
        }
        sending.await.expect("no panic");
    });
}

#[test]
fn a_socket_in_non_blocking_mode_is_waited_for() {
    run_limited(async {
        let plain = std::net::UdpSocket::bind("127.0.0.1:0").expect("free");
        plain.set_nonblocking(true).expect("a socket");
        let mut server = UdpSocket::from_owned_fd(plain.into());
        let client = UdpSocket::bind("127.0.0.1:0").expect("free");
        let address = server.local_addr().expect("bound");
        let later = spawn(async move {
            sleep(Duration::from_millis(1)).await;
            client.send_to("one", address).await.0.expect("room");
            sleep(Duration::from_millis(1)).await;
            client.send_to("two", address).await.0.expect("room");
        });
        let (info, buffer) = server.recv_into(Vec::with_capacity(9)).await;
        assert_eq!((info.expect("it was sent").count, &*buffer), (3, &b"one"[..]));
        assert_eq!(&*server.recv().await.expect("it was sent"), b"two");
        later.await.expect("no panic");
    });
}

#[test]
fn sockets_share_a_port_if_all_agree() {
    run_limited(async {
        let first = UdpSocket::bind_reuse_port("127.0.0.1:0").expect("free");
        let address = first.local_addr().expect("bound");
        let second = UdpSocket::bind_reuse_port(address).expect("shared");
        assert_eq!(second.local_addr().expect("bound"), address);
        let error = UdpSocket::bind(address).expect_err("this one does not agree");
        assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    });
}

#[test]
fn a_broadcast_is_refused_until_it_is_allowed() {
    run_limited(async {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("free");
        let everybody = (Ipv4Addr::new(127, 255, 255, 255), 9);
        let error = socket.send_to("x", everybody).await.0.expect_err("not allowed");
        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
        socket.set_broadcast(true).expect("a socket");
        socket.send_to("x", everybody).await.0.expect("allowed");
        socket.set_broadcast(false).expect("a socket");
        assert!(!socket.socket().broadcast().expect("a socket"));
    });
}

#[test]
fn options_are_set_through_the_socket() {
    run_limited(async {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("free");
        let options = socket.socket();
        options.set_broadcast(true).expect("a socket");
        options.set_multicast_loop_v4(true).expect("a socket");
        let group = Ipv4Addr::new(239, 1, 2, 3);
        // A machine without a route for it refuses.
        if options.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).is_ok() {
            options.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST).expect("joined");
        }
        let error = timeout(Duration::from_secs(1), socket.send("x")).await.expect("at once").0;
        error.expect_err("not connected");
    });
}
