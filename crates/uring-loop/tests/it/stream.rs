//! Readers and writers: lines, exact counts, limits, ends, failures; water marks, closing.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt as _;
use uring_loop::io::{ByteStream, ByteStreamExt, MemoryStream, duplex};
use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::stream::{ReadError, StreamReader, StreamWriter, open_connection, wrap};
use uring_loop::testing::{Fault, Peer, SimConfig, SimHandle, opcode};
use uring_loop::time::{sleep, timeout};
use uring_loop::{EventLoop, catch_cancel, spawn, yield_now};

use crate::support::{logged, on_sim, poll_once};

/// A reader of these pieces, behind which the stream ends.
async fn reader_of(pieces: &[&[u8]]) -> StreamReader {
    let (one, other) = duplex(1 << 20);
    for piece in pieces {
        one.send(piece.to_vec()).await.expect("open");
    }
    drop(one);
    wrap(other).0
}

/// A reader with the other end of its stream.
fn open_reader() -> (StreamReader, MemoryStream) {
    let (one, other) = duplex(1 << 20);
    (wrap(other).0, one)
}

fn limit_of<T: std::fmt::Debug>(result: Result<T, ReadError>) -> usize {
    match result {
        Err(ReadError::Limit { consumed }) => consumed,
        other => panic!("{other:?}"),
    }
}

fn partial_of<T: std::fmt::Debug>(result: Result<T, ReadError>) -> (Vec<u8>, Option<usize>) {
    match result {
        Err(ReadError::Incomplete { partial, expected }) => (partial, expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn lines_come_one_by_one_however_they_were_sent() {
    uring_loop::testing::run(async {
        let mut reader = reader_of(&[b"one\ntw", b"o", b"\n\nthr", b"ee"]).await;
        assert_eq!(reader.read_line().await.expect("open"), b"one\n");
        assert_eq!(reader.read_line().await.expect("open"), b"two\n");
        assert!(!reader.at_eof());
        assert_eq!(reader.read_line().await.expect("open"), b"\n");
        assert_eq!(reader.read_line().await.expect("ended"), b"three", "the rest");
        assert!(reader.at_eof());
        assert_eq!(reader.read_line().await.expect("ended"), b"");
        assert!(reader.next_line().await.expect("ended").is_none());
    });
}

#[test]
fn lines_as_a_stream_end_with_it() {
    uring_loop::testing::run(async {
        let mut reader = reader_of(&[b"first line\nsec", b"ond line\nthird line"]).await;
        let lines: Vec<_> = reader.lines().map(|line| line.expect("open")).collect().await;
        assert_eq!(lines, [&b"first line\n"[..], b"second line\n", b"third line"]);
        // What a stream of lines that is dropped has not given is still there.
        let mut reader = reader_of(&[b"one\ntwo\n"]).await;
        assert_eq!(reader.lines().next().await.expect("one").expect("open"), b"one\n");
        assert_eq!(reader.read_line().await.expect("open"), b"two\n");
    });
}

#[test]
fn a_line_that_is_too_long_is_dropped_with_its_end_if_that_has_come() {
    uring_loop::testing::run(async {
        let mut reader = reader_of(&[b"li", b"ne1\nline2\n"]).await.with_limit(3);
        assert_eq!(limit_of(reader.read_line().await), 5);
        assert_eq!(reader.read(99).await.expect("open"), b"line2\n");
        // No end in sight: all there is goes.
        let (reader, one) = open_reader();
        let mut reader = reader.with_limit(3);
        one.send(b"toolong".to_vec()).await.expect("open");
        assert_eq!(limit_of(reader.read_line().await), 7);
        assert_eq!(reader.buffered(), 0);
        one.send(b"rest\nok\n".to_vec()).await.expect("open");
        assert_eq!(limit_of(reader.read_line().await), 4, "it was a line too long by itself");
        assert_eq!(reader.read_line().await.expect("open"), b"ok\n");
        // And as a stream.
        let mut reader = reader_of(&[b"abcd\nef\n"]).await.with_limit(3);
        let mut lines = reader.lines();
        assert_eq!(limit_of(lines.next().await.expect("it tells")), 4);
        assert_eq!(lines.next().await.expect("more").expect("short"), b"ef\n");
        assert!(lines.next().await.is_none());
    });
}

#[test]
fn a_separator_may_be_any_bytes() {
    uring_loop::testing::run(async {
        let mut reader = reader_of(&[b"someAA", b"A", b"Aother--", b"-"]).await;
        assert_eq!(reader.read_until(b"AAA").await.expect("open"), b"someAAA");
        assert_eq!(reader.read_until(b"Ao").await.expect("open"), b"Ao");
        let (partial, expected) = partial_of(reader.read_until(b"----").await);
        assert_eq!((&partial[..], expected), (&b"ther---"[..], None));
        assert!(reader.at_eof(), "what there was has been taken");
    });
}

#[test]
fn of_several_separators_the_one_counts_that_ends_first() {
    uring_loop::testing::run(async {
        let mut reader = reader_of(&[b"split me asap at me", b"THE END"]).await;
        let both: [&[u8]; 2] = [b"me asap", b"me"];
        assert_eq!(reader.read_until_any(&both).await.expect("open"), b"split me");
        let ends: [&[u8]; 2] = [b"at meTHE", b"at me"];
        assert_eq!(reader.read_until_any(&ends).await.expect("open"), b" asap at me");
        assert_eq!(reader.read_until_any(&[b"END", b"N"]).await.expect("open"), b"THE EN");
    });
}

#[test]
fn too_much_before_a_separator_is_left_where_it_is() {
    uring_loop::testing::run(async {
        let mut reader = reader_of(&[b"some dataAA"]).await.with_limit(7);
        assert_eq!(limit_of(reader.read_until(b"AA").await), 9);
        assert_eq!(reader.read_exact(9).await.expect("still there"), b"some data");
        assert_eq!(reader.read_until(b"AA").await.expect("within the limit"), b"AA");
        let mut reader = reader_of(&[b"some dataA"]).await.with_limit(7);
        let consumed = limit_of(reader.read_until(b"AA").await);
        assert_eq!(consumed, 9, "an A at the end may begin one");
        assert_eq!(reader.buffered(), 10);
        // Exactly the limit is not too much.
        let mut reader = reader_of(&[b"1234567AA"]).await.with_limit(7);
        assert_eq!(reader.read_until(b"AA").await.expect("not more"), b"1234567AA");
    });
}

#[test]
#[should_panic(expected = "a separator needs a byte")]
fn an_empty_separator_is_a_mistake() {
    uring_loop::testing::run(async { drop(reader_of(&[b"x"]).await.read_until(b"").await) });
}

#[test]
fn so_many_bytes_or_what_there_is() {
    uring_loop::testing::run(async {
        let mut reader = reader_of(&[b"line1", b"line2", b"x"]).await;
        assert_eq!(reader.read_exact(0).await.expect("nothing to wait for"), b"");
        assert_eq!(reader.read_exact(7).await.expect("open"), b"line1li");
        assert_eq!(reader.read(2).await.expect("open"), b"ne");
        assert_eq!(reader.read(0).await.expect("open"), b"");
        assert_eq!(reader.read(99).await.expect("open"), b"2", "what there is, as soon as it is");
        let (partial, expected) = partial_of(reader.read_exact(5).await);
        assert_eq!((&partial[..], expected), (&b"x"[..], Some(5)));
        assert_eq!(reader.read(5).await.expect("ended"), b"");
        assert_eq!(partial_of(reader.read_exact(5).await).0, b"");

        let mut reader = reader_of(&[b"abc", b"def"]).await;
        let mut buffer = [0; 2];
        assert_eq!(reader.read_into(&mut buffer).await.expect("open"), 2);
        assert_eq!(&buffer, b"ab");
        assert_eq!(reader.read_into(&mut []).await.expect("open"), 0);
        assert_eq!(reader.read_to_end().await.expect("open"), b"cdef");
        assert_eq!(reader.read_to_end().await.expect("ended"), b"");
    });
}

#[test]
fn buffers_can_be_looked_at_and_taken_whole() {
    uring_loop::testing::run(async {
        let mut reader = reader_of(&[b"hello world", b"again"]).await;
        assert_eq!(reader.fill_buf().await.expect("open"), b"hello world");
        reader.consume(6);
        assert_eq!(reader.fill_buf().await.expect("open"), b"world", "looked at is not taken");
        let rest = reader.read_buffer().await.expect("open").expect("not the end");
        assert_eq!(&*rest, b"world");
        assert_eq!(&*reader.read_buffer().await.expect("open").expect("not the end"), b"again");
        assert!(reader.read_buffer().await.expect("ended").is_none());
        assert_eq!(reader.fill_buf().await.expect("ended"), b"");
    });
}

#[test]
fn a_reader_that_is_dropped_in_the_middle_of_a_wait_loses_nothing() {
    uring_loop::testing::run(async {
        let (mut reader, one) = open_reader();
        one.send(b"abc".to_vec()).await.expect("open");
        let limit = Duration::from_millis(5);
        assert!(timeout(limit, reader.read_line()).await.is_err());
        assert!(timeout(limit, reader.read_exact(9)).await.is_err());
        one.send(b"def".to_vec()).await.expect("open");
        assert!(timeout(limit, reader.read_until(b"--")).await.is_err());
        assert!(timeout(limit, reader.read_to_end()).await.is_err());
        assert!(timeout(limit, reader.lines().next()).await.is_err());
        assert_eq!(reader.buffered(), 6);
        one.send(b"\n".to_vec()).await.expect("open");
        assert_eq!(reader.read_line().await.expect("open"), b"abcdef\n");
    });
}

#[test]
fn a_failure_comes_behind_what_came_before_it_and_stays() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let (mut reader, writer, peer) = connected(&sim).await;
        peer.send("one\ntw").expect("open");
        assert_eq!(reader.read_line().await.expect("open"), b"one\n");
        sim.next(opcode::SEND, Fault::Fail(104));
        writer.write("x");
        let error = writer.wait_closed().await.expect_err("sending failed");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(writer.drain().await.expect_err("lost").kind(), ErrorKind::ConnectionReset);
        assert!(writer.is_closing());
        // What the peer said before is there all the same.
        peer.send("o\n").expect("open");
        assert_eq!(reader.read_line().await.expect("readable"), b"two\n");
        peer.send("rest").expect("open");
        yield_now().await;
        peer.reset();
        let (mut got, mut failures) = (0, 0);
        for _ in 0..4 {
            match reader.read(99).await {
                Ok(bytes) => got += bytes.len(),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                    failures += 1;
                }
            }
        }
        assert!((got == 4 && failures == 3) || failures == 4, "{got}, {failures}");
        let error = reader.read_line().await.expect_err("it stays");
        assert!(matches!(error, ReadError::Io(_)), "{error}");
        assert_eq!(
            writer.drain().await.expect_err("the reader's").kind(),
            ErrorKind::ConnectionReset
        );
    });
}

#[test]
fn errors_of_reading_become_errors_of_io() {
    let error = io::Error::from(ReadError::Incomplete { partial: vec![1], expected: Some(2) });
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(error.to_string(), "the stream ended after 1 of 2 bytes");
    let error = io::Error::from(ReadError::Limit { consumed: 7 });
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(io::Error::from(ReadError::from(io::Error::other("x"))).to_string(), "x");
}

/// Reader and writer of a connection, and its peer outside of the simulated kernel.
async fn connected(sim: &SimHandle) -> (StreamReader, StreamWriter, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("free");
    let peer = sim.peer_connect(listener.local_addr().expect("bound")).expect("it listens");
    let (reader, writer) = wrap(listener.accept().await.expect("accepted"));
    (reader, writer, peer)
}

/// What the peer has got when nothing moves any more.
async fn all_of(peer: &Peer) -> Vec<u8> {
    let mut got = Vec::new();
    for _ in 0..200 {
        got.extend(peer.recv());
        sleep(Duration::from_millis(1)).await;
    }
    got
}

#[test]
fn writes_of_one_turn_go_out_together_and_in_order() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let (_reader, writer, peer) = connected(&sim).await;
        let sends = || {
            let submitted = |event: &uring_loop::testing::Event| {
                matches!(event, uring_loop::testing::Event::Submitted { opcode: opcode::SEND, .. })
            };
            sim.log().iter().filter(|event| submitted(event)).count()
        };
        writer.write("one ");
        writer.write("");
        writer.write_all(["two ", "three"]);
        assert_eq!(writer.buffered(), 13);
        writer.drain().await.expect("open");
        assert_eq!(all_of(&peer).await, b"one two three");
        assert_eq!((writer.buffered(), sends()), (0, 1));
    });
}

#[test]
fn drain_waits_from_the_high_mark_down_to_the_low_one() {
    on_sim(SimConfig { send_buffer: 10, ..SimConfig::seeded(0) }, |sim| async move {
        let (_reader, writer, peer) = connected(&sim).await;
        assert_eq!(writer.limits(), (16 << 10, 64 << 10));
        writer.set_limits(20, 50);
        writer.write([1; 50]);
        writer.drain().await.expect("just as much as may be");
        writer.write([1]);
        assert!(poll_once(&mut Box::pin(writer.drain())).await.is_pending());
        sleep(Duration::from_millis(1)).await;
        let writer = Rc::new(writer);
        let drains = [writer.clone(), writer.clone()]
            .map(|writer| spawn(async move { writer.drain().await.map(|()| writer.buffered()) }));
        let got = all_of(&peer).await;
        assert_eq!(got.len(), 51);
        for drain in drains {
            assert!(drain.await.expect("no panic").expect("open") <= 20, "any number may wait");
        }
    });
}

#[test]
fn water_marks_follow_from_each_other_and_count_at_once() {
    uring_loop::testing::run(async {
        let (one, _other) = duplex(1);
        let (_reader, writer) = wrap(one);
        writer.set_limits(100, None);
        assert_eq!(writer.limits(), (100, 400));
        writer.set_limits(None, 100);
        assert_eq!(writer.limits(), (25, 100));
        writer.set_limits(None, None);
        assert_eq!(writer.limits(), (16 << 10, 64 << 10));
        writer.write([0; 1000]);
        writer.drain().await.expect("not too much");
        writer.set_limits(0, 999);
        assert!(poll_once(&mut Box::pin(writer.drain())).await.is_pending(), "too much now");
        writer.set_limits(None, None);
        writer.drain().await.expect("not any more");
    });
}

#[test]
#[should_panic(expected = "the low water mark (2) is above the high one (1)")]
fn water_marks_the_wrong_way_round_are_a_mistake() {
    uring_loop::testing::run(async { wrap(duplex(1).0).1.set_limits(2, 1) });
}

#[test]
fn an_end_comes_behind_what_was_written_and_the_other_direction_goes_on() {
    on_sim(SimConfig { send_buffer: 10, ..SimConfig::seeded(0) }, |sim| async move {
        let (mut reader, writer, peer) = connected(&sim).await;
        writer.write([7; 100]);
        assert!(writer.can_write_eof());
        writer.write_eof();
        writer.write_eof();
        assert_eq!(all_of(&peer).await.len(), 100);
        assert!(peer.ended());
        peer.send("answer\n").expect("open");
        assert_eq!(reader.read_line().await.expect("open"), b"answer\n");
        assert!(!writer.is_closing());
        let wrote = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| writer.write("x")));
        assert!(wrote.is_err(), "behind the end is nothing");
    });
}

#[test]
fn closing_sends_what_was_written_and_ends_the_reader() {
    on_sim(SimConfig { send_buffer: 10, ..SimConfig::seeded(0) }, |sim| async move {
        let (mut reader, writer, peer) = connected(&sim).await;
        let waiting = spawn(async move { reader.read_line().await.map(<[u8]>::to_vec) });
        yield_now().await;
        writer.write([7; 100]);
        writer.close();
        writer.write("and this, since not all is sent");
        assert!(writer.is_closing());
        let line = waiting.await.expect("no panic").expect("an end, not an error");
        assert_eq!(line, b"");
        let closed = spawn(async move { writer.wait_closed().await.map(|()| writer) });
        assert_eq!(all_of(&peer).await.len(), 131);
        assert!(peer.ended());
        let writer = closed.await.expect("no panic").expect("in order");
        assert!(writer.stream().is_none());
        writer.wait_closed().await.expect("as often as you like");
        assert_eq!(writer.drain().await.expect_err("closed").kind(), ErrorKind::ConnectionReset);
        let ((), log) = logged(|| (0..6).for_each(|_| writer.write("in vain")));
        assert_eq!(log.matches("dropped").count(), 2, "from the fifth on: {log}");
        assert_eq!(writer.buffered(), 0);
    });
}

#[test]
fn an_abort_sends_no_more() {
    on_sim(SimConfig { send_buffer: 10, ..SimConfig::seeded(0) }, |sim| async move {
        let (mut reader, writer, peer) = connected(&sim).await;
        writer.write([7; 100]);
        sleep(Duration::from_millis(1)).await;
        writer.abort();
        writer.wait_closed().await.expect("it was asked for");
        assert_eq!(reader.read(1).await.expect("the end"), b"");
        assert!(all_of(&peer).await.len() <= 10);
        assert!(peer.ended());
    });
}

#[test]
fn dropping_the_writer_ends_our_direction_only() {
    for (buffered, reader_first) in [(true, false), (false, false), (true, true), (false, true)] {
        on_sim(SimConfig { send_buffer: 10, ..SimConfig::seeded(0) }, |sim| async move {
            let (reader, writer, peer) = connected(&sim).await;
            if buffered {
                writer.write([7; 100]);
            }
            let mut reader = Some(reader).filter(|_| !reader_first);
            drop(writer);
            assert_eq!(all_of(&peer).await.len(), if buffered { 100 } else { 0 });
            assert!(peer.ended(), "our direction has ended");
            if let Some(reader) = &mut reader {
                peer.send("still here").expect("the other goes on");
                assert_eq!(reader.read(99).await.expect("open"), b"still here");
            }
            drop(reader);
            sleep(Duration::from_millis(1)).await;
            assert!(sim.open_descriptors().is_empty(), "it closed when both were gone");
        });
    }
}

#[test]
fn what_was_written_gets_out_when_the_run_ends() {
    for held in [false, true] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("free");
        let address = listener.local_addr().expect("bound");
        let reader = std::thread::spawn(move || {
            let (mut plain, _) = listener.accept().expect("it comes");
            std::thread::sleep(Duration::from_millis(50));
            let mut got = Vec::new();
            io::Read::read_to_end(&mut plain, &mut got).expect("no reset");
            got.len()
        });
        let kept = uring_loop::run(async {
            let (reader, writer) = open_connection(address).await.expect("it listens");
            // More than a socket takes at once, in two parts: the second waits for the first.
            writer.write(vec![1; 8 << 20]);
            yield_now().await;
            yield_now().await;
            writer.write("Okay. Shutting down.");
            held.then_some((reader, writer))
        })
        .expect("it runs");
        drop(kept);
        assert_eq!(reader.join().expect("no panic"), (8 << 20) + 20, "held: {held}");
    }
}

#[test]
fn a_writer_that_is_dropped_where_no_loop_runs_is_no_mistake() {
    let mut event_loop = EventLoop::builder().virtual_clock().build().expect("a ring");
    let (kept, mut other) = event_loop
        .run_until_complete(async {
            let (one, other) = duplex(100);
            let (_reader, writer) = wrap(one);
            (writer, wrap(other).0)
        })
        .expect("not cancelled");
    drop(kept);
    event_loop
        .run_until_complete(async { assert!(reader_ended(&mut other).await) })
        .expect("not cancelled");
}

async fn reader_ended(reader: &mut StreamReader) -> bool {
    reader.read(1).await.expect("no error").is_empty()
}

#[test]
fn addresses_are_kept_from_the_start() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let listener = sim.peer_listen(([127, 0, 0, 1], 0).into()).expect("free");
        let address = listener.local_addr();
        let (_reader, writer) = open_connection(address).await.expect("it listens");
        let tcp =
            |stream: &Rc<dyn ByteStream>| stream.as_any().is_some_and(|any| any.is::<TcpStream>());
        assert!(writer.stream().as_ref().is_some_and(tcp));
        writer.close();
        writer.wait_closed().await.expect("closed");
        assert_eq!(writer.peer_address().and_then(|peer| peer.ip()), Some(address));
        assert!(writer.local_address().and_then(|local| local.ip()).is_some());
    });
}

#[test]
fn a_cancelled_drain_takes_nothing_back() {
    on_sim(SimConfig { send_buffer: 10, ..SimConfig::seeded(0) }, |sim| async move {
        let (_reader, writer, peer) = connected(&sim).await;
        writer.set_limits(0, 5);
        let task = spawn(async move {
            writer.write([7; 100]);
            let asked = catch_cancel(writer.drain()).await.is_err();
            writer.close();
            asked
        });
        sleep(Duration::from_millis(1)).await;
        task.cancel();
        assert!(task.await.expect("it goes on"));
        assert_eq!(all_of(&peer).await.len(), 100);
    });
}

#[test]
fn an_idle_reader_holds_no_buffer_of_the_loop() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let (mut reader, _writer, peer) = connected(&sim).await;
        peer.send("half a li").expect("open");
        let mut line = Box::pin(reader.read_line());
        for _ in 0..3 {
            assert!(poll_once(&mut line).await.is_pending());
            yield_now().await;
        }
        let free = poll_fn(|_| Poll::Ready(sim.provided_buffers_free(0))).await;
        assert_eq!(free, Some(8), "all of them");
        peer.send("ne\n").expect("open");
        assert_eq!(line.await.expect("open"), b"half a line\n");
    });
}

#[test]
fn a_read_timeout_begins_anew_with_each_read() {
    const SOME: Duration = Duration::from_secs(8);
    on_sim(SimConfig::seeded(0), |sim| async move {
        let listener = TcpListener::bind("127.0.0.1:0").expect("free");
        let peer = sim.peer_connect(listener.local_addr().expect("bound")).expect("it listens");
        let mut stream = listener.accept().await.expect("a peer");
        stream.set_read_timeout(Some(Duration::from_secs(10)));
        for _ in 0..2 {
            timeout(SOME, ByteStreamExt::recv(&stream)).await.expect_err("nothing came");
            sleep(SOME).await;
        }
        let (mut reader, _writer) = wrap(stream);
        for _ in 0..2 {
            timeout(SOME, reader.read_line()).await.expect_err("nothing came");
            sleep(SOME).await;
        }
        for _ in 0..2 {
            timeout(SOME, reader.lines().next()).await.expect_err("nothing came");
            sleep(SOME).await;
        }
        peer.send("a line\nand").expect("open");
        assert_eq!(reader.read_line().await.expect("in time"), b"a line\n");
        let late = timeout(2 * SOME, reader.read_line()).await.expect("its own limit is nearer");
        assert!(late.expect_err("too late").to_string().contains("silent"));
    });
}
