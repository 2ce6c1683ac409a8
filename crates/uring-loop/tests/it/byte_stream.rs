//! Every kind of stream through one trait: the conformance check on both rings and in memory, and
//! what becomes of bytes that were handed over: partial sends, drops, aborts, the end of the loop.

use std::future::poll_fn;
use std::io::{ErrorKind, Read as _};
use std::net::TcpStream as Plain;
use std::task::Poll;
use std::time::{Duration, Instant};

use uring_loop::buf::RecvBuf;
use uring_loop::io::{ByteStream, ByteStreamExt, duplex, split};
use uring_loop::net::{TcpListener, TcpStream, UnixStream};
use uring_loop::testing::{Fault, Faults, SimConfig, SimHandle, check_byte_stream, opcode};
use uring_loop::time::{sleep, timeout};
use uring_loop::{EventLoop, spawn, yield_now};

use crate::parts::connected_pair;
use crate::support::{on_sim, poll_once, small};

const GUARD: Duration = Duration::from_secs(60);
const EAGAIN: i32 = 11;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
}

#[test]
fn tcp_keeps_the_promises_of_a_stream() {
    for (buffers, size) in [(256, 4096), (4, 512)] {
        let mut event_loop = EventLoop::builder().buffers(buffers, size).build().expect("a ring");
        event_loop
            .run_until_complete(async { timeout(GUARD, check_byte_stream(connected_pair)).await })
            .expect("not cancelled")
            .expect("it waits for ever");
    }
}

#[test]
fn tcp_on_a_simulated_kernel_keeps_them() {
    for seed in 0..3 {
        let config =
            SimConfig { send_buffer: 3000 + 1000 * seed as usize, ..SimConfig::seeded(seed) };
        on_sim(config, |_| check_byte_stream(connected_pair));
    }
}

#[test]
fn tcp_on_a_kernel_full_of_faults_keeps_them() {
    for seed in 0..6 {
        on_sim(SimConfig::seeded(seed), |sim| {
            check_byte_stream(async move || {
                sim.set_faults(Faults::none());
                let pair = connected_pair().await;
                sim.set_faults(Faults::chaos());
                pair
            })
        });
    }
}

#[test]
fn unix_sockets_keep_the_promises_of_a_stream() {
    let mut event_loop = small().build().expect("a ring");
    let check = check_byte_stream(async || UnixStream::pair().expect("a pair"));
    event_loop
        .run_until_complete(async { timeout(GUARD, check).await })
        .expect("not cancelled")
        .expect("it waits for ever");
}

#[test]
fn memory_keeps_the_promises_of_a_stream() {
    for capacity in [1, 100, 64 << 10] {
        uring_loop::testing::run(check_byte_stream(async || duplex(capacity)));
    }
}

#[test]
fn pointers_to_streams_are_streams() {
    uring_loop::testing::run(async {
        check_byte_stream(async || {
            let (one, other) = duplex(1000);
            (Box::new(one) as Box<dyn ByteStream>, Box::new(other) as Box<dyn ByteStream>)
        })
        .await;
        check_byte_stream(async || {
            let (one, other) = duplex(1000);
            (std::rc::Rc::new(one), std::rc::Rc::new(other))
        })
        .await;
    });
}

/// A stream, and its peer outside of the simulated kernel.
async fn with_peer(sim: &SimHandle) -> (TcpStream, uring_loop::testing::Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("free");
    let peer = sim.peer_connect(listener.local_addr().expect("bound")).expect("it listens");
    (listener.accept().await.expect("accepted"), peer)
}

/// What the peer gets within a second of virtual time, at most so much in a millisecond.
async fn drain(peer: &uring_loop::testing::Peer, most: usize) -> Vec<u8> {
    let mut got = Vec::new();
    for _ in 0..1000 {
        got.extend(peer.recv_at_most(most));
        sleep(Duration::from_millis(1)).await;
    }
    got
}

#[test]
fn what_is_sent_short_is_gone_on_with_though_nobody_polls() {
    let bytes = pattern(5000);
    for gone in [false, true] {
        for faults in [
            vec![Fault::Short(1), Fault::Short(7), Fault::Short(4000)],
            vec![Fault::Fail(EAGAIN), Fault::Short(100), Fault::Fail(EAGAIN)],
            vec![Fault::Fail(4), Fault::Delay(3), Fault::Short(4999)],
        ] {
            on_sim(SimConfig { send_buffer: 900, ..SimConfig::seeded(1) }, |sim| {
                let bytes = bytes.clone();
                async move {
                    let (stream, peer) = with_peer(&sim).await;
                    faults.iter().for_each(|fault| sim.next(opcode::SEND, *fault));
                    stream.start_send(bytes.clone()).expect("open");
                    let mut stream = Some(stream);
                    if gone {
                        drop(stream.take());
                    }
                    assert!(drain(&peer, 50).await == bytes, "{faults:?}, dropped: {gone}");
                    assert_eq!(peer.ended(), gone);
                    if let Some(stream) = stream {
                        stream.flush().await.expect("it was sent");
                    }
                }
            });
        }
    }
}

#[test]
fn a_stream_may_go_at_any_moment_after_its_bytes_were_handed_over() {
    for turns in 0..6 {
        for shut in [false, true] {
            on_sim(SimConfig { send_buffer: 100, ..SimConfig::seeded(turns) }, |sim| async move {
                let (stream, peer) = with_peer(&sim).await;
                sim.set_faults(Faults::none().delay(0.5, 3).short(0.3).again(0.2));
                stream.start_send(pattern(700)).expect("open");
                for _ in 0..turns {
                    if shut {
                        let _ = poll_once(&mut Box::pin(stream.write_eof())).await;
                    }
                    yield_now().await;
                }
                drop(stream);
                assert!(drain(&peer, 64).await == pattern(700), "{turns} turns, {shut}");
                assert!(peer.ended());
            });
        }
    }
}

#[test]
fn a_failed_send_is_told_by_the_next_poll_and_stays() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let (stream, _peer) = with_peer(&sim).await;
        sim.next(opcode::SEND, Fault::Fail(104));
        stream.send(b"lost".to_vec()).await.expect("not known yet");
        for _ in 0..3 {
            let error = stream.send(b"more".to_vec()).await.expect_err("it failed");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            assert_eq!(stream.flush().await.expect_err("too").kind(), ErrorKind::ConnectionReset);
        }
        stream.write_eof().await.expect_err("an end behind bytes that were lost would be a lie");
    });
}

#[test]
fn other_ways_to_send_come_behind_what_was_handed_over() {
    on_sim(SimConfig { send_buffer: 64, ..SimConfig::seeded(0) }, |sim| async move {
        let (mut stream, peer) = with_peer(&sim).await;
        stream.start_send(vec![b'1'; 300]).expect("open");
        let writer = spawn(async move {
            stream.write_all("2".repeat(200)).await.0.expect("open");
            stream.start_send(vec![b'3'; 300]).expect("open");
            let parts = vec!["4".repeat(50), "5".repeat(50)];
            stream.write_all_vectored(parts).await.0.expect("open");
            stream.start_send(vec![b'6'; 300]).expect("open");
            stream.shutdown(std::net::Shutdown::Write).await.expect("open");
            let error = poll_fn(|cx| stream.poll_ready(cx)).await.expect_err("shut down");
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        });
        let runs = [(b'1', 300), (b'2', 200), (b'3', 300), (b'4', 50), (b'5', 50), (b'6', 300)];
        let expected: Vec<u8> = runs.iter().flat_map(|(byte, count)| vec![*byte; *count]).collect();
        assert!(drain(&peer, 50).await == expected);
        writer.await.expect("no panic");
    });
}

#[test]
fn an_aborted_stream_closes_though_nobody_reads() {
    on_sim(SimConfig { send_buffer: 64, ..SimConfig::seeded(0) }, |sim| async move {
        let (stream, peer) = with_peer(&sim).await;
        stream.start_send(vec![7; 1000]).expect("open");
        yield_now().await;
        stream.abort();
        let error = poll_fn(|cx| stream.poll_ready(cx)).await.expect_err("aborted");
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
        drop(stream);
        sleep(Duration::from_millis(1)).await;
        assert!(peer.recv().len() <= 64, "nothing more goes out");
        assert!(peer.ended());
    });
}

#[test]
fn a_send_that_takes_longer_than_the_timeout_fails() {
    on_sim(SimConfig { send_buffer: 64, ..SimConfig::seeded(0) }, |sim| async move {
        let (mut stream, peer) = with_peer(&sim).await;
        stream.set_write_timeout(Some(Duration::from_secs(2)));
        stream.start_send(vec![7; 1000]).expect("open");
        let error = stream.flush().await.expect_err("nobody reads");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(stream.send(vec![8]).await.expect_err("too").kind(), ErrorKind::TimedOut);
        drop(stream);
        sleep(Duration::from_millis(1)).await;
        assert!(peer.recv().len() <= 64);
        assert!(peer.ended(), "it does not stay for bytes that were given up");
    });
}

#[test]
#[should_panic(expected = "poll_ready")]
fn a_second_buffer_before_the_first_was_taken_is_a_mistake() {
    uring_loop::testing::run(async {
        let (stream, _other) = connected_pair().await;
        stream.start_send(vec![1]).expect("open");
        drop(stream.start_send(vec![2]));
    });
}

#[test]
fn memory_of_sent_buffers_is_used_again() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let (stream, peer) = with_peer(&sim).await;
        assert_eq!(stream.spare_buffer().capacity(), 0, "nothing was sent yet");
        stream.send(Vec::with_capacity(5000)).await.expect("open");
        let mut buffer = Vec::with_capacity(5000);
        buffer.push(1);
        stream.send(buffer).await.expect("open");
        stream.flush().await.expect("open");
        let spare = stream.spare_buffer();
        assert_eq!((spare.len(), spare.capacity()), (0, 5000));
        assert_eq!(stream.spare_buffer().capacity(), 0, "it was taken");
        assert_eq!(peer.recv(), [1]);
    });
}

#[test]
fn the_end_of_the_loop_waits_for_what_was_handed_over() {
    for held in [false, true] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("free");
        let address = listener.local_addr().expect("bound");
        let reader = std::thread::spawn(move || {
            let (mut plain, _) = listener.accept().expect("it comes");
            // The loop has ended by now, but for the bytes.
            std::thread::sleep(Duration::from_millis(100));
            let mut got = Vec::new();
            plain.read_to_end(&mut got).expect("no reset");
            got
        });
        let mut event_loop = EventLoop::new().expect("a ring");
        let kept = event_loop
            .run_until_complete(async {
                let stream = TcpStream::connect(address).await.expect("it listens");
                stream.start_send(pattern(8 << 20)).expect("open");
                held.then_some(stream)
            })
            .expect("not cancelled");
        drop(event_loop);
        drop(kept);
        assert!(reader.join().expect("no panic") == pattern(8 << 20), "held: {held}");
    }
}

#[test]
fn the_end_of_the_loop_does_not_wait_longer_than_its_patience() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("free");
    let address = listener.local_addr().expect("bound");
    let patience = Duration::from_millis(100);
    let mut event_loop = EventLoop::builder().shutdown_patience(patience).build().expect("a ring");
    let plain = event_loop
        .run_until_complete(async {
            let stream = TcpStream::connect(address).await.expect("it listens");
            stream.start_send(vec![0; 64 << 20]).expect("open");
            listener.accept().expect("it comes").0
        })
        .expect("not cancelled");
    let start = Instant::now();
    drop(event_loop);
    assert!(start.elapsed() >= patience, "it waits for the reader");
    assert!(read_all(plain) < 64 << 20, "what the reader did not take in time is given up");
}

/// Until the end, or a reset.
fn read_all(mut plain: Plain) -> usize {
    plain.set_read_timeout(Some(Duration::from_secs(20))).expect("not zero");
    let (mut chunk, mut got) = (vec![0; 1 << 20], 0);
    loop {
        match plain.read(&mut chunk) {
            Ok(0) => return got,
            Ok(count) => got += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return got,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_simulated_loop_ends_too() {
    for reads in [true, false] {
        let config = SimConfig { send_buffer: 64, ..SimConfig::seeded(3) };
        let (mut event_loop, sim) = small().build_simulated(config).expect("a ring");
        let peer = event_loop
            .run_until_complete(async {
                let (stream, peer) = with_peer(&sim).await;
                stream.start_send(pattern(500)).expect("open");
                peer
            })
            .expect("not cancelled");
        let peer = std::rc::Rc::new(peer);
        let got = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        for step in (0..20).filter(|_| reads) {
            let (peer, got) = (peer.clone(), got.clone());
            sim.at(sim.now() + step * 1000, move |_| got.borrow_mut().extend(peer.recv()));
        }
        drop(event_loop);
        got.borrow_mut().extend(peer.recv());
        let got = got.borrow();
        if reads {
            assert!(*got == pattern(500));
        } else {
            assert!(got.len() <= 64 && pattern(500).starts_with(&got), "what there was room for");
        }
        assert!(peer.ended());
        assert_eq!(sim.open_descriptors(), []);
    }
}

#[test]
fn addresses_and_types_can_be_asked_for() {
    uring_loop::testing::run(async {
        let (stream, other) = connected_pair().await;
        let local = stream.local_address().and_then(|address| address.ip());
        assert_eq!(local, stream.local_addr().ok());
        let peer = stream.peer_address().map(|address| address.to_string());
        assert_eq!(peer, other.local_addr().ok().map(|address| address.to_string()));
        assert!(stream.descriptor().is_some());
        let stream: Box<dyn ByteStream> = Box::new(stream);
        let tcp = stream.as_any().and_then(|any| any.downcast_ref::<TcpStream>());
        assert!(tcp.expect("it is one").nodelay().expect("a socket"));
        let (one, _two) = duplex(1);
        assert!(one.local_address().is_none() && one.descriptor().is_none());
        let (reading, writing) = split(one);
        assert!(reading.stream().as_any().is_none() && writing.stream().can_half_close());
    });
}

#[test]
fn received_bytes_can_be_made_of_a_vector_without_a_loop() {
    let mut bytes = RecvBuf::from(b"hello".to_vec());
    assert!(!bytes.is_lent());
    bytes.advance(1);
    assert_eq!(&*bytes, b"ello");
    assert!(RecvBuf::from(Vec::new()).is_empty());
    let spacious = Vec::with_capacity(1000);
    assert!(RecvBuf::from(spacious).is_empty());
}

#[test]
fn a_reader_in_memory_with_a_flood_of_input_lets_others_run() {
    uring_loop::testing::run(async {
        let (one, other) = duplex(1 << 20);
        for _ in 0..1000 {
            one.send(vec![0]).await.expect("open");
        }
        let reads = std::rc::Rc::new(std::cell::Cell::new(0));
        let counting = reads.clone();
        let reader = spawn(async move {
            while !other.recv().await.expect("open").is_empty() {
                counting.set(counting.get() + 1);
            }
        });
        yield_now().await;
        assert!((1..1000).contains(&reads.get()), "{} in one poll", reads.get());
        drop(one);
        reader.await.expect("no panic");
        assert_eq!(reads.get(), 1000);
    });
}

#[test]
fn a_poll_that_finds_nothing_is_pending() {
    uring_loop::testing::run(async {
        let (one, other) = duplex(10);
        let polled = poll_fn(|cx| Poll::Ready(other.poll_recv(cx))).await;
        assert!(polled.is_pending());
        one.start_send(vec![0; 11]).expect("a buffer may be larger than the room");
        assert!(poll_fn(|cx| Poll::Ready(one.poll_flush(cx))).await.is_pending());
        assert_eq!(other.recv().await.expect("open").len(), 11);
        assert!(poll_fn(|cx| Poll::Ready(one.poll_flush(cx))).await.is_ready());
    });
}
