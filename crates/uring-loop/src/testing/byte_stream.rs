//! What every [`ByteStream`] is held to, as one check that runs over any kind of them.
//!
//! The idea is trio's `check_half_closeable_stream`.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::io::{ByteStream, ByteStreamExt, split};
use crate::{join, spawn, yield_now};

/// More than any stream should take without a reader.
const MUCH: usize = 256 << 20;
const KIB: usize = 1 << 10;

/// Checks that a kind of stream keeps the promises of [`ByteStream`]. `make` makes the two ends of
/// a fresh connection each time it is called.
///
/// # Panics
///
/// If a promise is broken. One kind of breach shows as waiting for ever: run it under a guard.
///
/// # Cancel safety
///
/// Weak: what was not checked yet is not checked.
///
/// # Examples
///
/// ```
/// use uring_loop::io::duplex;
/// use uring_loop::testing::{self, check_byte_stream};
///
/// testing::run(check_byte_stream(async || duplex(1000)));
/// ```
pub async fn check_byte_stream<S, F>(mut make: F)
where
    S: ByteStream + 'static,
    F: AsyncFnMut() -> (S, S),
{
    bytes_arrive_whole_and_in_order_both_ways(make().await).await;
    two_tasks_share_it(make().await).await;
    what_was_handed_over_needs_no_poll(make().await).await;
    a_dropped_stream_sends_what_was_handed_over(make().await).await;
    small_sends_arrive_without_a_flush(make().await).await;
    one_direction_ends_alone(make().await).await;
    nothing_goes_out_after_the_end(make().await).await;
    an_abandoned_receive_loses_nothing(make().await).await;
    who_polled_last_is_woken(make().await).await;
    a_slow_reader_holds_the_sender(make().await).await;
    sending_to_nobody_fails(make().await).await;
    an_abort_ends_it(make().await).await;
    closed_in_order_it_loses_nothing_though_the_peer_was_not_heard(make().await).await;
}

fn pattern(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251 + seed) as u8).collect()
}

/// Sends bytes in pieces of growing size, empty ones among them.
async fn send_in_pieces(stream: &impl ByteStream, mut bytes: &[u8]) -> io::Result<()> {
    for size in (0..).map(|round: usize| round * round * 13 % 9001) {
        let (now, later) = bytes.split_at(size.min(bytes.len()));
        let mut buffer = stream.spare_buffer();
        assert!(buffer.is_empty(), "a spare buffer has bytes in it");
        buffer.extend_from_slice(now);
        stream.send(buffer).await?;
        bytes = later;
        if bytes.is_empty() {
            break;
        }
    }
    stream.flush().await
}

async fn receive(stream: &impl ByteStream, length: usize) -> Vec<u8> {
    let mut got = Vec::with_capacity(length);
    while got.len() < length {
        let bytes = stream.recv().await.expect("the other end is there");
        assert!(!bytes.is_empty(), "it ended after {} of {length} bytes", got.len());
        got.extend_from_slice(&bytes);
    }
    assert_eq!(got.len(), length, "bytes that nobody sent");
    got
}

async fn assert_ended(stream: &impl ByteStream) {
    for _ in 0..3 {
        let bytes = stream.recv().await.expect("an orderly end is no error");
        assert!(bytes.is_empty(), "{} bytes behind the last", bytes.len());
    }
}

async fn bytes_arrive_whole_and_in_order_both_ways<S: ByteStream>((one, other): (S, S)) {
    let (there, back) = (pattern(300 * KIB, 1), pattern(200 * KIB, 2));
    let ((), (), at_other, at_one) = join((
        async { send_in_pieces(&one, &there).await.expect("open") },
        async { send_in_pieces(&other, &back).await.expect("open") },
        receive(&other, there.len()),
        receive(&one, back.len()),
    ))
    .await;
    assert!(at_other == there && at_one == back, "mangled");
}

async fn two_tasks_share_it<S: ByteStream + 'static>((one, other): (S, S)) {
    let ends = [one, other].map(|stream| {
        let (mut reading, mut writing) = split(stream);
        let writer = spawn(async move {
            for round in 0..40 {
                writing.send(pattern(3 * KIB, round)).await.expect("open");
            }
            writing.flush().await.expect("open");
            writing
        });
        let reader = spawn(async move {
            let mut got = Vec::new();
            while got.len() < 120 * KIB {
                got.extend_from_slice(&reading.recv().await.expect("open"));
            }
            (got, reading)
        });
        (reader, writer)
    });
    let sent: Vec<u8> = (0..40).flat_map(|round| pattern(3 * KIB, round)).collect();
    // Kept until both have everything: a socket closed with bytes unread resets.
    let mut halves = Vec::new();
    for (reader, writer) in ends {
        let (got, reading) = reader.await.expect("it does not panic");
        halves.push((reading, writer.await.expect("it does not panic")));
        assert!(got == sent, "mangled");
    }
}

async fn hand_over(stream: &impl ByteStream, bytes: Vec<u8>) {
    poll_fn(|cx| stream.poll_ready(cx)).await.expect("open");
    stream.start_send(bytes).expect("open");
}

async fn what_was_handed_over_needs_no_poll<S: ByteStream>((one, other): (S, S)) {
    let large = pattern(256 * KIB, 3);
    hand_over(&one, large.clone()).await;
    assert!(receive(&other, large.len()).await == large, "mangled");
}

async fn a_dropped_stream_sends_what_was_handed_over<S: ByteStream>((one, other): (S, S)) {
    let large = pattern(256 * KIB, 4);
    hand_over(&one, large.clone()).await;
    drop(one);
    assert!(receive(&other, large.len()).await == large, "mangled");
    assert_ended(&other).await;
}

async fn small_sends_arrive_without_a_flush<S: ByteStream>((one, other): (S, S)) {
    let sending = async {
        hand_over(&one, b"one ".to_vec()).await;
        hand_over(&one, Vec::new()).await;
        hand_over(&one, b"two".to_vec()).await;
    };
    assert_eq!(join((sending, receive(&other, 7))).await.1, b"one two");
}

async fn one_direction_ends_alone<S: ByteStream>((one, other): (S, S)) {
    hand_over(&one, b"question".to_vec()).await;
    let (ended, question) = join((one.write_eof(), receive(&other, 8))).await;
    ended.expect("open");
    assert_eq!(question, b"question");
    assert_ended(&other).await;
    if one.can_half_close() {
        other.send(pattern(100 * KIB, 5)).await.expect("this direction is open");
        let (ended, answer) = join((other.write_eof(), receive(&one, 100 * KIB))).await;
        ended.expect("open");
        assert!(answer == pattern(100 * KIB, 5), "mangled");
        assert_ended(&one).await;
    }
}

async fn nothing_goes_out_after_the_end<S: ByteStream>((one, other): (S, S)) {
    one.write_eof().await.expect("open");
    one.write_eof().await.expect("asking again is fine");
    one.flush().await.expect("nothing is left to flush");
    let error = one.send(b"late".to_vec()).await.expect_err("it has ended");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{error}");
    assert_ended(&other).await;
}

async fn an_abandoned_receive_loses_nothing<S: ByteStream>((one, other): (S, S)) {
    for round in 0..20_usize {
        let polled = poll_fn(|cx| Poll::Ready(other.poll_recv(cx))).await;
        assert!(polled.is_pending(), "nothing was sent yet");
        one.send(pattern(100 + round, round)).await.expect("open");
        // It comes while nobody waits.
        for _ in 0..round {
            yield_now().await;
        }
        assert!(receive(&other, 100 + round).await == pattern(100 + round, round), "mangled");
    }
}

async fn who_polled_last_is_woken<S: ByteStream + 'static>((one, other): (S, S)) {
    let other = Rc::new(other);
    let nobody = &mut Context::from_waker(Waker::noop());
    assert!(other.poll_recv(nobody).is_pending(), "nothing was sent yet");
    let receiver = other.clone();
    let waiting = spawn(async move { receive(&receiver, 5).await });
    yield_now().await;
    hand_over(&one, b"hello".to_vec()).await;
    assert_eq!(waiting.await.expect("it does not panic"), b"hello");
}

/// Runs the loop until `progress` stands still, and answers where.
async fn stalled(progress: &Cell<usize>) -> usize {
    let (mut last, mut quiet) = (progress.get(), 0);
    while quiet < 500 {
        yield_now().await;
        quiet = if last == progress.get() { quiet + 1 } else { 0 };
        last = progress.get();
    }
    last
}

async fn a_slow_reader_holds_the_sender<S: ByteStream + 'static>((one, other): (S, S)) {
    let (handed, enough) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let (counting, stop) = (handed.clone(), enough.clone());
    let sender = spawn(async move {
        while !stop.get() {
            one.send(vec![7; 64 * KIB]).await.expect("open");
            counting.set(counting.get() + 64 * KIB);
            assert!(counting.get() < MUCH, "nothing holds a sender whose bytes nobody reads");
        }
        one.write_eof().await.expect("open");
    });
    let held = stalled(&handed).await;
    assert!(held > 0, "it takes nothing at all");
    enough.set(true);
    let mut got = 0;
    loop {
        let bytes = other.recv().await.expect("open");
        if bytes.is_empty() {
            break;
        }
        assert!(bytes.iter().all(|byte| *byte == 7), "mangled");
        got += bytes.len();
    }
    sender.await.expect("it does not panic");
    assert_eq!(got, handed.get(), "bytes were lost or made up");
}

async fn sending_to_nobody_fails<S: ByteStream>((one, other): (S, S)) {
    drop(other);
    let mut sent = 0;
    let error = loop {
        match one.send(vec![0; 64 * KIB]).await {
            Ok(()) => sent += 64 * KIB,
            Err(error) => break error,
        }
        assert!(sent < MUCH, "sending to nobody goes on and on");
    };
    assert!(gone(&error), "{error}");
    one.flush().await.expect_err("the failure stays");
    // Reading comes to an end too, one way or the other.
    match one.recv().await {
        Ok(bytes) => assert!(bytes.is_empty(), "nobody sent anything"),
        Err(error) => assert!(gone(&error), "{error}"),
    }
}

fn gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | ConnectionAborted | UnexpectedEof)
}

async fn an_abort_ends_it<S: ByteStream>((one, other): (S, S)) {
    hand_over(&one, vec![7; 1024 * KIB]).await;
    one.abort();
    one.send(b"more".to_vec()).await.expect_err("it was aborted");
    drop(one);
    let mut got = 0;
    loop {
        match other.recv().await {
            Ok(bytes) if bytes.is_empty() => break,
            Ok(bytes) => got += bytes.len(),
            Err(error) => {
                assert!(gone(&error), "{error}");
                break;
            }
        }
    }
    assert!(got <= 1024 * KIB, "bytes that nobody sent");
}

async fn closed_in_order_it_loses_nothing_though_the_peer_was_not_heard<S: ByteStream>(
    (one, other): (S, S),
) {
    one.send(pattern(50 * KIB, 6)).await.expect("open");
    other.send(pattern(20 * KIB, 7)).await.expect("open");
    let reads = async {
        assert!(receive(&one, 20 * KIB).await == pattern(20 * KIB, 7), "mangled");
        if one.can_half_close() {
            assert_ended(&one).await;
        }
        drop(one);
    };
    let (closed, ()) = join((other.close(Duration::from_secs(60)), reads)).await;
    closed.expect("both directions have ended");
}
