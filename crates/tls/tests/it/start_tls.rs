//! TLS on a stream that was in use in plain text, and limits of time.

use std::time::Duration;

use uring_loop::io::{ByteStreamExt as _, duplex};
use uring_loop::join;
use uring_loop::time::{now, timeout};

use crate::support::{ends, ping_pong, read, run, run_real, tcp};

#[test]
fn a_stream_in_use_goes_on_encrypted() {
    run_real(async {
        let (connector, acceptor) = ends();
        let (one, other) = tcp().await;
        let client = async {
            assert_eq!(read(&one, 10).await, b"220 hello\n");
            one.send(b"STARTTLS\n".to_vec()).await.expect("open");
            assert_eq!(read(&one, 9).await, b"220 go on");
            connector.connect("localhost", one).await.expect("content")
        };
        let server = async {
            other.send(b"220 hello\n".to_vec()).await.expect("open");
            assert_eq!(read(&other, 9).await, b"STARTTLS\n");
            other.send(b"220 go on".to_vec()).await.expect("open");
            acceptor.accept(other).await.expect("content")
        };
        let (client, server) = join((client, server)).await;
        ping_pong(&client, &server).await;
    });
}

#[test]
fn a_peer_that_says_nothing_is_given_up_by_a_timeout() {
    run(async {
        let (connector, acceptor) = ends();
        let limit = Duration::from_secs(20);
        for server in [false, true] {
            let (silent, stream) = duplex(1000);
            let start = now();
            let elapsed = match server {
                false => timeout(limit, connector.connect("localhost", stream)).await.is_err(),
                true => timeout(limit, acceptor.accept(stream)).await.is_err(),
            };
            assert!(elapsed && now() - start >= limit);
            // The connection is gone with it.
            while !silent.recv().await.expect("an end").is_empty() {}
        }
    });
}
