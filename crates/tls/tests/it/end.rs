//! The end of a stream: said, cut, of one direction, of both.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::task::Poll;
use std::time::Duration;

use uring_loop::io::{ByteStream, ByteStreamExt as _, MemoryStream, duplex};
use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::time::sleep;
use uring_loop::{join, spawn, yield_now};

use crate::support::{
    Authority, Ends, ends, in_memory, pattern, read, read_to_end, run, run_real, shaken, tcp,
};

/// A client and a server with somebody in between, who has the two streams in the middle.
async fn with_somebody_between() -> (Ends<MemoryStream>, MemoryStream, MemoryStream) {
    let ((near, to_near), (to_far, far)) = (duplex(1 << 20), duplex(1 << 20));
    let (connector, acceptor) = ends();
    let relay = spawn(async move {
        // Flights by turns: hello, answer, end of the handshake, tickets.
        let (mut upward, mut quiet) = (true, 0);
        while quiet < 20 {
            let (from, to) = if upward { (&to_near, &to_far) } else { (&to_far, &to_near) };
            let polled = poll_fn(|cx| Poll::Ready(from.poll_recv(cx))).await;
            if let Poll::Ready(bytes) = polled {
                to.send(bytes.expect("open").to_vec()).await.expect("open");
                quiet = 0;
            } else {
                quiet += 1;
                upward = !upward;
                yield_now().await;
            }
        }
        (to_near, to_far)
    });
    let shaken = shaken(&(connector, acceptor), (near, far)).await;
    let (to_near, to_far) = relay.await.expect("no panic");
    (shaken, to_near, to_far)
}

#[test]
fn a_cut_connection_is_no_end() {
    run(async {
        let ((client, server), to_near, to_far) = with_somebody_between().await;
        client.send(b"transfer 100".to_vec()).await.expect("open");
        to_far.send(to_near.recv().await.expect("it came").to_vec()).await.expect("open");
        to_far.write_eof().await.expect("open");
        assert_eq!(read(&server, 12).await, b"transfer 100");
        for _ in 0..2 {
            let error = server.recv().await.map(drop).expect_err("it was cut");
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
            assert!(error.to_string().contains("close_notify"), "{error}");
        }
        // The other direction stands.
        server.send(b"what?".to_vec()).await.expect("open");
        to_near.send(to_far.recv().await.expect("it came").to_vec()).await.expect("open");
        assert_eq!(read(&client, 5).await, b"what?");
    });
}

#[test]
fn a_connection_cut_in_the_middle_of_a_record_is_no_end() {
    run(async {
        let ((client, server), to_near, to_far) = with_somebody_between().await;
        client.send(pattern(20_000, 0)).await.expect("open");
        let bytes = to_near.recv().await.expect("it came");
        // The first record, 16 KiB of text, and a part of the second.
        to_far.send(bytes[..17_000].to_vec()).await.expect("open");
        drop(to_far);
        let mut got = Vec::new();
        let error = loop {
            match server.recv().await {
                Ok(bytes) => got.extend_from_slice(&bytes),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert!(got == pattern(20_000, 0)[..16 << 10], "what was whole is delivered");
    });
}

#[test]
fn bytes_that_were_changed_end_both_directions() {
    run(async {
        let ((client, server), to_near, to_far) = with_somebody_between().await;
        client.send(b"good".to_vec()).await.expect("open");
        client.send(b"then bad".to_vec()).await.expect("open");
        let mut bytes = to_near.recv().await.expect("it came").to_vec();
        bytes.extend_from_slice(&to_near.recv().await.expect("it came"));
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        to_far.send(bytes).await.expect("open");
        assert_eq!(read(&server, 4).await, b"good");
        let error = server.recv().await.map(drop).expect_err("it was changed");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().contains("cannot be decrypted"), "{error}");
        for error in [
            server.recv().await.map(drop).expect_err("it stays"),
            server.send(b"more".to_vec()).await.expect_err("it stays"),
            server.flush().await.expect_err("it stays"),
            server.write_eof().await.expect_err("it stays"),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidData);
        }
        // The other side is told at once, without a poll of the sending direction.
        to_near.send(to_far.recv().await.expect("an alert").to_vec()).await.expect("open");
        let error = client.recv().await.map(drop).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
        assert!(error.to_string().contains("BadRecordMac"), "{error}");
    });
}

#[test]
fn bytes_that_were_changed_behind_our_own_end_are_an_error_like_any() {
    run(async {
        let ((client, server), to_near, to_far) = with_somebody_between().await;
        server.write_eof().await.expect("open");
        client.send(b"bad".to_vec()).await.expect("open");
        let mut bytes = to_near.recv().await.expect("it came").to_vec();
        bytes[10] ^= 1;
        to_far.send(bytes).await.expect("open");
        let error = server.recv().await.map(drop).expect_err("it was changed");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        server.write_eof().await.expect("it stays so");
    });
}

#[test]
fn a_sender_that_waits_for_room_learns_that_tls_has_failed() {
    run(async {
        let ((client, server), to_near, to_far) = with_somebody_between().await;
        let server = std::rc::Rc::new(server);
        let sending = server.clone();
        let sender = spawn(async move {
            loop {
                if let Err(error) = sending.send(vec![0; 1 << 20]).await {
                    return error;
                }
            }
        });
        for _ in 0..10 {
            yield_now().await;
        }
        assert!(!sender.is_done(), "nobody reads");
        client.send(b"bad".to_vec()).await.expect("open");
        let mut bytes = to_near.recv().await.expect("it came").to_vec();
        bytes[10] ^= 1;
        to_far.send(bytes).await.expect("open");
        server.recv().await.map(drop).expect_err("it was changed");
        // Not awaited: whoever awaits a task and has a limit polls it once more when that is over.
        for _ in 0..10 {
            yield_now().await;
        }
        assert!(sender.is_done(), "nobody has told it");
        assert_eq!(sender.await.expect("no panic").kind(), ErrorKind::InvalidData);
    });
}

#[test]
fn the_end_of_one_direction_leaves_the_other_in_all_versions() {
    for version in [tls::Version::Tls12, tls::Version::Tls13] {
        run_real(async move {
            let authority = Authority::new();
            let client = authority.client().versions(&[version]).build().expect("it fits");
            let ends = (client, authority.server().build().expect("it fits"));
            let (client, server) = shaken(&ends, tcp().await).await;
            client.send(b"question".to_vec()).await.expect("open");
            client.write_eof().await.expect("open");
            assert_eq!(read_to_end(&server).await.expect("an orderly end"), b"question");
            let answer = pattern(100_000, 0);
            let answering = async {
                server.send(answer.clone()).await.expect("open");
                server.write_eof().await.expect("open");
            };
            let ((), got) = join((answering, read_to_end(&client))).await;
            assert!(got.expect("an orderly end") == answer, "mangled");
        });
    }
}

#[test]
fn a_dropped_stream_says_good_bye_behind_its_last_bytes() {
    for room in [1, 100, 1 << 20] {
        run(async move {
            let (client, server) = shaken(&ends(), duplex(room)).await;
            // Two, so that the carrier has no room for close_notify, if it is a small one.
            client.send(pattern(5000, 1)).await.expect("open");
            drop(client);
            let got = read_to_end(&server).await.expect("an orderly end, not a cut");
            assert!(got == pattern(5000, 1), "mangled");
        });
    }
}

#[test]
fn the_end_of_the_loop_waits_for_the_good_bye_of_a_dropped_stream() {
    let (connector, acceptor) = ends();
    let (port, bound) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        run_real(async move {
            let listener = TcpListener::bind("127.0.0.1:0").expect("free");
            port.send(listener.local_addr().expect("bound")).expect("it waits");
            let tcp = listener.accept().await.expect("it comes");
            let stream = acceptor.accept(tcp).await.expect("content");
            sleep(Duration::from_millis(50)).await;
            read_to_end(&stream).await
        })
    });
    let address = bound.recv().expect("it binds");
    uring_loop::run(async move {
        let tcp = TcpStream::connect(address).await.expect("it listens");
        let stream = connector.connect("localhost", tcp).await.expect("content");
        stream.send(pattern(8 << 20, 0)).await.expect("open");
    })
    .expect("not cancelled");
    let got = reader.join().expect("no panic").expect("an orderly end");
    assert!(got == pattern(8 << 20, 0), "mangled");
}

#[test]
fn an_aborted_stream_says_nothing() {
    run(async {
        let (client, server) = in_memory(&ends()).await;
        client.send(b"last".to_vec()).await.expect("open");
        client.abort();
        client.send(b"more".to_vec()).await.expect_err("it was aborted");
        drop(client);
        assert_eq!(read(&server, 4).await, b"last");
        let error = server.recv().await.map(drop).expect_err("no good-bye");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn memory_of_sent_buffers_is_used_again() {
    run(async {
        let (client, _server) = in_memory(&ends()).await;
        assert_eq!(client.spare_buffer().capacity(), 0, "nothing was sent yet");
        let mut buffer = Vec::with_capacity(5000);
        buffer.push(1);
        client.send(buffer).await.expect("open");
        let spare = client.spare_buffer();
        assert_eq!((spare.len(), spare.capacity()), (0, 5000));
    });
}

#[test]
#[should_panic(expected = "poll_ready")]
fn a_second_buffer_before_the_first_was_taken_is_a_mistake() {
    run(async {
        let (client, _server) = shaken(&ends(), duplex(1)).await;
        client.start_send(vec![1]).expect("open");
        drop(client.start_send(vec![2]));
    });
}
