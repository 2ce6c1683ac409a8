//! Sends without a copy: the buffer stays until the kernel lets go of it, and where there is no
//! such send a plain one takes its place.

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::buf::IoBuf;
use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::testing::{Event, Fault, Peer, SimConfig, SimHandle, opcode};
use uring_loop::time::{now, sleep};
use uring_loop::{spawn, yield_now};

use crate::drops::{End, every_point, inflict, run_for};
use crate::support::{on_sim, run_limited};

/// A connection to a peer outside, which sends without a copy from so many bytes on.
async fn connection(sim: &SimHandle, from: usize) -> (TcpStream, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("free");
    let peer = sim.peer_connect(listener.local_addr().expect("bound")).expect("it listens");
    let mut stream = listener.accept().await.expect("a connection waits");
    stream.set_zero_copy(Some(from));
    (stream, peer)
}

fn submitted(sim: &SimHandle, wanted: u8) -> usize {
    let is = |event: &&Event| matches!(event, Event::Submitted { opcode, .. } if *opcode == wanted);
    sim.log().iter().filter(is).count()
}

/// A buffer that tells when it is dropped.
struct Noted(Vec<u8>, Rc<Cell<bool>>);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.fill(0xdd);
        self.1.set(true);
    }
}

// SAFETY: the heap block of a vector stays where it is when the vector is moved.
unsafe impl IoBuf for Noted {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn over_a_network_card() -> SimConfig {
    SimConfig { zero_copy: true, ..SimConfig::seeded(1) }
}

#[test]
fn large_writes_are_not_copied_and_small_ones_are() {
    on_sim(over_a_network_card(), |sim| async move {
        let (mut stream, peer) = connection(&sim, 1000).await;
        stream.write_all(vec![1; 999]).await.0.expect("open");
        assert_eq!((submitted(&sim, opcode::SEND), submitted(&sim, opcode::SEND_ZC)), (1, 0));
        for _ in 0..2 {
            let (result, buffer) = stream.write_all(vec![2; 1000]).await;
            result.expect("open");
            assert_eq!(buffer, [2; 1000]);
        }
        assert_eq!((submitted(&sim, opcode::SEND), submitted(&sim, opcode::SEND_ZC)), (1, 2));
        stream.set_zero_copy(None);
        stream.write_all(vec![3; 1000]).await.0.expect("open");
        assert_eq!(submitted(&sim, opcode::SEND_ZC), 2);
        assert_eq!(peer.recv().len(), 3999);
    });
}

#[test]
fn where_the_kernel_copies_after_all_plain_sends_follow() {
    on_sim(SimConfig::seeded(1), |sim| async move {
        let (mut stream, peer) = connection(&sim, 1000).await;
        for _ in 0..3 {
            stream.write_all(vec![7; 1000]).await.0.expect("open");
        }
        assert_eq!((submitted(&sim, opcode::SEND), submitted(&sim, opcode::SEND_ZC)), (2, 1));
        assert_eq!(peer.recv(), [7; 3000]);
    });
}

#[test]
fn a_kernel_that_refuses_gets_a_plain_send() {
    for errno in [libc::EINVAL, libc::EOPNOTSUPP, libc::ENOMEM] {
        on_sim(over_a_network_card(), |sim| async move {
            let (mut stream, peer) = connection(&sim, 1000).await;
            sim.next(opcode::SEND_ZC, Fault::Fail(errno));
            let (result, buffer) = stream.write_all(vec![7; 1000]).await;
            result.expect("it is sent all the same");
            assert_eq!((buffer.len(), peer.recv()), (1000, vec![7; 1000]));
            stream.write_all(vec![8; 1000]).await.0.expect("open");
            assert_eq!((submitted(&sim, opcode::SEND), submitted(&sim, opcode::SEND_ZC)), (2, 1));
        });
    }
}

#[test]
fn errors_of_the_connection_are_told_with_the_buffer() {
    for errno in [libc::ECONNRESET, libc::EPIPE, libc::ETIMEDOUT] {
        on_sim(over_a_network_card(), |sim| async move {
            let (mut stream, _peer) = connection(&sim, 1000).await;
            sim.next(opcode::SEND_ZC, Fault::Fail(errno));
            let (result, buffer) = stream.write_all(vec![7; 1000]).await;
            assert_eq!(result.expect_err("it fails").raw_os_error(), Some(errno));
            assert_eq!(buffer, [7; 1000]);
        });
    }
}

#[test]
fn a_short_send_goes_on_where_it_ended() {
    on_sim(over_a_network_card(), |sim| async move {
        let (mut stream, peer) = connection(&sim, 1000).await;
        let bytes: Vec<u8> = (0..5000u32).map(|at| (at * 7) as u8).collect();
        sim.next(opcode::SEND_ZC, Fault::Short(1500));
        sim.next(opcode::SEND_ZC, Fault::Fail(libc::EAGAIN));
        stream.write_all(bytes.clone()).await.0.expect("open");
        assert_eq!(peer.recv(), bytes);
    });
}

#[test]
fn under_a_write_timeout_buffers_are_copied() {
    on_sim(over_a_network_card(), |sim| async move {
        let (mut stream, _peer) = connection(&sim, 1000).await;
        let limit = Duration::from_secs(3);
        sleep(limit).await;
        stream.set_write_timeout(Some(limit));
        let start = now();
        let (result, buffer) = stream.write_all(vec![7; 1 << 20]).await;
        assert_eq!(result.expect_err("nobody reads").kind(), ErrorKind::TimedOut);
        assert_eq!((now() - start, buffer.len()), (limit, 1 << 20));
        assert_eq!(submitted(&sim, opcode::SEND_ZC), 0);
    });
}

#[test]
fn a_write_that_is_given_up_keeps_its_buffer_until_the_kernel_lets_go() {
    every_point(opcode::SEND_ZC, |config, faults, turns, end| {
        let config = SimConfig { send_buffer: 64, zero_copy: true, ..config };
        let dropped = Rc::new(Cell::new(false));
        on_sim(config, |sim| {
            let dropped = dropped.clone();
            async move {
                let (mut stream, peer) = connection(&sim, 100).await;
                inflict(&sim, &faults);
                let buffer = Noted(vec![7; 1000], dropped);
                let written = run_for(stream.write_all(buffer), turns, end).await;
                assert!(written.is_none(), "the peer does not read");
                for _ in 0..4 {
                    assert!(peer.recv().iter().all(|byte| *byte == 7), "a freed buffer was sent");
                    yield_now().await;
                }
                drop(stream);
                assert!(peer.recv().iter().all(|byte| *byte == 7), "a freed buffer was sent");
            }
        });
        // Forgotten before the first poll it lies in the future.
        if end != End::Forget || turns > 0 {
            assert!(dropped.get(), "the buffer was not dropped");
        }
    });
}

#[test]
fn a_buffer_comes_back_only_with_the_notification() {
    on_sim(over_a_network_card(), |sim| async move {
        let (mut stream, peer) = connection(&sim, 100).await;
        let notified = |event: &Event| event.cqe().is_some_and(|cqe| cqe.notification());
        for round in 0..3 {
            sim.clear_log();
            stream.write_all(vec![round; 1000]).await.0.expect("open");
            assert!(sim.log().iter().any(notified), "the kernel still has it");
            assert_eq!(peer.recv(), [round; 1000]);
        }
    });
}

#[test]
fn on_a_real_socket_the_bytes_arrive_whatever_the_kernel_does() {
    run_limited(async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("free");
        let address = listener.local_addr().expect("bound");
        let (server, client) = futures_util::join!(listener.accept(), TcpStream::connect(address));
        let (mut server, mut client) = (server.expect("accepted"), client.expect("connected"));
        client.set_zero_copy(Some(1));
        let bytes: Vec<u8> = (0..3_000_000u32).map(|at| (at * 31) as u8).collect();
        let sent = bytes.clone();
        let writing = spawn(async move {
            for part in sent.chunks(1_000_000) {
                let (result, back) = client.write_all(part.to_vec()).await;
                result.expect("open");
                assert_eq!(back, part);
            }
        });
        let mut got = Vec::new();
        while got.len() < bytes.len() {
            got.extend_from_slice(&server.recv().await.expect("open"));
        }
        assert!(got == bytes, "mangled");
        writing.await.expect("no panic");
        sleep(Duration::from_millis(1)).await;
    });
}
