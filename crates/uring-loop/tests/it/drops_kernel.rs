//! The same on the real kernel: descriptors are counted in a process of its own.

use std::future::{Future, ready};
use std::io::{Read as _, Write as _};
use std::net::TcpStream as Plain;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{Either, select};
use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::time::{sleep, timeout};
use uring_loop::{EventLoop, spawn, yield_now};

use crate::support::{in_child, open_descriptors, poll_once};

/// Polls for so many turns, then drops: at once, or as the loser of a select.
async fn run_for<F: Future>(future: F, turns: usize) -> Option<F::Output> {
    let mut future = Box::pin(future);
    for _ in 0..turns {
        if let Poll::Ready(output) = poll_once(&mut future).await {
            return Some(output);
        }
        yield_now().await;
    }
    if turns.is_multiple_of(2) {
        return None;
    }
    match select(future, ready(())).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

/// Runs `round` for many numbers of turns on one loop; then nothing may be in flight, every
/// buffer must be back, and after the loop's end every descriptor.
fn leaves_nothing<F: Future<Output = ()>>(mut round: impl FnMut(usize) -> F) {
    drop(EventLoop::new().expect("a ring")); // What a process keeps for good, it has now.
    let before = open_descriptors();
    let mut event_loop = EventLoop::builder().buffers(8, 256).build().expect("a ring");
    for turns in 0..80 {
        event_loop.run_until_complete(round(turns % 10)).expect("not cancelled");
    }
    for _ in 0..500 {
        if event_loop.statistics().in_flight == 0 && event_loop.statistics().tasks == 0 {
            break;
        }
        let pause = async { sleep(Duration::from_millis(10)).await };
        event_loop.run_until_complete(pause).expect("not cancelled");
    }
    let statistics = event_loop.statistics();
    assert_eq!(statistics.in_flight, 0, "{:?}", event_loop.in_flight());
    assert_eq!((statistics.orphans, statistics.tasks), (0, 0), "{statistics}");
    assert!(statistics.enters <= statistics.turns, "{statistics}");
    if let Some((free, all)) = statistics.buffers {
        assert_eq!(free, all, "buffers were not given back");
    }
    drop(event_loop);
    assert_eq!(open_descriptors(), before, "descriptors were left open");
}

#[test]
fn accepts_dropped_at_every_point_leak_nothing() {
    in_child("drops_kernel::accepts_dropped_at_every_point_leak_nothing", || {
        leaves_nothing(|turns| async move {
            let listener = TcpListener::bind("127.0.0.1:0").expect("free");
            let address = listener.local_addr().expect("bound");
            let mut one = Plain::connect(address).expect("it listens");
            one.write_all(b"1").expect("open");
            match run_for(listener.accept(), turns).await {
                Some(stream) => drop(stream.expect("accepted")),
                // Not lost, and the first: its byte says so.
                None => {
                    let mut stream = listener.accept().await.expect("accepted");
                    assert_eq!(&*stream.recv().await.expect("open"), b"1");
                }
            }
            // And some that arrive with nobody waiting; the listener's end is theirs.
            let late: Vec<_> =
                (0..3).map(|_| Plain::connect(address).expect("it listens")).collect();
            if turns % 3 == 0 {
                yield_now().await;
            }
            drop(listener);
            for mut plain in late {
                let read = uring_loop::unblock(move || {
                    plain.set_read_timeout(Some(Duration::from_secs(20))).expect("not zero");
                    plain.read(&mut [0; 8])
                });
                let read = read.await.expect("a thread");
                // The end, or a reset; an open connection would time out.
                assert!(
                    !matches!(&read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock),
                    "a connection that nobody serves stays open"
                );
            }
        });
    });
}

#[test]
fn receives_dropped_at_every_point_leak_nothing() {
    in_child("drops_kernel::receives_dropped_at_every_point_leak_nothing", || {
        leaves_nothing(|turns| async move {
            let listener = TcpListener::bind("127.0.0.1:0").expect("free");
            let mut plain = Plain::connect(listener.local_addr().expect("bound")).expect("listens");
            let mut stream = listener.accept().await.expect("accepted");
            let mut got = Vec::new();
            for part in 0..4u8 {
                plain.write_all(&[part; 300]).expect("open");
                if let Some(bytes) = run_for(stream.recv(), turns).await {
                    got.extend_from_slice(&bytes.expect("open"));
                }
            }
            while got.len() < 1200 {
                got.extend_from_slice(&stream.recv().await.expect("open"));
            }
            let sent: Vec<u8> = (0..4u8).flat_map(|part| [part; 300]).collect();
            assert_eq!(got, sent);
            // The stream goes with bytes unread, and with a read of an owned buffer in flight.
            plain.write_all(&[9; 2000]).expect("open");
            drop(run_for(stream.recv(), turns / 2).await);
            drop(stream);
            let mut plain = Plain::connect(listener.local_addr().expect("bound")).expect("listens");
            let mut stream = listener.accept().await.expect("accepted");
            drop(run_for(stream.read(Vec::with_capacity(100)), turns / 2).await);
            let _ = plain.write_all(&[9; 100]);
            drop(run_for(stream.read(Vec::with_capacity(100)), turns / 2).await);
        });
    });
}

#[test]
fn sends_and_connects_dropped_at_every_point_leak_nothing() {
    in_child("drops_kernel::sends_and_connects_dropped_at_every_point_leak_nothing", || {
        leaves_nothing(|turns| async move {
            let listener = TcpListener::bind("127.0.0.1:0").expect("free");
            let address = listener.local_addr().expect("bound");
            if let Some(stream) = run_for(TcpStream::connect(address), turns).await {
                drop(stream.expect("it listens"));
            }
            // Far more than the socket takes, to a peer that does not read.
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            let written = run_for(stream.write_all(vec![1; 32 << 20]), turns).await;
            assert!(written.is_none(), "nobody reads");
            // A second one behind it, cancelled by a timeout.
            let written = timeout(Duration::from_millis(1), stream.write_all(vec![2; 8 << 20]));
            assert!(written.await.is_err());
        });
    });
}

#[test]
fn tasks_aborted_at_every_point_leak_nothing() {
    in_child("drops_kernel::tasks_aborted_at_every_point_leak_nothing", || {
        leaves_nothing(|turns| async move {
            let listener = TcpListener::bind("127.0.0.1:0").expect("free");
            let address = listener.local_addr().expect("bound");
            let server = spawn(async move {
                loop {
                    let mut stream = listener.accept().await.expect("accepted");
                    let serve = async move {
                        while let Ok(bytes) = stream.recv().await {
                            if bytes.is_empty() || stream.write_all(bytes).await.0.is_err() {
                                return;
                            }
                        }
                    };
                    drop(spawn(serve));
                }
            });
            let client = spawn(async move {
                let mut stream = TcpStream::connect(address).await.expect("it listens");
                loop {
                    stream.write_all(vec![3; 500]).await.0.expect("open");
                    stream.recv().await.expect("open");
                }
            });
            for _ in 0..turns * 3 {
                yield_now().await;
            }
            client.abort();
            server.cancel();
            assert!(server.await.is_err());
        });
    });
}
