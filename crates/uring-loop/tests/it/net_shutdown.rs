//! A shutdown that a worker of the kernel carries out, and a stream that goes before it has begun.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream as StdStream;
use std::task::Poll;
use std::time::Duration;

use uring_loop::io::ByteStream;
use uring_loop::net::UnixStream;
use uring_loop::time::sleep;
use uring_loop::yield_now;

use crate::support::in_child;

#[test]
fn a_shutdown_under_way_does_not_hit_the_next_socket_of_its_number() {
    // Alone, or others would take the number.
    in_child(
        "net_shutdown::a_shutdown_under_way_does_not_hit_the_next_socket_of_its_number",
        || {
            uring_loop::run(async {
                for round in 0..100 {
                    let (ours, theirs) = UnixStream::pair().expect("a pair");
                    poll_fn(|cx| {
                        assert!(ours.poll_shutdown(cx).is_pending());
                        Poll::Ready(())
                    })
                    .await;
                    drop(ours);
                    // More than the polls of a turn: the shutdown is submitted, and the close if it
                    // stands behind it, but no time to speak of.
                    for _ in 0..200 {
                        yield_now().await;
                    }
                    let (mut one, mut other) = StdStream::pair().expect("a pair");
                    sleep(Duration::from_millis(1)).await;
                    one.write_all(b"x").unwrap_or_else(|error| panic!("round {round}: {error}"));
                    let mut byte = [0];
                    let read = other.read(&mut byte).expect("readable");
                    assert_eq!(read, 1, "round {round}: another socket was shut down");
                    drop(theirs);
                }
            })
            .expect("a loop");
        },
    );
}

#[test]
fn the_other_end_reads_the_end_though_the_stream_is_gone() {
    uring_loop::run(async {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        poll_fn(|cx| {
            assert!(ours.poll_shutdown(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        drop(ours);
        assert!(theirs.recv().await.expect("no error").is_empty());
    })
    .expect("a loop");
}
