//! Odd results of the kernel, each provoked on a simulated one: full queues, refused and
//! interrupted enters, multishot operations that end early, an empty pool of buffers. That nothing
//! spins on them is read from the loop's own counters.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join_all;
use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::op::{Driver, Nop};
use uring_loop::testing::{Fault, Faults, Peer, SimConfig, SimHandle, opcode};
use uring_loop::time::{now, sleep};
use uring_loop::{EventLoop, Statistics, spawn, yield_now};

use crate::support::{on_sim, on_sim_with, poll_once, small};

/// So many connections to peers outside.
async fn connections(sim: &SimHandle, count: usize) -> Vec<(TcpStream, Peer)> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("free");
    let mut all = Vec::new();
    for _ in 0..count {
        let peer = sim.peer_connect(listener.local_addr().expect("bound")).expect("it listens");
        all.push((listener.accept().await.expect("a connection waits"), peer));
    }
    all
}

async fn receive_exactly(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < length {
        let bytes = stream.recv().await.expect("open");
        assert!(!bytes.is_empty(), "ended after {} of {length} bytes", got.len());
        got.extend_from_slice(&bytes);
    }
    got
}

/// What a piece of a run did, by the difference of the counters.
fn enters_of(event_loop: &mut EventLoop, piece: impl Future<Output = ()>) -> u64 {
    let before = event_loop.statistics().enters;
    event_loop.run_until_complete(piece).expect("not cancelled");
    event_loop.statistics().enters - before
}

#[test]
fn a_full_submission_queue_is_handed_over_early() {
    let config = SimConfig { submissions: 4, ..SimConfig::seeded(1) };
    let ((), statistics) = on_sim_with(small(), config, |_| async {
        let driver = Driver::current();
        let nops = join_all((0..100).map(|_| driver.submit(Nop))).await;
        assert!(nops.iter().all(Result::is_ok));
    });
    assert!(statistics.flushes >= 20, "{statistics:?}");
    assert!(statistics.enters <= statistics.turns, "{statistics:?}");
}

#[test]
fn entries_wait_in_order_while_the_kernel_takes_none() {
    let config = SimConfig { submissions: 4, ..SimConfig::seeded(2) };
    let ((), statistics) = on_sim_with(small(), config, |sim| async move {
        yield_now().await;
        // The flush in the middle of the turn is refused, and so are the next enters.
        for errno in [libc::EBUSY, libc::EAGAIN, libc::EBUSY, libc::EBUSY, libc::EAGAIN] {
            sim.next_enter(errno);
        }
        sim.clear_log();
        let driver = Driver::current();
        let nops = join_all((0..50).map(|_| driver.submit(Nop))).await;
        assert!(nops.iter().all(Result::is_ok));
        let submitted: Vec<_> = sim
            .log()
            .into_iter()
            .filter_map(|event| match event {
                uring_loop::testing::Event::Submitted {
                    user_data, opcode: opcode::NOP, ..
                } => Some(user_data as u32),
                _ => None,
            })
            .collect();
        assert_eq!(submitted, (0..50).collect::<Vec<_>>(), "not in the order of the slots");
    });
    assert!(statistics.backlogged > 0 && statistics.retries > 0, "{statistics:?}");
}

#[test]
fn cancels_are_kept_while_the_submission_queue_is_full() {
    let config = SimConfig { submissions: 2, ..SimConfig::seeded(3) };
    let ((), statistics) = on_sim_with(small(), config, |sim| async move {
        let connections = connections(&sim, 12).await;
        let (mut streams, peers): (Vec<_>, Vec<_>) = connections.into_iter().unzip();
        for stream in &mut streams {
            assert!(poll_once(&mut stream.recv()).await.is_pending());
        }
        yield_now().await;
        for _ in 0..6 {
            sim.next_enter(libc::EBUSY);
        }
        // 12 cancels and 12 closes for a queue of 2, and the kernel takes none for a while.
        drop(streams);
        sleep(Duration::from_millis(1)).await;
        assert!(peers.iter().all(|peer| peer.ended() || peer.was_reset()));
    });
    assert!(statistics.backlogged > 0, "{statistics:?}");
    assert_eq!((statistics.in_flight, statistics.orphans), (0, 0), "{statistics:?}");
}

#[test]
fn an_interrupted_wait_goes_on_without_spinning() {
    let ((), statistics) = on_sim_with(small(), SimConfig::seeded(4), |sim| async move {
        let start = now();
        for _ in 0..5 {
            sim.next_enter(libc::EINTR);
        }
        sleep(Duration::from_millis(10)).await;
        assert_eq!(now() - start, Duration::from_millis(10));
    });
    assert!(statistics.enters < 15, "{statistics:?}");
}

#[test]
fn refused_enters_are_tried_again_after_a_reap() {
    let ((), statistics) = on_sim_with(small(), SimConfig::seeded(5), |sim| async move {
        let mut connection = connections(&sim, 1).await;
        let (stream, peer) = &mut connection[0];
        for errno in [libc::EBUSY, libc::EAGAIN, libc::EBUSY] {
            sim.next_enter(errno);
        }
        peer.send("through").expect("open");
        assert_eq!(&*stream.recv().await.expect("open"), b"through");
    });
    assert_eq!(statistics.retries, 3);
    assert!(statistics.enters < 20, "{statistics:?}");
}

#[test]
fn a_queue_of_completions_that_overflows_loses_none() {
    for seed in 0..10 {
        let config = SimConfig { completions: 4, ..SimConfig::seeded(seed) };
        let ((), statistics) = on_sim_with(small(), config, |sim| async move {
            let driver = Driver::current();
            let nops = join_all((0..64).map(|_| driver.submit(Nop))).await;
            assert!(nops.iter().all(Result::is_ok));
            // Multishot receives lose their F_MORE when they meet a full queue.
            let mut connections = connections(&sim, 6).await;
            for (stream, _) in &mut connections {
                assert!(poll_once(&mut stream.recv()).await.is_pending());
            }
            yield_now().await;
            for (index, (_, peer)) in connections.iter().enumerate() {
                peer.send(vec![index as u8; 2000]).expect("open");
            }
            for (index, (stream, _)) in connections.iter_mut().enumerate() {
                assert_eq!(receive_exactly(stream, 2000).await, vec![index as u8; 2000]);
            }
        });
        assert!(statistics.overflows > 0, "{statistics:?}");
    }
}

/// A loop with tasks that are always ready never waits; that completions wait for room it must
/// learn from the flag.
#[test]
fn completions_that_wait_for_room_come_while_tasks_are_always_ready() {
    let config = SimConfig { completions: 2, submissions: 2, ..SimConfig::seeded(6) };
    on_sim(config, |_| async {
        let busy = spawn(async {
            for _ in 0..20_000 {
                yield_now().await;
            }
        });
        let driver = Driver::current();
        let nops = join_all((0..64).map(|_| driver.submit(Nop))).await;
        assert!(nops.iter().all(Result::is_ok));
        assert!(!busy.is_done(), "they came only when nothing else was to be done");
        busy.abort();
    });
}

#[test]
fn a_multishot_accept_that_ends_early_is_armed_again() {
    on_sim(SimConfig::seeded(7), |sim| async move {
        for _ in 0..3 {
            sim.next(opcode::ACCEPT, Fault::EndMultishot);
        }
        for (stream, peer) in &mut connections(&sim, 6).await {
            peer.send("x").expect("open");
            assert_eq!(&*stream.recv().await.expect("open"), b"x");
        }
    });
}

#[test]
fn a_multishot_receive_that_ends_early_is_armed_again() {
    on_sim(SimConfig::seeded(8), |sim| async move {
        let mut connection = connections(&sim, 1).await;
        let (stream, peer) = &mut connection[0];
        for _ in 0..3 {
            sim.next(opcode::RECV, Fault::EndMultishot);
        }
        for round in 0..6u8 {
            peer.send([round; 600]).expect("open");
            assert_eq!(receive_exactly(stream, 600).await, [round; 600]);
        }
    });
}

#[test]
fn an_accept_without_descriptors_fails_once_and_works_again() {
    let config = SimConfig { descriptors: 4, ..SimConfig::seeded(9) };
    on_sim(config, |sim| async move {
        let listener = TcpListener::bind("127.0.0.1:0").expect("free");
        let address = listener.local_addr().expect("bound");
        let peers: Vec<_> = (0..6).map(|_| sim.peer_connect(address).expect("listens")).collect();
        let mut streams = Vec::new();
        let error = loop {
            match listener.accept().await {
                Ok(stream) => streams.push(stream),
                Err(error) => break error,
            }
        };
        assert!(error.to_string().starts_with("accepting a connection: "), "{error}");
        assert!(!streams.is_empty() && streams.len() < 6);
        drop(streams);
        yield_now().await;
        yield_now().await;
        drop(listener.accept().await.expect("there are descriptors again"));
        drop(peers);
    });
}

/// A server that goes on after every error: it neither spins nor forgets the connections.
#[test]
fn a_server_without_descriptors_pauses_and_recovers() {
    let config = SimConfig { descriptors: 6, ..SimConfig::seeded(9) };
    let (mut event_loop, sim) = small().build_simulated(config).expect("a ring");
    let streams = Rc::new(RefCell::new(Vec::new()));
    let errors = Rc::new(Cell::new(0));
    let mut peers = Vec::new();
    let spent = enters_of(&mut event_loop, async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("free");
        let address = listener.local_addr().expect("bound");
        peers.extend((0..20).map(|_| sim.peer_connect(address).expect("it listens")));
        let (streams, errors) = (streams.clone(), errors.clone());
        drop(spawn(async move {
            loop {
                match listener.accept().await {
                    Ok(stream) => streams.borrow_mut().push(stream),
                    Err(_) => errors.set(errors.get() + 1),
                }
                if errors.get() > 1000 {
                    return;
                }
            }
        }));
        sleep(Duration::from_secs(10)).await;
    });
    let failed = errors.get();
    assert!((10..=101).contains(&failed), "{failed} errors in ten seconds");
    assert!(spent < 500, "{spent} enters in ten idle seconds");
    // As connections end, those that wait get their turn.
    let mut served = streams.borrow().len();
    assert!(served < 6);
    while served < 20 {
        streams.borrow_mut().clear();
        crate::support::settle(&mut event_loop);
        let more = streams.borrow().len();
        assert!(more > 0, "only {served} of 20 connections were served");
        served += more;
    }
}

#[test]
fn an_accept_skips_a_connection_that_was_taken_back() {
    on_sim(SimConfig::seeded(10), |sim| async move {
        sim.next(opcode::ACCEPT, Fault::Fail(libc::ECONNABORTED));
        let listener = TcpListener::bind("127.0.0.1:0").expect("free");
        let address = listener.local_addr().expect("bound");
        let _gone = sim.peer_connect(address).expect("it listens");
        let peer = sim.peer_connect(address).expect("it listens");
        peer.send("second").expect("open");
        let mut stream = listener.accept().await.expect("accepted");
        assert_eq!(&*stream.recv().await.expect("open"), b"second");
    });
}

#[test]
fn short_sends_are_finished() {
    let faults = Faults::none().short(0.9);
    let config = SimConfig { faults, send_buffer: 500, ..SimConfig::seeded(11) };
    on_sim(config, |sim| async move {
        let (mut stream, peer) = connections(&sim, 1).await.remove(0);
        let bytes: Vec<u8> = (0..5000u32).map(|at| at as u8).collect();
        let sent = bytes.clone();
        let parts: Vec<Vec<u8>> = bytes.chunks(700).map(<[u8]>::to_vec).collect();
        let writer = spawn(async move {
            stream.write_all(bytes).await.0.expect("open");
            stream.write_all_vectored(parts).await.0.expect("open");
        });
        let mut got = Vec::new();
        while got.len() < 10_000 {
            got.extend(peer.recv());
            yield_now().await;
        }
        writer.await.expect("no panic");
        assert_eq!(got, [sent.clone(), sent].concat());
    });
}

/// Closing goes behind what was pushed before, so that is still done.
#[test]
fn a_write_begun_before_the_stream_goes_is_sent() {
    on_sim(SimConfig::seeded(12), |sim| async move {
        let (mut stream, peer) = connections(&sim, 1).await.remove(0);
        assert!(poll_once(&mut stream.write_all("farewell")).await.is_pending());
        drop(stream);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(peer.recv(), b"farewell");
        assert!(peer.ended());
    });
}

#[test]
fn a_send_that_meets_eagain_waits_for_room() {
    on_sim(SimConfig::seeded(12), |sim| async move {
        let (mut stream, peer) = connections(&sim, 1).await.remove(0);
        sim.next(opcode::SEND, Fault::Fail(libc::EAGAIN));
        stream.write_all("patience").await.0.expect("it is not an error");
        yield_now().await;
        assert_eq!(peer.recv(), b"patience");
    });
}

#[test]
fn a_receive_that_meets_eagain_waits_for_bytes() {
    let ((), statistics) = on_sim_with(small(), SimConfig::seeded(13), |sim| async move {
        let (mut stream, peer) = connections(&sim, 1).await.remove(0);
        for errno in [libc::EAGAIN, libc::EINTR] {
            sim.next(opcode::RECV, Fault::Fail(errno));
            let mut receive = stream.recv();
            assert!(poll_once(&mut receive).await.is_pending());
            sleep(Duration::from_millis(1)).await;
            peer.send("patience").expect("open");
            assert_eq!(&*receive.await.expect("it is not an error"), b"patience");
            // The multishot receive that stands now is given up, for the next fault to be met.
            peer.send("rest").expect("open");
            assert_eq!(&*stream.recv().await.expect("open"), b"rest");
        }
    });
    assert!(statistics.enters < 60, "{statistics:?}");
}

/// A pool of four buffers, all of them held by one stream that nobody reads.
async fn exhausted(sim: &SimHandle) -> (Vec<(TcpStream, Peer)>, Vec<(TcpStream, Peer)>) {
    let mut unread = connections(sim, 1).await;
    let others = connections(sim, 3).await;
    let (stream, peer) = &mut unread[0];
    assert!(poll_once(&mut stream.recv()).await.is_pending());
    yield_now().await;
    peer.send(vec![1; 4 * 256]).expect("open");
    sleep(Duration::from_millis(1)).await;
    (unread, others)
}

#[test]
fn a_reader_without_buffers_gets_its_bytes_and_one_nobody_reads_stays_parked() {
    let builder = EventLoop::builder().buffers(4, 256);
    let (mut event_loop, sim) = builder.build_simulated(SimConfig::seeded(14)).expect("a ring");
    let (mut unread, mut others) = event_loop.run_until_complete(exhausted(&sim)).expect("done");
    assert_eq!(event_loop.statistics().buffers, Some((0, 4)));

    // Readers get what arrives, in buffers of their own, and it costs no more than that.
    let enters = enters_of(&mut event_loop, async {
        for (stream, peer) in &mut others {
            peer.send([2; 100]).expect("open");
            let bytes = stream.recv().await.expect("open");
            assert_eq!(*bytes, [2; 100]);
            assert!(!bytes.is_lent());
        }
    });
    assert!(enters < 30, "{enters} enters for three receives");

    // One that was armed and then left alone meets the empty pool, and nothing turns round it.
    let enters = enters_of(&mut event_loop, async {
        for (stream, peer) in &mut others {
            assert!(poll_once(&mut stream.recv()).await.is_pending());
            yield_now().await;
            peer.send([3; 100]).expect("open");
        }
        for _ in 0..100 {
            sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(enters < 150, "{enters} enters in a hundred sleeps");

    // The holder is read at last: buffers come back, and all goes on as before.
    event_loop
        .run_until_complete(async {
            let (stream, peer) = &mut unread[0];
            assert_eq!(receive_exactly(stream, 4 * 256).await, [1; 4 * 256]);
            peer.send([4; 300]).expect("open");
            assert_eq!(receive_exactly(stream, 300).await, [4; 300]);
            for (stream, peer) in &mut others {
                assert_eq!(receive_exactly(stream, 100).await, [3; 100]);
                for _ in 0..3 {
                    peer.send([5; 200]).expect("open");
                    assert_eq!(receive_exactly(stream, 200).await, [5; 200]);
                }
            }
        })
        .expect("not cancelled");
    drop((unread, others));
    crate::support::settle(&mut event_loop);
    assert_eq!(event_loop.statistics().buffers, Some((4, 4)));
}

/// A receive that ended with its last completion holds a buffer too. If that did not count, a
/// reader would be told that there are plenty, find none, and try again for ever.
#[test]
fn buffers_in_receives_that_ended_early_count_as_taken() {
    let builder = EventLoop::builder().buffers(4, 256);
    let (mut event_loop, sim) = builder.build_simulated(SimConfig::seeded(15)).expect("a ring");
    let enters = enters_of(&mut event_loop, async {
        let mut unread = connections(&sim, 4).await;
        let (mut reader, peer) = connections(&sim, 1).await.remove(0);
        for (stream, _) in &mut unread {
            sim.next(opcode::RECV, Fault::EndMultishot);
            assert!(poll_once(&mut stream.recv()).await.is_pending());
            yield_now().await;
        }
        for (_, peer) in &unread {
            peer.send([1; 10]).expect("open");
        }
        sleep(Duration::from_millis(1)).await;
        // The peer is silent for long. Its reader may not keep the loop busy.
        let reading = spawn(async move { receive_exactly(&mut reader, 10).await });
        for _ in 0..10 {
            sleep(Duration::from_millis(1)).await;
        }
        peer.send([2; 10]).expect("open");
        assert_eq!(reading.await.expect("no panic"), [2; 10]);
        for (stream, _) in &mut unread {
            assert_eq!(receive_exactly(stream, 10).await, [1; 10]);
        }
    });
    assert!(enters < 100, "{enters} enters");
}

#[test]
fn a_stream_nobody_reads_holds_few_buffers_and_loses_nothing() {
    let config = SimConfig { send_buffer: 4096, ..SimConfig::seeded(16) };
    let builder = EventLoop::builder().buffers(16, 256);
    let ((), _) = on_sim_with(builder, config, |sim| async move {
        let (mut stream, peer) = connections(&sim, 1).await.remove(0);
        assert!(poll_once(&mut stream.recv()).await.is_pending());
        yield_now().await;
        let sent: Vec<u8> = (0..20_000u32).map(|at| (at / 7) as u8).collect();
        peer.send(&sent).expect("open");
        sleep(Duration::from_millis(1)).await;
        let free = sim.provided_buffers_free(0).expect("registered");
        assert!(free >= 12, "only {free} of 16 buffers are left for others");
        assert_eq!(receive_exactly(&mut stream, sent.len()).await, sent);
    });
}

#[test]
fn a_burst_is_held_where_it_came_if_many_buffers_are_free() {
    let config = SimConfig { send_buffer: 1 << 20, ..SimConfig::seeded(18) };
    let builder = EventLoop::builder().buffers(256, 256);
    let ((), _) = on_sim_with(builder, config, |sim| async move {
        let (mut stream, peer) = connections(&sim, 1).await.remove(0);
        for (chunks, held) in [(20, 20), (100, 32)] {
            assert!(poll_once(&mut stream.recv()).await.is_pending());
            yield_now().await;
            peer.send(vec![7; chunks * 256]).expect("open");
            sleep(Duration::from_millis(1)).await;
            let free = usize::from(sim.provided_buffers_free(0).expect("registered"));
            assert!(free >= 256 - held, "{free} are free");
            let mut left = chunks * 256;
            let mut lent = 0;
            while left > 0 {
                let bytes = stream.recv().await.expect("open");
                assert!(bytes.iter().all(|byte| *byte == 7));
                lent += usize::from(bytes.is_lent());
                left -= bytes.len();
            }
            assert!(lent >= chunks.min(28), "{lent} of {chunks} lie where they came");
        }
    });
}

#[test]
fn a_user_who_keeps_buffers_is_given_copies() {
    let ((), _) = on_sim_with(small(), SimConfig::seeded(17), |sim| async move {
        let (mut stream, peer) = connections(&sim, 1).await.remove(0);
        let mut kept = Vec::new();
        for round in 0..20u8 {
            peer.send([round; 50]).expect("open");
            kept.push(stream.recv().await.expect("open"));
        }
        assert_eq!(kept.iter().filter(|bytes| bytes.is_lent()).count(), 4, "half of eight");
        for (round, bytes) in kept.iter().enumerate() {
            assert_eq!(**bytes, [round as u8; 50]);
        }
    });
}

#[test]
fn partial_submission_and_every_refusal_by_chance_lose_nothing() {
    for seed in 0..30 {
        let faults = Faults::none()
            .partial_submit(0.5)
            .enter_busy(0.3)
            .enter_again(0.2)
            .interrupt(0.3)
            .reorder(0.5);
        let config =
            SimConfig { faults, submissions: 4, completions: 8, ..SimConfig::seeded(seed) };
        let ((), statistics) = on_sim_with(small(), config, |sim| async move {
            let connections = connections(&sim, 5).await;
            let tasks = connections.into_iter().map(|(mut stream, peer)| {
                peer.send([9; 900]).expect("open");
                let peer = Rc::new(peer);
                let outside = peer.clone();
                let echo = spawn(async move {
                    let bytes = receive_exactly(&mut stream, 900).await;
                    stream.write_all(bytes).await.0.expect("open");
                });
                (echo, outside)
            });
            for (echo, peer) in tasks.collect::<Vec<_>>() {
                echo.await.expect("no panic");
                let mut got = Vec::new();
                while got.len() < 900 {
                    got.extend(peer.recv());
                    yield_now().await;
                }
                assert_eq!(got, [9; 900]);
            }
        });
        assert!(statistics.retries > 0, "seed {seed}: {statistics:?}");
    }
}

/// A busy loop enters the kernel at most once per turn.
#[test]
fn one_enter_per_turn_under_load() {
    let config = SimConfig { send_buffer: 1000, ..SimConfig::seeded(18) };
    let ((), statistics): ((), Statistics) = on_sim_with(small(), config, |sim| async move {
        let connections = connections(&sim, 20).await;
        let mut all = Vec::new();
        for (mut stream, peer) in connections {
            all.push(spawn(async move {
                for _ in 0..20 {
                    peer.send([1; 500]).expect("open");
                    let bytes = receive_exactly(&mut stream, 500).await;
                    stream.write_all(bytes).await.0.expect("open");
                    poll_fn(|cx| {
                        let got = peer.recv();
                        if got.is_empty() {
                            cx.waker().wake_by_ref();
                            return Poll::Pending;
                        }
                        Poll::Ready(())
                    })
                    .await;
                }
            }));
        }
        for task in all {
            task.await.expect("no panic");
        }
    });
    assert!(statistics.enters <= statistics.turns, "{statistics:?}");
}
