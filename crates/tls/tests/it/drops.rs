//! Futures and streams that are dropped at every point where they wait.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use uring_loop::io::{ByteStream, ByteStreamExt as _};
use uring_loop::testing::{Faults, SimConfig, simulate};
use uring_loop::time::{sleep, timeout};
use uring_loop::{EventLoop, spawn, yield_now};

use crate::support::{ends, pattern, read_to_end, shaken, tcp};

/// Polls a future so many times, and drops it then. Tells whether it had come to its end.
async fn poll_times<F: Future>(times: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = times;
    poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

#[test]
fn a_handshake_dropped_at_every_poll_leaves_nothing() {
    let ends = ends();
    for server in [false, true] {
        let mut times = 0;
        loop {
            let ends = &ends;
            let done = simulate(SimConfig::seeded(times as u64), |sim| async move {
                let (one, other) = tcp().await;
                // Pieces, so that there are many points to wait at.
                sim.set_faults(Faults::none().short(0.7).delay(0.3, 2));
                let (acceptor, connector) = (ends.1.clone(), ends.0.clone());
                let far = spawn(async move {
                    let shaken = async {
                        match server {
                            true => connector.connect("localhost", one).await,
                            false => acceptor.accept(one).await,
                        }
                    };
                    timeout(Duration::from_secs(60), shaken).await.expect("told of the end").is_ok()
                });
                let near = async {
                    match server {
                        true => ends.1.accept(other).await.is_ok(),
                        false => ends.0.connect("localhost", other).await.is_ok(),
                    }
                };
                let done = poll_times(times, near).await;
                far.await.expect("no panic");
                done
            });
            if done == Some(true) {
                break;
            }
            assert_eq!(done, None);
            times += 1;
            assert!(times < 1000, "it does not end");
        }
        assert!(times > 3, "there were points to drop it at");
    }
}

#[test]
fn a_stream_may_go_at_any_moment_after_its_bytes_were_handed_over() {
    let ends = ends();
    for turns in 0..8 {
        for ending in [false, true] {
            let ends = &ends;
            let config = SimConfig { send_buffer: 300, ..SimConfig::seeded(turns) };
            simulate(config, |sim| async move {
                let (client, server) = shaken(ends, tcp().await).await;
                sim.set_faults(Faults::none().delay(0.5, 3).short(0.3).again(0.2));
                client.send(pattern(5000, 0)).await.expect("open");
                for _ in 0..turns {
                    if ending {
                        drop(poll_fn(|cx| Poll::Ready(client.poll_shutdown(cx))).await);
                    }
                    yield_now().await;
                }
                drop(client);
                let got = read_to_end(&server).await.expect("an orderly end");
                assert!(got == pattern(5000, 0), "{turns} turns, {ending}");
            });
        }
    }
}

#[test]
fn receives_dropped_at_every_poll_lose_no_byte() {
    let ends = ends();
    for seed in 0..6 {
        let ends = &ends;
        simulate(SimConfig { send_buffer: 700, ..SimConfig::seeded(seed) }, |sim| async move {
            let (client, server) = shaken(ends, tcp().await).await;
            sim.set_faults(Faults::chaos());
            let sender = spawn(async move {
                for round in 0..20 {
                    client.send(pattern(round * 97, round)).await.expect("open");
                    sleep(Duration::from_millis(1)).await;
                }
                client.write_eof().await.expect("open");
            });
            let (mut got, dropped) = (Vec::new(), Cell::new(0));
            loop {
                match poll_times(1 + got.len() % 3, server.recv()).await {
                    Some(bytes) => {
                        let bytes = bytes.expect("open");
                        if bytes.is_empty() {
                            break;
                        }
                        got.extend_from_slice(&bytes);
                    }
                    None => {
                        dropped.set(dropped.get() + 1);
                        sleep(Duration::from_micros(100)).await;
                    }
                }
            }
            let sent: Vec<u8> = (0..20).flat_map(|round| pattern(round * 97, round)).collect();
            assert!(got == sent, "seed {seed}");
            assert!(dropped.get() > 0, "none was dropped");
            sender.await.expect("no panic");
        });
    }
}

#[test]
fn a_stream_dropped_where_no_task_runs_closes_all_the_same() {
    let ends = ends();
    let kept = Rc::new(Cell::new(None));
    let keeping = kept.clone();
    // `simulate` checks that the descriptor is closed.
    simulate(SimConfig { send_buffer: 100, ..SimConfig::seeded(1) }, |_| async move {
        let (client, server) = shaken(&ends, tcp().await).await;
        client.send(pattern(2000, 0)).await.expect("open");
        let reader = spawn(async move { read_to_end(&server).await.map(drop) });
        keeping.set(Some(reader));
        drop(client);
    });
    drop(kept);
}

#[test]
fn a_stream_with_limits_that_is_dropped_outside_of_its_loop_panics_not_and_leaves_nothing() {
    let ends = ends();
    // With room for the last words and without; while the loop is there and when it is gone.
    for (full, over) in [(false, false), (false, true), (true, false), (true, true)] {
        let config = SimConfig { send_buffer: 4000, ..SimConfig::seeded(1) };
        let (mut event_loop, sim) = EventLoop::builder().build_simulated(config).expect("a ring");
        let begin = async {
            let (mut one, other) = tcp().await;
            one.set_idle_timeout(Some(Duration::from_secs(60)));
            one.set_write_timeout(Some(Duration::from_secs(60)));
            one.set_read_timeout(Some(Duration::from_secs(60)));
            let (client, server) = shaken(&ends, (one, other)).await;
            if full {
                client.send(pattern(20_000, 0)).await.expect("open");
            }
            // A wait of each side is under way.
            drop(poll_fn(|cx| Poll::Ready(client.poll_recv(cx))).await);
            drop(poll_fn(|cx| Poll::Ready(client.poll_flush(cx))).await);
            (client, server)
        };
        let (client, server) = event_loop.run_until_complete(begin).expect("not stopped");
        if over {
            drop(event_loop);
            drop((client, server));
        } else {
            drop(client);
            let read = event_loop.run_until_complete(read_to_end(&server)).expect("not stopped");
            match full {
                false => assert_eq!(read.expect("it has said good-bye"), b""),
                // Nobody was there to wait for room.
                true => drop(read.expect_err("it is cut")),
            }
            drop(server);
            drop(event_loop);
        }
        assert_eq!((sim.in_flight(), sim.open_descriptors().len()), (0, 0), "{full} {over}");
    }
}
