//! A kernel that does everything it may: resets, and faults by seed in the middle of traffic.

use std::io::ErrorKind;

use uring_loop::io::{ByteStream, ByteStreamExt as _};
use uring_loop::testing::{Fault, Faults, SimConfig, opcode, simulate};
use uring_loop::{join, spawn};

use crate::support::{ends, pattern, ping_pong, read_to_end, shaken, tcp};

const ECONNRESET: i32 = 104;

#[test]
fn traffic_through_faults_arrives_whole() {
    let ends = ends();
    for seed in 0..10 {
        let ends = &ends;
        simulate(SimConfig::seeded(seed), |sim| async move {
            let pair = tcp().await;
            sim.set_faults(Faults::chaos());
            let (client, server) = shaken(ends, pair).await;
            let bytes = pattern(100_000, seed as usize);
            let sent = bytes.clone();
            let echo = spawn(async move {
                loop {
                    let piece = server.recv().await.expect("open");
                    if piece.is_empty() {
                        return server.write_eof().await.expect("open");
                    }
                    server.send(piece.to_vec()).await.expect("open");
                }
            });
            let sending = async {
                for piece in sent.chunks(7777) {
                    client.send(piece.to_vec()).await.expect("open");
                }
                client.write_eof().await.expect("open");
            };
            let ((), got) = join((sending, read_to_end(&client))).await;
            assert!(got.expect("an orderly end") == bytes, "seed {seed}");
            echo.await.expect("no panic");
        });
    }
}

#[test]
fn a_send_that_fails_is_told_by_the_next_poll_and_stays() {
    simulate(SimConfig::seeded(0), |sim| async move {
        let (client, server) = shaken(&ends(), tcp().await).await;
        client.flush().await.expect("open");
        server.flush().await.expect("open");
        sim.next(opcode::SEND, Fault::Fail(ECONNRESET));
        client.send(b"lost".to_vec()).await.expect("not known yet");
        for _ in 0..3 {
            let error = client.send(b"more".to_vec()).await.expect_err("it failed");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            assert_eq!(client.flush().await.expect_err("too").kind(), ErrorKind::ConnectionReset);
        }
        client.write_eof().await.expect_err("an end behind bytes that were lost would be a lie");
    });
}

#[test]
fn a_reset_is_an_error_for_the_receiver() {
    simulate(SimConfig::seeded(0), |_| async move {
        let (client, server) = shaken(&ends(), tcp().await).await;
        ping_pong(&client, &server).await;
        server.send(b"unread".to_vec()).await.expect("open");
        server.flush().await.expect("open");
        server.abort();
        drop(server);
        let error = loop {
            match client.recv().await {
                Ok(bytes) => assert!(!bytes.is_empty(), "an abort is no end"),
                Err(error) => break error,
            }
        };
        let kind = error.kind();
        assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof), "{error}");
    });
}

#[test]
fn handshakes_on_a_connection_that_breaks_fail_on_both_sides_and_leave_nothing() {
    let ends = ends();
    for nth in 0..4 {
        let ends = &ends;
        simulate(SimConfig::seeded(nth), |sim| async move {
            let pair = tcp().await;
            for _ in 0..nth {
                sim.next(opcode::SEND, Fault::Delay(1));
            }
            sim.next(opcode::SEND, Fault::Fail(ECONNRESET));
            // Who was content goes at once: the other side must not wait for ever.
            let near = async { ends.0.connect("localhost", pair.0).await.map(drop) };
            let far = async { ends.1.accept(pair.1).await.map(drop) };
            let (client, server) = join((near, far)).await;
            assert!(nth > 1 || client.is_err() || server.is_err(), "send {nth} was lost");
            for error in [client.err(), server.err()].into_iter().flatten() {
                let kind = error.kind();
                assert!(
                    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof),
                    "{error}"
                );
            }
        });
    }
}
